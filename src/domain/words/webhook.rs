//! Ids of webhooks and of their replays.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The text is not an id of this kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAPrefixedId(&'static str);

impl fmt::Display for NotAPrefixedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not an id: it must be `{}` and 32 hex digits", self.0)
    }
}

impl std::error::Error for NotAPrefixedId {}

macro_rules! prefixed {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(into = "String", try_from = "String")]
        pub struct $name(Uuid);

        impl $name {
            /// The id as Postgres keeps it.
            pub fn uuid(self) -> Uuid {
                self.0
            }

            /// An id that was generated before, as Postgres returns it.
            pub const fn known(id: Uuid) -> Self {
                Self(id)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0.simple())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = NotAPrefixedId;
            fn from_str(text: &str) -> Result<Self, NotAPrefixedId> {
                let digits = text.strip_prefix($prefix).filter(|digits| digits.len() == 32);
                let id = digits.and_then(|digits| Uuid::try_parse(digits).ok());
                id.map(Self).ok_or(NotAPrefixedId($prefix))
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }

        impl TryFrom<String> for $name {
            type Error = NotAPrefixedId;
            fn try_from(text: String) -> Result<Self, NotAPrefixedId> {
                text.parse()
            }
        }
    )+};
}

prefixed! {
    /// An endpoint to which events are sent.
    WebhookId = "we_";
    /// A replay of events to an endpoint.
    ReplayId = "wr_";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_written_and_no_other_text_is_one() {
        let id = WebhookId::known(Uuid::from_u128(7));
        assert_eq!(id.to_string(), "we_00000000000000000000000000000007");
        assert_eq!(id.to_string().parse(), Ok(id));
        for text in
            ["", "we_", "wr_00000000000000000000000000000007", "00000000-0000-0000-0000-000000000007", "we_é"]
        {
            assert!(text.parse::<WebhookId>().is_err(), "{text}");
        }
    }
}
