//! All keys and files of a new installation of NATS.

use crate::authority::{
    NKey,
    accounts::{self, Names},
    token::{Said, signed},
    user,
};

/// The file that nats-server includes. It is written last: if it exists, all others do.
pub(crate) const ACCOUNTS: &str = "accounts.conf";

/// The `.creds` of the nodes.
pub(crate) const NODE: &str = "verbatim.creds";
/// The `.creds` of the eraser.
pub(crate) const ERASER: &str = "eraser.creds";
/// The `.creds` of the person who operates the log.
pub(crate) const OPERATOR: &str = "operator.creds";
/// The `.creds` of the person who operates the servers.
pub(crate) const SYSTEM: &str = "sys.creds";
/// The key that signs accounts.
pub(crate) const OPERATOR_KEY: &str = "operator-signing.nk";
/// The key that signs consumers and nothing else, and the account to which it belongs.
pub(crate) const CONSUMERS_KEY: &str = "consumers.key";
/// The key of the account of the log.
pub(crate) const CHAT_KEY: &str = "chat.nk";
/// The names of all files.
pub(crate) const FILES: [&str; 11] = [
    "operator.nk",
    OPERATOR_KEY,
    "sys.nk",
    CHAT_KEY,
    "readers.nk",
    CONSUMERS_KEY,
    NODE,
    ERASER,
    OPERATOR,
    SYSTEM,
    ACCOUNTS,
];

/// A file of an installation.
pub(crate) struct NewFile {
    /// Its name.
    pub(crate) name: &'static str,
    /// Its content.
    pub(crate) text: String,
    /// Whether it contains a private key.
    pub(crate) is_secret: bool,
}

/// The files of a new installation, with new keys. The last one is [`ACCOUNTS`].
pub(crate) fn installation(at: i64) -> Vec<NewFile> {
    let (operator, signing) = (NKey::of_operator(), NKey::of_operator());
    let [system, chat, readers, consumers] = [(); 4].map(|()| NKey::of_account());
    let (system_name, chat_name, readers_name) = (system.public(), chat.public(), readers.public());
    let names = Names {
        system: &system_name,
        chat: &chat_name,
        readers: &readers_name,
        consumers: &consumers.public(),
    };
    let account =
        |subject: &str, name: &str, nats| signed(&signing, Said { subject, name, at, expires: None, nats });
    let operator_token = signed(
        &operator,
        Said {
            subject: &operator.public(),
            name: "verbatim",
            at,
            expires: None,
            nats: accounts::operator(&signing.public(), &system_name),
        },
    );
    let conf = format!(
        "# The accounts of NATS, made by `verbatim nats init`. This file has no private key and is not secret.\n\
         # nats-server keeps the accounts, and the users revoked since, in the folder VERBATIM_NATS_JWT_DIR.\n\n\
         operator: \"{operator_token}\"\n\
         system_account: \"{system_name}\"\n\
         resolver {{\n  type: full\n  dir: $VERBATIM_NATS_JWT_DIR\n  allow_delete: false\n  interval: \"2s\"\n}}\n\
         resolver_preload {{\n\
         \x20 # SYS\n  {system_name}: \"{}\"\n\
         \x20 # CHAT\n  {chat_name}: \"{}\"\n\
         \x20 # READERS\n  {readers_name}: \"{}\"\n}}\n",
        account(&system_name, "SYS", accounts::system(&names)),
        account(&chat_name, "CHAT", accounts::chat(&names)),
        account(&readers_name, "READERS", accounts::readers(&names)),
    );
    let secret = |name, text| NewFile { name, text, is_secret: true };
    let seed = |name, key: &NKey| secret(name, key.seed() + "\n");
    vec![
        seed("operator.nk", &operator),
        seed(OPERATOR_KEY, &signing),
        seed("sys.nk", &system),
        seed(CHAT_KEY, &chat),
        seed("readers.nk", &readers),
        secret(CONSUMERS_KEY, format!("{}\n{readers_name}\n", consumers.seed())),
        secret(NODE, user::node(&chat, at)),
        secret(ERASER, user::eraser(&chat, at, [])),
        secret(OPERATOR, user::operator(&chat, at)),
        secret(SYSTEM, user::system(&system, at)),
        NewFile { name: ACCOUNTS, text: conf, is_secret: false },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_named_and_only_those_with_keys_are_secret() {
        let files = installation(1_000);
        assert_eq!(files.iter().map(|file| file.name).collect::<Vec<_>>(), FILES);
        for file in &files {
            let has_a_key = ["SO", "SA", "SU"]
                .iter()
                .any(|kind| file.text.lines().any(|line| line.starts_with(kind) && line.len() == 58));
            assert_eq!(file.is_secret, has_a_key, "{}", file.name);
        }
    }
}
