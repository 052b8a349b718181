//! Texts as typed, parsed once at the edge. A value of these types is safe to keep forever.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::words::{
    joiners,
    visible::{is_visible, may_never_be_kept},
};

/// Why a text was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadText {
    /// The text has no visible character.
    Empty,
    /// The text has more than `limit` bytes of UTF-8.
    TooLong {
        /// The maximum length in bytes.
        limit: usize,
    },
    /// The text has a character that is not accepted.
    Forbidden(char),
}

impl fmt::Display for BadText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("no visible text: write at least one visible character"),
            Self::TooLong { limit } => write!(f, "too long: at most {limit} bytes of UTF-8"),
            Self::Forbidden(c) => {
                write!(f, "the character U+{:04X} is not accepted: remove it", u32::from(*c))
            }
        }
    }
}

impl std::error::Error for BadText {}

/// The text of a message: 1 byte to 16 KiB of UTF-8, kept exactly as typed. The only control characters are
/// line feeds, carriage returns before them, and tabs; clients isolate bidirectional text when they show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Text(String);

impl Text {
    /// The maximum length of a message's text, in bytes.
    pub const LIMIT: usize = 16 * 1024;
}

/// The title of a group: 1 to 256 bytes of UTF-8, one line, kept as typed. Invisible characters are accepted
/// only as parts of emoji and words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Title(String);

impl Title {
    /// The maximum length of a title, in bytes.
    pub const LIMIT: usize = 256;
}

/// An idempotency key, which identifies a retry: 8 to 64 of `A-Z a-z 0-9 _ -`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ClientId(String);

/// The key is not 8 to 64 accepted characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAKey;

impl fmt::Display for NotAKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an idempotency key: it must be 8 to 64 of A-Z, a-z, 0-9, _ and -")
    }
}

impl TryFrom<String> for Text {
    type Error = BadText;
    fn try_from(text: String) -> Result<Self, BadText> {
        check(&text, Self::LIMIT, not_in_a_text)?;
        Ok(Self(text))
    }
}

impl TryFrom<String> for Title {
    type Error = BadText;
    fn try_from(text: String) -> Result<Self, BadText> {
        check(&text, Self::LIMIT, not_in_a_name)?;
        Ok(Self(text))
    }
}

impl TryFrom<String> for ClientId {
    type Error = NotAKey;
    fn try_from(key: String) -> Result<Self, NotAKey> {
        let fits = (8..=64).contains(&key.len())
            && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        fits.then_some(Self(key)).ok_or(NotAKey)
    }
}

macro_rules! reads_as_str {
    ($($name:ident)+) => {$(
        impl $name {
            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> String {
                text.0
            }
        }
    )+};
}

reads_as_str! { Text Title ClientId }

fn check(text: &str, limit: usize, forbidden: impl Fn(&str) -> Option<char>) -> Result<(), BadText> {
    if text.len() > limit {
        return Err(BadText::TooLong { limit });
    }
    if let Some(c) = forbidden(text) {
        return Err(BadText::Forbidden(c));
    }
    text.chars().any(is_visible).then_some(()).ok_or(BadText::Empty)
}

/// The first character that is not accepted in a text. A carriage return is accepted only before a line feed,
/// because some systems write line breaks this way.
fn not_in_a_text(text: &str) -> Option<char> {
    let mut all = text.chars().peekable();
    while let Some(c) = all.next() {
        let breaks_the_line = c == '\r' && all.peek() == Some(&'\n');
        if may_never_be_kept(c) && !breaks_the_line {
            return Some(c);
        }
    }
    None
}

/// The first character that is not accepted in a name that other users see. Besides the characters that no
/// text may have, these are line breaks, tabs, direction controls, and invisible characters that are not a
/// part of an emoji or a word: such characters make one name look like another.
pub(crate) fn not_in_a_name(name: &str) -> Option<char> {
    let breaks_the_line = |c| matches!(c, '\n' | '\t' | '\u{2028}' | '\u{2029}');
    name.chars().find(|&c| may_never_be_kept(c) || breaks_the_line(c)).or_else(|| joiners::out_of_place(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Result<Text, BadText> {
        Text::try_from(text.to_owned())
    }

    #[test]
    fn a_message_is_kept_as_typed() {
        for typed in [
            "hello",
            "<script>",
            "'; DROP TABLE",
            "line\nbreak\ttab",
            "one\r\ntwo\r\n",
            "שלום \u{202B}x",
            "👩‍👩‍👧",
            "=cmd()",
        ] {
            assert_eq!(text(typed).map(String::from), Ok(typed.to_owned()));
        }
    }

    #[test]
    fn a_message_with_nothing_to_see_is_refused() {
        for typed in ["", "   ", "\n\t", "\u{200D}", "\u{0301}\u{0301}", "\u{202E}"] {
            assert_eq!(text(typed), Err(BadText::Empty), "{typed:?}");
        }
    }

    #[test]
    fn characters_that_stores_and_terminals_choke_on_are_refused() {
        for c in ['\0', '\u{1b}', '\r', '\u{85}', '\u{FFFE}', '\u{FDD0}', '\u{10FFFF}'] {
            assert_eq!(text(&format!("a{c}")), Err(BadText::Forbidden(c)));
        }
        for typed in ["a\rb", "a\r\r\nb", "a\n\r"] {
            assert_eq!(text(typed), Err(BadText::Forbidden('\r')), "{typed:?}");
        }
    }

    #[test]
    fn the_limit_is_in_bytes() {
        assert!(text(&"x".repeat(Text::LIMIT)).is_ok());
        assert_eq!(text(&"ä".repeat(Text::LIMIT)), Err(BadText::TooLong { limit: Text::LIMIT }));
    }

    #[test]
    fn a_title_is_one_visible_line() {
        for typed in ["Team Größe 🚀", "❤️ ✈️ 👨‍👩‍👧 1️⃣", "H₂O", "می\u{200C}خواهم"]
        {
            assert_eq!(Title::try_from(typed.to_owned()).map(String::from).as_deref(), Ok(typed));
        }
        for typed in ["a\nb", "a\u{200B}b", "\u{202E}abc", " "] {
            assert!(Title::try_from(typed.to_owned()).is_err(), "{typed:?}");
        }
    }

    #[test]
    fn a_key_is_short_and_plain() {
        assert!(ClientId::try_from("a1-B2_c3".to_owned()).is_ok());
        for key in ["", "short", "with space", "ümlaut-key", &"x".repeat(65)] {
            assert_eq!(ClientId::try_from(key.to_owned()), Err(NotAKey));
        }
    }
}
