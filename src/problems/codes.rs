//! The codes of problems, each with its cause and its cure. The list stands in the OpenAPI document and at
//! `/problems/<code>`, to which the `type` of a problem leads.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// One kind of problem.
pub(crate) struct Code {
    code: &'static str,
    /// The statuses with which the code comes.
    status: &'static [u16],
    cause: &'static str,
    cure: &'static str,
}

macro_rules! codes {
    ($($code:ident $($status:literal)+: $cause:literal => $cure:literal;)+) => {
        const ALL: &[Code] = &[$(Code {
            code: stringify!($code),
            status: &[$($status),+],
            cause: $cause,
            cure: $cure,
        }),+];
    };
}

codes! {
    ahead_of_head 400: "The conversation has not reached the named position." => "Name a position that you have seen.";
    already_started 409: "The conversation exists already." => "Use the conversation that exists.";
    answers_unread 429: "Too many bytes of answers to this account are unread." => "Read those answers, or close their connections, then ask again.";
    at_capacity 503: "This node is at its limit for requests of this kind." => "Try again after the time in `Retry-After`, perhaps at another node.";
    bad_address 400: "A network of an API key is no network, or events may not be sent to the URL of a webhook." => "Name an address, or a network like `10.0.0.0/8`; name a public https URL, or ask the operator to allow the network.";
    bad_body 400: "The body is incomplete, or its chunks are malformed." => "Send the request again.";
    bad_credentials 401: "There is no account with this user name and password." => "Check both. The server does not say which of the two is wrong.";
    bad_handshake 400: "The request cannot become a WebSocket." => "Send the handshake of RFC 6455, in HTTP/1.1, with one access token.";
    bad_request 400: "The head of the request breaks the rules of HTTP/1.1." => "See `detail`; a client library does not make such requests.";
    blocked 403: "One of two people has blocked the other." => "Write in a group that both share: neither can write to the other in a direct conversation, and the blocked user cannot add the other to a group.";
    body_too_slow 408: "The body took too long." => "Send the body faster.";
    busy 503: "Too many passwords are being checked." => "Try again after the time in `Retry-After`.";
    conflict 409: "The present state forbids this." => "Load the state again, then decide.";
    consent_required 403: "A user shares no conversation with the caller, and this server wants the consent of such users." => "Start the group without the user, then add the user, who gets an invitation.";
    cursor_gone 410: "The server cannot continue from the cursor: `errors` says why." => "Load what you need by REST, and begin without a cursor.";
    direct_conversation 409: "A direct conversation has two members, no title and no roles." => "Start a group instead.";
    erased 410: "What was sent with this idempotency key was erased." => "Choose a new key for something new: what was erased cannot be sent again by a retry.";
    export_over 410: "The export has expired, the login or the key that was given the link has ended, or the server has another log by now." => "Ask for the export again, or request another one.";
    external_id_taken 409: "The external id belongs to a conversation of another kind, of other users, or of another service account." => "Choose another external id, or ask that service account to make you an owner.";
    forbidden 403: "The role of the caller, the kind of its credential or its address does not allow this; see `detail`." => "Ask an owner or an admin of the conversation, or use the credential that `detail` names.";
    headers_too_large 431: "The headers of the request are too large or too many." => "Send fewer or shorter headers.";
    hold_lifted 410: "The legal hold was lifted, so it keeps nothing any more." => "Place another hold, then ask for its export.";
    http_version_not_supported 505: "The request has another version than HTTP/1.1." => "Send the request in HTTP/1.1.";
    idempotency_key_required 400: "The message has no idempotency key, so a retry could become a second message." => "Send `client_id` in the body or the header `Idempotency-Key`.";
    idempotency_mismatch 409: "The key was used for another body before." => "Choose a new key for a new request.";
    internal 500: "The server failed." => "Report this with the `request_id`.";
    invalid_body 400: "The body is no JSON of the documented shape." => "See `errors`: each entry has a pointer to the field, a code and what is expected.";
    invalid_grant 401: "The refresh token is not valid, or not valid any more." => "Log in again.";
    invalid_invite 403: "The invitation code is missing, wrong, used up, revoked or expired." => "Ask the operator for another one.";
    invalid_key 401: "The API key is not valid, or was revoked." => "Use another key.";
    invalid_parameter 400: "A parameter of the request is invalid or unknown." => "See `errors`: each entry names the parameter and what is expected.";
    invalid_recovery 401: "The recovery token is wrong, spent, replaced or expired." => "Ask for another one.";
    invalid_token 400 401: "The access token is not valid." => "Log in again; with a token of an external issuer, get a new one there.";
    key_expired 401: "The time of the API key is over." => "Use another key.";
    lagging_node 503: "This node does not hear from the log." => "Reconnect with your last cursor, perhaps at another node.";
    last_owner 409: "The conversation would have no owner." => "Make another member owner first.";
    login_revoked 401: "The login was revoked." => "Log in again.";
    may_not_act_for 403: "There is no such user, or none for whom the service account may act." => "Name an active user whom a host application or an external issuer has brought.";
    message_deleted 409: "The message has been deleted." => "Choose another message.";
    method_not_allowed 405: "The resource does not have this method." => "Use a method that the header `Allow` names.";
    missing_scope 403: "The caller has no scope for this operation; `detail` names the scope." => "Use an API key that has the scope.";
    missing_token 401: "The request has no access token." => "Send the header `Authorization: Bearer <access token>`.";
    no_such_member 404: "The user is not a member of the conversation." => "Add the user first.";
    no_such_message 404: "The message in `reply_to` does not exist in this conversation." => "Name a message of this conversation.";
    not_configured 503: "The operator has not set what this needs; `detail` names the setting." => "Ask the operator to set it.";
    not_found 404: "The thing does not exist, or the caller may not see it." => "Check the id, and whose token you send.";
    not_implemented 501: "The server does not know the method, or the transfer coding of the body." => "Use what the document names.";
    not_yet 503: "The views have not reached the requested position yet." => "Send the same request again after the time in `Retry-After`.";
    origin_not_allowed 403: "Web pages of this origin may not use this server." => "Ask the operator to add the origin to VERBATIM_ORIGINS.";
    rate_limited 429: "The caller sent too many requests." => "Wait for the time in `Retry-After`.";
    registration_closed 403: "Nobody can register at this server." => "Ask the operator for an account.";
    stopping 503: "This node stops." => "Try again: another node answers.";
    suspended 403: "The account is suspended." => "Ask the operator.";
    temporary_reduced_capacity 503: "This node has too much to do and refuses work of this kind." => "Send the same again after the time in `Retry-After`, perhaps to another node.";
    token_expired 400 401: "The access token has expired." => "Refresh the token.";
    token_in_url 400: "The URL carries an access token, and proxies and browser histories keep URLs." => "Send the token as `Authorization: Bearer`, or from a browser as the subprotocol entry `bearer.<token>`; log in again.";
    too_large 413: "The body, or the event that would be stored, has too many bytes." => "Send less.";
    too_many_archived 409: "Too many conversations are archived." => "Take a conversation out of the archive first.";
    too_many_at_once 429: "This user has too many requests of this kind under way on this node." => "Wait for their answers, then ask again.";
    too_many_blocks 409: "The caller has blocked too many users." => "Unblock a user first.";
    too_many_conversations 409: "A new member is in too many conversations." => "This user has to leave a conversation first.";
    too_many_exports 429: "The account has asked for two exports of its data, or of the legal hold, within 24 hours." => "Download one of these, or ask again after the time in `Retry-After`.";
    too_many_followers 429: "This user has too many requests that follow events on this node." => "End another one first.";
    too_many_holds 409: "There are 100 active holds." => "Lift one first.";
    too_many_invitations 409: "One of the two users has too many open invitations." => "Wait until some of them are accepted or expire.";
    too_many_invites 409: "There are too many invitation codes." => "Wait until some of them have been gone for 30 days.";
    too_many_keys 409: "The service account has ten live keys." => "Revoke a key first.";
    too_many_members 409: "The conversation is full." => "A member has to leave first.";
    too_many_pins 409: "Too many messages are pinned in this conversation." => "Unpin a message first.";
    too_many_reactions 409: "The caller has too many reactions to this message." => "Remove a reaction first.";
    too_many_replays 409: "The webhook has four replays under way." => "Wait for the end of one.";
    too_many_sockets 429: "This user has too many open sockets on this node." => "Close a socket first.";
    too_many_webhooks 409: "There are 500 webhooks." => "Remove one first.";
    unavailable 503: "The log or the database does not answer." => "Send the same request again, with the same key, after the time in `Retry-After`.";
    unknown_issuer 400 401: "The issuer of the token is not known here." => "Send a token of an issuer that the operator has set up.";
    unknown_protocol 400: "The client did not offer the subprotocol `verbatim.v1`." => "Offer `verbatim.v1` in `Sec-WebSocket-Protocol`.";
    unknown_scope 400: "A word in `scopes` is no scope." => "See `errors`, which name all scopes.";
    unsupported_encoding 415: "The body is compressed." => "Send the body without `Content-Encoding`.";
    unsupported_media_type 415: "The body is not JSON." => "Send JSON with the header `Content-Type: application/json`.";
    upgrade_required 426: "This address speaks WebSocket, version 13, and nothing else." => "Send `Connection: Upgrade` and `Upgrade: websocket`, and check that no proxy removes these headers.";
    uri_too_long 414: "The request target is too long." => "Send a shorter target.";
    username_taken 409: "The user name is taken, or too similar to a taken name." => "Choose another name.";
    with_oneself 400: "The caller named themselves for a direct conversation." => "Name another user.";
    wrong_password 403: "The current password is wrong." => "Check the password; nothing was changed.";
}

/// The path under which the codes are explained.
pub(crate) const PATH: &str = "/problems";

/// The code with this name.
pub(crate) fn find(code: &str) -> Option<&'static Code> {
    ALL.iter().find(|known| known.code == code)
}

/// Whether a code is in the list. Every code of a problem has to be.
pub(crate) fn is_known(code: &str) -> bool {
    find(code).is_some()
}

impl Code {
    /// The explanation of the code as JSON, for programs.
    pub(crate) fn json(&self) -> Value {
        let Self { code, status, cause, cure } = self;
        json!({ "type": format!("{PATH}/{code}"), "code": code, "status": status, "cause": cause, "cure": cure })
    }

    /// The explanation of the code as an HTML page, for people. All its text comes from the list above.
    pub(crate) fn html(&self) -> String {
        let Self { code, status, cause, cure } = self;
        let mut statuses = String::new();
        for status in *status {
            // Writing into a String does not fail.
            let _ = write!(statuses, "{status} ");
        }
        let plain = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;");
        let (cause, cure) = (plain(cause), plain(cure));
        format!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{code}</title><h1>{statuses}<code>{code}</code></h1>\
             <p>{cause}</p><p>{cure}</p><p><a href=\"{PATH}\">All problems</a></p></html>\n"
        )
    }
}

/// All codes, as the document lists them.
pub(crate) fn all() -> Value {
    ALL.iter().map(Code::json).collect()
}
