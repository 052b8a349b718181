//! Users: their JWTs, and the files with which they log in.

use serde_json::{Value, json};

use crate::authority::{
    NKey,
    subjects::{ASKS_STREAMS, COMMANDS, NOT_OF_ERASER, OF_CONSUMERS, OF_ERASER, OF_NODES, of_mirror},
    token::{Said, signed},
};

/// The text of a `.creds` file, which contains the JWT of a user and its private key.
fn creds(token: &str, user: &NKey) -> String {
    format!(
        "-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n\
         The key below is a credential: keep this file secret.\n\n\
         -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
        user.seed()
    )
}

/// The `.creds` of a user of an account with these permissions to publish. If `publish` is `None`, the user may do
/// everything in the account.
fn with_rights(account: &NKey, name: &str, at: i64, publish: Option<&[&str]>, denied: &[&str]) -> String {
    let mut publish = publish.map_or_else(|| json!({}), |allow| json!({ "allow": allow }));
    if !denied.is_empty() {
        publish["deny"] = json!(denied);
    }
    let nats = json!({
        "type": "user", "version": 2, "pub": publish, "sub": {}, "subs": -1, "data": -1, "payload": -1,
    });
    let user = NKey::of_user();
    let said = Said { subject: &user.public(), name, at, expires: None, nats };
    creds(&signed(account, said), &user)
}

/// The user of the nodes.
pub(super) fn node(chat: &NKey, at: i64) -> String {
    with_rights(chat, "verbatim", at, Some(OF_NODES), &[])
}

/// The user of the eraser, for a server that knows the key of the account of the log. The user may also delete from
/// `mirrors` in other JetStream domains, each given as a stream and its domain.
pub(crate) fn eraser<'a>(
    chat: &NKey,
    at: i64,
    mirrors: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> String {
    let elsewhere: Vec<String> = mirrors.into_iter().flat_map(|of| of_mirror(of.0, of.1)).collect();
    let publish: Vec<&str> = OF_ERASER.iter().copied().chain(elsewhere.iter().map(String::as_str)).collect();
    with_rights(chat, "eraser", at, Some(&publish), NOT_OF_ERASER)
}

/// A person who creates, changes and repairs streams, and takes backups.
pub(super) fn operator(chat: &NKey, at: i64) -> String {
    with_rights(chat, "operator", at, None, &[])
}

/// A person who monitors and controls the servers, and sends them the JWTs of accounts.
pub(super) fn system(system: &NKey, at: i64) -> String {
    with_rights(system, "sys", at, None, &[])
}

/// A consumer as a user with a password, for the account READERS of a configuration with `accounts {}`. The password comes
/// from the environment.
pub(crate) fn with_password(name: &str, commands: bool) -> String {
    let granted = |subject: &&&str| match subject {
        // A user with a password has no tags, so this subject is granted to none.
        _ if subject.contains("{{tag(streams)}}") => false,
        _ => commands || !subject.contains("{{tag("),
    };
    let filled = |subject: &str| {
        let subject = subject.replace("{{name()}}", name).replace("{{tag(bot)}}", "commands");
        format!("      {:?}\n", subject.replace("{{tag(asks)}}", "verbatim"))
    };
    let publish: String = OF_CONSUMERS.iter().filter(granted).map(|subject| filled(subject)).collect();
    let variable = name.to_uppercase().replace('-', "_");
    format!(
        "{{\n  user: {name:?}\n  password: $VERBATIM_NATS_{variable}_PASSWORD\n  permissions: {{\n    publish: [\n{publish}    ]\n    \
         subscribe: [ \"_INBOX_{name}.>\" ]\n  }}\n}}\n"
    )
}

/// A consumer of the log, as its JWT describes it.
#[derive(Debug, Clone)]
pub(crate) struct Consumer<'a> {
    /// Its name, which is also the name of its durables.
    pub(crate) name: &'a str,
    /// The public key of the account of consumers.
    pub(crate) account: &'a str,
    /// Whether it reads all conversations.
    pub(crate) reads_all: bool,
    /// Whether it may send commands.
    pub(crate) commands: bool,
    /// Seconds since 1970.
    pub(crate) expires: Option<i64>,
}

impl Consumer<'_> {
    /// The public key of a new user, and its `.creds`. The permissions belong to the signing key: the user has no
    /// others.
    pub(crate) fn signed(&self, by: &NKey, at: i64) -> (String, String) {
        let mut tags: Vec<&str> = Vec::new();
        if self.reads_all {
            tags.push(ASKS_STREAMS);
        }
        if self.commands {
            tags.extend(COMMANDS);
        }
        let nats: Value = json!({ "type": "user", "version": 2, "issuer_account": self.account, "tags": tags, "pub": {}, "sub": {} });
        let user = NKey::of_user();
        let said = Said { subject: &user.public(), name: self.name, at, expires: self.expires, nats };
        (user.public(), creds(&signed(by, said), &user))
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};

    use super::*;

    /// The words of a configuration, without comments and layout.
    fn tokens(text: &str) -> Vec<&str> {
        let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
        lines.flat_map(str::split_whitespace).collect()
    }

    #[test]
    fn the_reader_of_the_passwords_is_an_ordinary_consumer() {
        let conf = tokens(include_str!("../../deploy/passwords.conf")).join(" ");
        let reader = tokens(&with_password("reader", true)).join(" ");
        assert!(conf.contains(&reader), "{reader}\nis not in\n{conf}");
        assert!(!with_password("reader", false).contains("commands"));
    }

    #[test]
    fn the_eraser_may_delete_from_mirrors_in_other_domains_that_are_named() {
        let rights = |mirrors: &[(&str, &str)]| {
            let file = eraser(&NKey::of_account(), 0, mirrors.iter().copied());
            let token = file.lines().nth(1).expect("a token").split('.').nth(1).expect("claims").to_owned();
            String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(token).expect("base64")).expect("text")
        };
        let delete = "$JS.hub.API.STREAM.MSG.DELETE.CHAT_0_COPY";
        assert!(rights(&[("CHAT_0_COPY", "hub")]).contains(delete) && !rights(&[]).contains("hub"));
    }
}
