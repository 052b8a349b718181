//! The claims of the operator and the accounts.

use serde_json::{Value, json};

use crate::authority::subjects::{
    CONNECTIONS, FOR_CONSUMERS, INBOX_OF_CONSUMERS, OF_CONSUMERS, RAFT, VARZ, connections_of,
};

/// The public keys by which the accounts refer to one another.
pub(super) struct Names<'a> {
    pub(super) system: &'a str,
    pub(super) chat: &'a str,
    pub(super) readers: &'a str,
    /// The key that signs consumers. It can sign no other users.
    pub(super) consumers: &'a str,
}

/// The operator: the key that signs accounts, and the system account.
pub(super) fn operator(signing_key: &str, system: &str) -> Value {
    json!({ "type": "operator", "version": 2, "signing_keys": [signing_key], "system_account": system })
}

/// SYS: the account of the servers themselves. It answers the requests that Verbatim sends to every server.
pub(super) fn system(names: &Names<'_>) -> Value {
    let export = |name: &str, subject: &str| json!({ "name": name, "subject": subject, "type": "service", "response_type": "Stream" });
    let exports =
        [export("varz", VARZ), export("raft", RAFT), export("connections", &connections_of(names.readers))];
    json!({ "type": "account", "version": 2, "limits": limits(0), "exports": exports })
}

/// CHAT: the account of the log, of the nodes and the eraser, and of the person who operates the log.
pub(super) fn chat(names: &Names<'_>) -> Value {
    let imports = json!([
        { "name": "varz", "subject": VARZ, "account": names.system, "type": "service" },
        { "name": "raft", "subject": RAFT, "account": names.system, "type": "service" },
        {
            "name": "connections", "subject": connections_of(names.readers), "local_subject": CONNECTIONS,
            "account": names.system, "type": "service",
        },
    ]);
    let exports: Vec<Value> = FOR_CONSUMERS
        .iter()
        .map(|(subject, _, is_stream)| {
            let answers = if *is_stream { "Stream" } else { "Singleton" };
            json!({ "name": subject, "subject": subject, "type": "service", "response_type": answers })
        })
        .collect();
    json!({ "type": "account", "version": 2, "limits": limits(-1), "imports": imports, "exports": exports })
}

/// READERS: consumers have an account of their own, because permissions do not cover the reply subject of a request. In
/// the account of the log, a consumer could direct the server's reply to a subject of `chat.>`, and it would be stored
/// as an event. Replies that cross accounts stay on the consumer's side.
pub(super) fn readers(names: &Names<'_>) -> Value {
    let imports: Vec<Value> = FOR_CONSUMERS
        .iter()
        .map(|(there, here, _)| {
            let mut import =
                json!({ "name": there, "subject": there, "account": names.chat, "type": "service" });
            if there != here {
                import["local_subject"] = (*here).into();
            }
            import
        })
        .collect();
    let template = json!({
        "pub": { "allow": OF_CONSUMERS }, "sub": { "allow": [INBOX_OF_CONSUMERS] },
        "subs": 100, "data": -1, "payload": 128 << 10,
    });
    let consumers = json!({
        "kind": "user_scope", "key": names.consumers, "role": "consumer", "template": template,
        "description": "consumers of the log",
    });
    json!({
        "type": "account", "version": 2, "limits": limits(0), "imports": imports, "signing_keys": [consumers],
    })
}

/// The limits of an account: none except for JetStream, which is `-1` (no limit) where the account may use it and `0`
/// otherwise.
fn limits(jetstream: i64) -> Value {
    json!({
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1,
        "mem_storage": jetstream, "disk_storage": jetstream, "streams": jetstream, "consumer": jetstream,
        "max_ack_pending": jetstream,
    })
}
