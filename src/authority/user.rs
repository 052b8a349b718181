//! Users: their JWTs, and the files by which they log in.

use serde_json::json;

use crate::authority::{
    NKey,
    subjects::OF_NODES,
    token::{Said, signed},
};

/// The text of a `.creds` file, which has the JWT of a user and its private key.
fn creds(token: &str, user: &NKey) -> String {
    format!(
        "-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n\
         The key below proves who you are: keep this file secret.\n\n\
         -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
        user.seed()
    )
}

/// The `.creds` of a user of an account with these permissions to publish; without any, the user may do everything in
/// the account.
fn with_rights(account: &NKey, name: &str, at: i64, publish: Option<&[&str]>) -> String {
    let publish = publish.map_or_else(|| json!({}), |allow| json!({ "allow": allow }));
    let nats = json!({
        "type": "user", "version": 2, "pub": publish, "sub": {}, "subs": -1, "data": -1, "payload": -1,
    });
    let user = NKey::of_user();
    let said = Said { subject: &user.public(), name, at, expires: None, nats };
    creds(&signed(account, said), &user)
}

/// The user of the nodes.
pub(super) fn node(chat: &NKey, at: i64) -> String {
    with_rights(chat, "verbatim", at, Some(OF_NODES))
}

/// A person who makes and changes streams, takes backups and repairs.
pub(super) fn operator(chat: &NKey, at: i64) -> String {
    with_rights(chat, "operator", at, None)
}

/// A person who watches and controls the servers, and tells them of new accounts.
pub(super) fn system(system: &NKey, at: i64) -> String {
    with_rights(system, "sys", at, None)
}
