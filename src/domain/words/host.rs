//! The names that a host application gives: the ids of its users and conversations, and the roles of its users.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The text is not a valid name from a host application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAHostWord {
    limit: usize,
}

impl fmt::Display for NotAHostWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "not an id or a role: it must be 1 to {} of A-Z, a-z, 0-9, and . _ : @ -, and not only dots",
            self.limit
        )
    }
}

macro_rules! host_words {
    ($($(#[$doc:meta])* $name:ident = $limit:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(String);

        impl $name {
            /// The maximum number of characters.
            pub const LIMIT: usize = $limit;

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// A text that was parsed before, as Postgres returns it.
            pub fn known(text: String) -> Self {
                Self(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NotAHostWord;

            fn try_from(text: String) -> Result<Self, NotAHostWord> {
                let is_accepted = |b: u8| b.is_ascii_alphanumeric() || b"._:@-".contains(&b);
                // HTTP clients and proxies remove `.` and `..` from a path.
                let is_segment = text.bytes().any(|b| b != b'.');
                let fits = is_segment && text.len() <= Self::LIMIT && text.bytes().all(is_accepted);
                fits.then_some(Self(text)).ok_or(NotAHostWord { limit: Self::LIMIT })
            }
        }

        impl FromStr for $name {
            type Err = NotAHostWord;

            fn from_str(text: &str) -> Result<Self, NotAHostWord> {
                text.to_owned().try_into()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )+};
}

host_words! {
    /// The id that a host application gives to one of its users or conversations.
    ExternalId = 128;
    /// A role that a host application gives to one of its users. It says nothing about roles in conversations.
    HostRole = 64;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_of_a_host_is_short_and_plain() {
        for id in ["7", ".7", "user:42", "ana@example.com", "A.b_c-d", &"x".repeat(128)] {
            assert_eq!(id.parse::<ExternalId>().map(|id| id.to_string()), Ok(id.to_owned()));
        }
        for id in ["", ".", "..", "a b", "a/b", "ü", "a\0", "a>", "*", &"x".repeat(129)] {
            assert!(id.parse::<ExternalId>().is_err(), "{id:?}");
        }
        assert!("x".repeat(65).parse::<HostRole>().is_err());
    }
}
