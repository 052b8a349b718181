//! What a caller may ask for: the scopes of API keys, and of people.

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
    /// Telling how far the account has read.
    ReceiptsWrite = "receipts:write";
    /// Finding users.
    UsersRead = "users:read";
    /// Provisioning users.
    UsersWrite = "users:write";
    /// Making tokens for users.
    UsersTokens = "users:tokens";
    /// Acting for users whom the host application or an external issuer has brought.
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
    /// The scope of this name.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|scope| scope.word() == word)
    }

    /// Whether the scope is one of operators.
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
    /// What every person may do. The rules of each conversation are checked besides.
    pub const PERSON: Self = Self(
        Scope::ConversationsRead.bit()
            | Scope::ConversationsWrite.bit()
            | Scope::MessagesWrite.bit()
            | Scope::ReceiptsWrite.bit()
            | Scope::UsersRead.bit()
            | Scope::EventsRead.bit(),
    );

    /// Whether a scope is in the set.
    pub const fn contains(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }
}
