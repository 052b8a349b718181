//! The codes of problems, each with its cause and its cure. The OpenAPI document has the list, and the `type`
//! of a problem points to the entry at `/problems/<code>`.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// One kind of problem.
pub(crate) struct Code {
    code: &'static str,
    /// The statuses with which the code is sent.
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
    ahead_of_head 400: "The conversation has not reached the position in the request." => "Send a position that you have seen.";
    already_started 409: "The conversation exists already." => "Use the existing conversation.";
    answers_unread 429: "Too many bytes of responses to this account are unread." => "Read these responses, or close their connections, then send the request again.";
    at_capacity 503: "This node is at its limit for requests of this kind." => "Try again after the time in `Retry-After`, or use another node.";
    bad_address 400: "A network of an API key is invalid, or events may not be sent to the URL of a webhook." => "For a key, send an address, or a network like `10.0.0.0/8`. For a webhook, send a public https URL, or ask the operator to allow the network.";
    bad_body 400: "The body is incomplete, or its chunks are malformed." => "Send the request again.";
    bad_credentials 401: "There is no account with this user name and password." => "Check both. The server does not say which of the two is wrong.";
    bad_handshake 400: "The request cannot become a WebSocket." => "Send the handshake of RFC 6455 over HTTP/1.1, with one access token.";
    bad_reference 400: "The message in `reply_to` does not exist in this conversation, was deleted, or the caller may not see it." => "Name a message that the caller can read in this conversation.";
    bad_request 400: "The start line or a header of the request violates HTTP/1.1." => "See `detail`. HTTP client libraries do not send such requests.";
    blocked 403: "One of two users has blocked the other." => "Write in a group that both share. Neither can write to the other in a direct conversation, and the blocked user cannot add the other to a group.";
    body_too_slow 408: "The body took too long to arrive." => "Send the body faster.";
    busy 503: "Too many passwords are being checked at the moment." => "Try again after the time in `Retry-After`.";
    conflict 409: "The current state does not allow this." => "Load the state again before you retry.";
    consent_required 403: "A user shares no conversation with the caller, and this server requires the consent of such users." => "Start the group without the user, then add the user, who is invited.";
    cursor_gone 410: "The server cannot continue from the cursor. `errors` has the reason." => "Load your data by REST, then start without a cursor.";
    direct_conversation 409: "A direct conversation has two members, no title and no roles." => "Start a group instead.";
    erased 410: "The content that was sent with this idempotency key was erased and cannot be sent again." => "Choose a new key for new content.";
    export_over 410: "The export has expired, the login or the key of the link has ended, or the server has another log now." => "Get the export again for a new link, or request another export.";
    external_id_taken 409: "The external id belongs to a conversation of another kind, with other users, or of another service account." => "Choose another external id, or ask the other service account to make you an owner.";
    forbidden 403: "The role of the caller, its kind of credential or its address does not allow this. `detail` says which." => "Ask an owner or an admin of the conversation, or use the credential that `detail` names.";
    headers_too_large 431: "The headers of the request are too large or too many." => "Send fewer or shorter headers.";
    hold_lifted 410: "The legal hold was lifted and keeps nothing any longer." => "Place another hold, then request its export.";
    http_version_not_supported 505: "The request uses an HTTP version other than HTTP/1.1." => "Send the request in HTTP/1.1.";
    idempotency_key_required 400: "The message has no idempotency key, so a retry could create a second message." => "Send `client_id` in the body, or the header `Idempotency-Key`.";
    idempotency_mismatch 409: "The idempotency key was used with another body." => "Choose a new key for a new request.";
    internal 500: "The server failed." => "Report the `request_id` to the operator.";
    invalid_body 400: "The body does not have the documented structure." => "See `errors`: each entry has a pointer to the field, a code and what is expected.";
    invalid_grant 401: "The refresh token is invalid, or no longer valid." => "Log in again.";
    invalid_invite 403: "The invitation code is missing, wrong, used up, revoked or expired." => "Ask the operator for another code.";
    invalid_key 401: "The API key is invalid or revoked." => "Use another key.";
    invalid_parameter 400: "A parameter of the request is invalid or unknown." => "See `errors`: each entry names the parameter and what is expected.";
    invalid_recovery 401: "The recovery token is wrong, used, replaced or expired." => "Ask the operator for another token.";
    invalid_token 400 401: "The access token is invalid." => "Log in again. For a token of an external issuer, get a new one from the issuer.";
    key_expired 401: "The API key has expired." => "Use another key.";
    lagging_node 503: "This node has lost its connection to the log." => "Reconnect with your last cursor, preferably to another node.";
    last_owner 409: "The conversation would have no owner." => "Make another member an owner first.";
    login_revoked 401: "The login was revoked." => "Log in again.";
    may_not_act_for 403: "There is no such user, or the service account may not act for this user." => "Name an active user who comes from a host application or an external issuer.";
    message_deleted 409: "The message has been deleted." => "Choose another message.";
    method_not_allowed 405: "The resource does not support this method." => "Use one of the methods in the header `Allow`.";
    missing_scope 403: "The caller lacks the scope for this operation. `detail` names the scope." => "Use an API key that has the scope.";
    missing_token 401: "The request has no access token." => "Send the header `Authorization: Bearer <access token>`.";
    no_password 409: "The account has no password, because its user comes from a host application or an external issuer." => "Let the user log in there.";
    no_such_member 404: "The user is not a member of the conversation." => "Add the user first.";
    not_configured 503: "The operation needs a setting that the operator has not made. `detail` names it." => "Ask the operator to make the setting.";
    not_found 404: "The resource does not exist, or the caller may not see it." => "Check the id and the access token.";
    not_implemented 501: "The server does not support the method, or the transfer coding of the body." => "Use the methods in the API reference, and no transfer coding other than `chunked`.";
    not_yet 503: "The views have not caught up with the requested position yet." => "Send the same request again after the time in `Retry-After`.";
    origin_not_allowed 403: "Web pages of this origin may not use this server." => "Ask the operator to add the origin to VERBATIM_ORIGINS.";
    rate_limited 429: "The caller sent too many requests." => "Wait for the time in `Retry-After`, then send the request again.";
    registration_closed 403: "This server does not accept registrations." => "Ask the operator for an account.";
    stopping 503: "This node is shutting down." => "Try again: another node responds.";
    suspended 403: "The account is suspended." => "Ask the operator.";
    temporary_reduced_capacity 503: "This node is overloaded and refuses requests of this kind." => "Send the same request again after the time in `Retry-After`, or to another node.";
    token_expired 400 401: "The access token has expired." => "Refresh the token.";
    token_in_url 400: "The URL has an access token, and proxies and browser histories store URLs." => "Send the token as `Authorization: Bearer`, or from a browser as the subprotocol entry `bearer.<token>`. Log in again, because this token may have leaked.";
    too_large 413: "The body, or the event that the server would store, is too large." => "Send a shorter body.";
    too_many_archived 409: "The caller has archived too many conversations." => "Unarchive a conversation first.";
    too_many_at_once 429: "This user has too many requests of this kind in progress on this node." => "Wait for their responses, then send the request again.";
    too_many_blocks 409: "The caller has blocked too many users." => "Unblock a user first.";
    too_many_conversations 409: "A new member is in too many conversations." => "Ask the user to leave a conversation first.";
    too_many_followers 429: "This user follows events with too many requests on this node." => "End another of these requests first.";
    too_many_holds 409: "There are 100 active holds." => "Lift a hold first.";
    too_many_invitations 409: "One of the two users has too many open invitations." => "Wait until some of them are accepted or expire.";
    too_many_invites 409: "There are too many invitation codes." => "Wait until some of them have been expired or revoked for 30 days.";
    too_many_keys 409: "The service account has ten live keys, which is the maximum." => "Revoke a key first.";
    too_many_members 409: "The conversation is full." => "Remove a member first.";
    too_many_pins 409: "Too many messages are pinned in this conversation." => "Unpin a message first.";
    too_many_reactions 409: "The caller has too many reactions to this message." => "Remove a reaction first.";
    too_many_replays 409: "The webhook has four replays in progress, which is the maximum." => "Wait until one of them has ended.";
    too_many_sockets 429: "This user has too many open sockets on this node." => "Close a socket first.";
    too_many_webhooks 409: "There are 500 webhooks, which is the maximum." => "Remove a webhook first.";
    unavailable 503: "The log or the database is not available." => "Send the same request again, with the same key, after the time in `Retry-After`.";
    unknown_issuer 400 401: "The issuer of the token is not known to this server." => "Send a token of an issuer that the operator has configured.";
    unknown_protocol 400: "The client did not offer the subprotocol `verbatim.v1`." => "Offer `verbatim.v1` in `Sec-WebSocket-Protocol`.";
    unknown_scope 400: "A word in `scopes` is not a scope." => "See `errors`, which list all scopes.";
    unsupported_encoding 415: "The body is compressed." => "Send the body without `Content-Encoding`.";
    unsupported_media_type 415: "The body is not JSON." => "Send JSON with the header `Content-Type: application/json`.";
    upgrade_required 426: "This address accepts only WebSocket, version 13." => "Send `Connection: Upgrade` and `Upgrade: websocket`, and check that no proxy removes these headers.";
    uri_too_long 414: "The request target is too long." => "Send a shorter target.";
    username_taken 409: "The user name is taken, or too similar to a taken name." => "Choose another name.";
    with_oneself 400: "The caller tried to start a direct conversation, or to block, with their own account." => "Name another user.";
    wrong_password 403: "The current password is wrong." => "Check the password. Nothing was changed.";
}

/// The path under which the codes are explained.
pub(crate) const PATH: &str = "/problems";

/// The code with this name.
pub(crate) fn find(code: &str) -> Option<&'static Code> {
    ALL.iter().find(|known| known.code == code)
}

/// Whether a code is in the list. The code of every problem has to be.
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
        let (cause, cure) = (marked_up(cause), marked_up(cure));
        format!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{code}</title><h1>{statuses}<code>{code}</code></h1>\
             <p>{cause}</p><p>{cure}</p><p><a href=\"{PATH}\">All problems</a></p></html>\n"
        )
    }
}

/// A text as HTML. A word between two backticks is code.
fn marked_up(text: &str) -> String {
    let plain = text.replace('&', "&amp;").replace('<', "&lt;");
    let parts = plain.split('`').enumerate();
    parts
        .map(|(at, part)| if at % 2 == 0 { part.to_owned() } else { format!("<code>{part}</code>") })
        .collect()
}

/// The list of all codes as an HTML page, for people.
pub(crate) fn all_html() -> String {
    let item = |Code { code, .. }: &Code| format!("<li><a href=\"{PATH}/{code}\"><code>{code}</code></a>");
    let items: String = ALL.iter().map(item).collect();
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Problems</title><h1>Problems</h1>\
         <ul>{items}</ul></html>\n"
    )
}

/// All codes, as the document lists them.
pub(crate) fn all() -> Value {
    ALL.iter().map(Code::json).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_shows_code_as_code() {
        assert_eq!(
            marked_up("wait: `Retry-After` & `<b>`."),
            "wait: <code>Retry-After</code> &amp; <code>&lt;b></code>."
        );
        for code in ALL {
            let page = code.html();
            assert!(!page.contains('`'), "{page}");
            assert_eq!(page.matches("<code>").count(), page.matches("</code>").count());
        }
    }
}
