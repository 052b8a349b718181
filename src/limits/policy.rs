//! The policies in one table: the action that is limited, the owner of each budget, and the default rate.

use super::rate::{PolicyLimit, Rate};

macro_rules! policies {
    ($($(#[doc = $doc:literal])+ $name:ident = $number:literal, $word:literal, $key:literal, $quota:literal / $seconds:literal : $burst:literal;)+) => {
        /// A rate limit on one kind of request or frame.
        ///
        /// Nodes of other versions know a policy by its number: never give the number to another policy.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Policy { $($(#[doc = $doc])+ $name = $number,)+ }

        impl Policy {
            /// Every policy.
            pub const ALL: [Self; [$($number),+].len()] = [$(Self::$name),+];

            /// The name in headers, frames, metrics and settings.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)+ }
            }

            /// The owner of a budget, in words.
            pub const fn key(self) -> &'static str {
                match self { $(Self::$name => $key,)+ }
            }

            /// The rate unless an operator sets another.
            pub const fn default_rate(self) -> Rate {
                match self { $(Self::$name => Rate { quota: $quota, seconds: $seconds, burst: $burst },)+ }
            }

            /// The policy with this number; `None` for a policy of a newer version.
            pub(super) const fn numbered(number: u8) -> Option<Self> {
                match number { $($number => Some(Self::$name),)+ _ => None }
            }
        }
    };
}

policies! {
    /// All requests that carry no valid token.
    Address = 1, "address", "address", 600 / 60 : 100;
    /// Attempted passwords; the right password costs nothing.
    Login = 2, "login", "address group", 10 / 60 : 5;
    /// Registering accounts.
    Register = 3, "register", "address group", 5 / 3600 : 5;
    /// Every authenticated request and frame that has no policy of its own.
    User = 4, "user", "account", 1200 / 60 : 120;
    /// Sending, editing and deleting messages, reacting and pinning.
    Send = 5, "send", "account", 300 / 60 : 30;
    /// The same actions, for all members of a conversation together.
    Conversation = 6, "conversation", "conversation", 1200 / 60 : 200;
    /// Starting conversations.
    Start = 7, "start", "account", 60 / 3600 : 20;
    /// Bringing members into conversations, including new ones.
    Members = 8, "members", "account", 600 / 3600 : 200;
    /// Searching messages, and reading with `as_of`.
    Search = 9, "search", "account", 30 / 60 : 10;
    /// Handshakes of WebSockets.
    Connect = 10, "connect", "account", 30 / 60 : 10;
    /// Handshakes of WebSockets from one address.
    ConnectAddress = 11, "connect_address", "address", 120 / 60 : 40;
    /// Frames of any kind.
    Frames = 12, "frames", "socket", 120 / 10 : 60;
    /// Frames `typing`; those above the limit are dropped.
    Typing = 13, "typing", "account and conversation", 1 / 3 : 2;
    /// Frames `presence`; those above the limit are dropped.
    Presence = 14, "presence", "account", 6 / 60 : 6;
    /// Every request and frame of an API key, instead of `user` and `send`.
    Service = 15, "service", "API key", 6000 / 60 : 600;
    /// Requesting exports of the account's own data, and of each legal hold.
    Export = 16, "export", "account", 2 / 86_400 : 1;
}

impl Policy {
    /// The length of a table that is indexed by [`Policy::number`].
    pub(super) const ROWS: usize = 17;

    /// The index of the policy in tables, and its number in messages between nodes.
    pub(super) const fn number(self) -> u8 {
        self as u8
    }

    /// The default rate as a setting.
    pub fn default_limit(self) -> PolicyLimit {
        self.default_rate().into()
    }
}

/// The rates of all policies in a process: by default those of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rates([Option<Rate>; Policy::ROWS]);

impl Rates {
    /// The rate of a policy; `None` if it is off.
    pub fn of(&self, policy: Policy) -> Option<Rate> {
        self.0[usize::from(policy.number())]
    }

    /// Replaces the limit of one policy.
    #[must_use]
    pub fn with(mut self, policy: Policy, limit: PolicyLimit) -> Self {
        self.0[usize::from(policy.number())] = limit.of(policy.default_rate());
        self
    }
}

impl Default for Rates {
    fn default() -> Self {
        Policy::ALL
            .into_iter()
            .fold(Self([None; Policy::ROWS]), |rates, policy| rates.with(policy, policy.default_limit()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn numbers_and_words_are_each_one_of_a_kind_and_defaults_can_be_written() {
        let words: HashSet<_> = Policy::ALL.map(Policy::word).into_iter().collect();
        assert_eq!(words.len(), Policy::ALL.len());
        for policy in Policy::ALL {
            assert_eq!(Policy::numbered(policy.number()), Some(policy));
            assert!(usize::from(policy.number()) < Policy::ROWS);
            let written = policy.default_rate().to_string();
            assert_eq!(written.parse(), Ok(policy.default_limit()));
            assert_eq!(Rates::default().of(policy), Some(policy.default_rate()));
        }
    }

    #[test]
    fn one_limit_is_changed_and_the_others_stay() {
        let rates = Rates::default().with(Policy::User, PolicyLimit::Off);
        assert_eq!(rates.of(Policy::User), None);
    }
}
