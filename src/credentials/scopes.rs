//! The scopes of API keys and of people, which limit the requests of a caller.

use std::fmt;

macro_rules! scopes {
    ($($(#[doc = $doc:literal])+ $name:ident = $word:literal;)+) => {
        /// One kind of request that a key may make.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Scope { $($(#[doc = $doc])+ $name,)+ }

        impl Scope {
            /// Every scope.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The name of the scope.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)+ }
            }
        }
    };
}

scopes! {
    /// Reading the conversations of the account.
    ConversationsRead = "conversations:read";
    /// Starting conversations, and changing them, their members and their settings.
    ConversationsWrite = "conversations:write";
    /// Sending, editing and deleting messages, reacting and pinning.
    MessagesWrite = "messages:write";
    /// Reporting how far the account has read.
    ReceiptsWrite = "receipts:write";
    /// Finding users.
    UsersRead = "users:read";
    /// Provisioning users.
    UsersWrite = "users:write";
    /// Creating tokens for users.
    UsersTokens = "users:tokens";
    /// Acting for users whom a host application or an external issuer added.
    ActUsers = "act:users";
    /// Acting for all users.
    ActUsersAll = "act:users:all";
    /// Following the events of the account's conversations.
    EventsRead = "events:read";
    /// Consumers of the log.
    AdminConsumers = "admin:consumers";
    /// Webhooks.
    AdminWebhooks = "admin:webhooks";
    /// Service accounts and their keys.
    AdminServices = "admin:services";
    /// Erasure.
    AdminErasure = "admin:erasure";
    /// Exports.
    AdminExport = "admin:export";
    /// Legal holds.
    AdminHolds = "admin:holds";
}

impl Scope {
    /// The scope with this name.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|scope| scope.word() == word)
    }

    /// Whether the scope is for operators.
    pub fn is_admin(self) -> bool {
        self.word().starts_with("admin:")
    }

    const fn bit(self) -> u32 {
        1 << self as u8
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A set of scopes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scopes(u32);

impl Scopes {
    /// The scopes of every person. The rules of each conversation are checked separately.
    pub const PERSON: Self = Self(
        Scope::ConversationsRead.bit()
            | Scope::ConversationsWrite.bit()
            | Scope::MessagesWrite.bit()
            | Scope::ReceiptsWrite.bit()
            | Scope::UsersRead.bit()
            | Scope::EventsRead.bit(),
    );

    /// Every scope.
    pub fn all() -> Self {
        Scope::ALL.iter().copied().collect()
    }

    /// Whether a scope is in the set.
    pub const fn contains(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }

    /// The scopes that are in both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The scopes of the set.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.iter().copied().filter(move |scope| self.contains(*scope))
    }

    /// The names of the scopes.
    pub fn words(self) -> Vec<String> {
        self.iter().map(|scope| scope.word().to_owned()).collect()
    }

    /// The set of stored names. A name that this version does not know grants nothing.
    pub fn known(words: &[String]) -> Self {
        words.iter().filter_map(|word| Scope::named(word)).collect()
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |set, scope| set | scope.bit()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_written_and_read_by_the_words_of_the_contract() {
        let words = [
            "conversations:read",
            "conversations:write",
            "messages:write",
            "receipts:write",
            "users:read",
            "users:write",
            "users:tokens",
            "act:users",
            "act:users:all",
            "events:read",
            "admin:consumers",
            "admin:webhooks",
            "admin:services",
            "admin:erasure",
            "admin:export",
            "admin:holds",
        ];
        assert_eq!(Scopes::all().words(), words);
        assert_eq!(Scopes::known(&Scopes::all().words()), Scopes::all());
        assert_eq!(Scopes::known(&["admin:moon".to_owned()]), Scopes::default());
        assert_eq!(Scope::named("admin:moon"), None);
        let both = Scopes::all().and(Scopes::PERSON);
        assert_eq!(both, Scopes::PERSON);
        assert!(!both.contains(Scope::AdminServices) && both.contains(Scope::MessagesWrite));
    }
}
