//! Names to show, which need not be unique.

use std::fmt;

use thiserror::Error;
use unicode_normalization::char::is_combining_mark;
use unicode_security::mixed_script::AugmentedScriptSet;

use crate::domain::not_in_a_name;

/// Why a text is not a name to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BadName {
    /// The text has no visible character.
    #[error("a name must have at least one visible character")]
    Empty,
    /// The text has more than `limit` bytes.
    #[error("a name must have at most {limit} bytes of UTF-8")]
    TooLong {
        /// The maximum length in bytes.
        limit: usize,
    },
    /// A character is invisible in its place, breaks the line or changes the direction.
    #[error("the character U+{:04X} is not accepted in a name: remove it", u32::from(*.0))]
    Character(char),
    /// The text begins or ends with white space.
    #[error("a name must not begin or end with a space: remove the space")]
    Edge,
    /// A letter has more accents than any language uses.
    #[error("a letter has too many combining marks: remove some")]
    PiledMarks,
}

macro_rules! shown_names {
    ($($(#[$doc:meta])* $name:ident;)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name(String);

        impl $name {
            /// The maximum length of a name, in bytes of UTF-8.
            pub const LIMIT: usize = 128;

            /// Parses a name as typed.
            pub fn parse(typed: &str) -> Result<Self, BadName> {
                shown(typed, Self::LIMIT).map(Self)
            }

            /// The name, as typed.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// A name that was parsed before, read back from Postgres.
            pub(crate) fn known(name: String) -> Self {
                Self(name)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )+};
}

shown_names! {
    /// The display name of a user: one visible line of 1 to 128 bytes, as typed. Display names are not
    /// unique.
    DisplayName;
    /// The name of the device of a login: one visible line of 1 to 128 bytes, as typed.
    DeviceName;
}

impl DisplayName {
    /// The name to show of an account that has only a user name: the user name, cut to the limit of bytes. A user name
    /// has a limit of characters, which may have up to four bytes each.
    pub(crate) fn of_username(typed: &str) -> Result<Self, BadName> {
        Self::parse(&typed[..typed.floor_char_boundary(Self::LIMIT)])
    }
}

fn shown(name: &str, limit: usize) -> Result<String, BadName> {
    if name.len() > limit {
        return Err(BadName::TooLong { limit });
    }
    if let Some(c) = not_in_a_name(name) {
        return Err(BadName::Character(c));
    }
    if !name.chars().any(|c| !c.is_whitespace() && !is_combining_mark(c)) {
        return Err(BadName::Empty);
    }
    if name.trim() != name {
        return Err(BadName::Edge);
    }
    if piles_marks(name) {
        return Err(BadName::PiledMarks);
    }
    Ok(name.to_owned())
}

/// Whether a letter has more than four marks, or more than two marks that belong to every script.
pub(crate) fn piles_marks(name: &str) -> bool {
    let (mut marks, mut of_every_script) = (0, 0);
    name.chars().any(|c| {
        if !is_combining_mark(c) {
            (marks, of_every_script) = (0, 0);
            return false;
        }
        marks += 1;
        of_every_script += usize::from(AugmentedScriptSet::for_char(c).is_all());
        marks > 4 || of_every_script > 2
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_have_spaces_emoji_and_any_script() {
        for typed in [
            "Ana María",
            "Größe 🚀",
            "محمد علي",
            "O'Neil, Jr.",
            "<b>",
            &"x".repeat(128),
            "H₂O ﬁ ①",
            "❤️ ✈️ 👨‍👩‍👧 1️⃣",
            "پدر\u{200C}بزرگ",
            "ශ්\u{200D}රී",
        ] {
            assert_eq!(DisplayName::parse(typed).map(|name| name.to_string()), Ok(typed.to_owned()));
        }
    }

    #[test]
    fn a_user_name_is_cut_where_a_character_ends() {
        let of = |typed: &str| DisplayName::of_username(typed).map(|name| name.to_string());
        assert_eq!(of("Ana"), Ok("Ana".to_owned()));
        assert_eq!(of(&"x".repeat(128)), Ok("x".repeat(128)));
        assert_eq!(of(&"王".repeat(43)), Ok("王".repeat(42)));
    }

    #[test]
    fn a_name_that_hides_something_is_refused() {
        use BadName::*;
        for (typed, why) in [
            ("", Empty),
            ("  ", Empty),
            ("\u{0301}", Empty),
            (" x", Edge),
            ("x\u{00A0}", Edge),
            ("a\nb", Character('\n')),
            ("a\u{200B}b", Character('\u{200B}')),
            ("\u{202E}abc", Character('\u{202E}')),
            ("a\u{2028}b", Character('\u{2028}')),
            ("\0", Character('\0')),
            (&*format!("z{}", "\u{0301}".repeat(50)), PiledMarks),
            (&*"x".repeat(129), TooLong { limit: 128 }),
            (&*"ﷺ".repeat(43), TooLong { limit: 128 }),
            ("a\u{200D}b", Character('\u{200D}')),
            ("a\u{FE0F}", Character('\u{FE0F}')),
        ] {
            assert_eq!(DeviceName::parse(typed).err(), Some(why), "{typed:?}");
        }
    }
}
