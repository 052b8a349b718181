//! Passwords: prepared by the profile `OpaqueString` of RFC 8265, bounded in length, wiped from memory after use, and
//! when chosen, not too easy to guess.

use std::{collections::HashSet, fmt, sync::LazyLock};

use icu_properties::props::{EnumeratedProperty as _, GeneralCategory};
use thiserror::Error;
use unicode_normalization::UnicodeNormalization as _;
use zeroize::Zeroizing;

use crate::credentials::{
    Username,
    precis::{Class, misplaced},
};

/// The maximum length of a password, in bytes. A longer password would only cost time.
const LIMIT: usize = 512;

/// A password, prepared by `OpaqueString`: keyboards that encode one character differently produce the same password.
/// Nothing is trimmed, folded or cut.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

/// Why a text cannot become a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BadPassword {
    /// The text has fewer than 8 characters.
    #[error("a password must have at least 8 characters: choose a longer one")]
    TooShort,
    /// The text has more than 128 characters or 512 bytes.
    #[error("a password must have at most 128 characters and 512 bytes: choose a shorter one")]
    TooLong,
    /// A character is a control character, invisible in its place, or not assigned in Unicode.
    #[error("the character U+{:04X} is not accepted in a password: remove it", u32::from(*.0))]
    Character(char),
    /// The text is one of the most common passwords, which attackers try first.
    #[error("the password is one of the most common passwords: choose another one")]
    Common,
    /// The text is little more than the user name or the name of this program.
    #[error("the password is easy to guess from the user name or the name of this site: choose another one")]
    Guessable,
}

impl Password {
    /// A new password: 8 to 128 characters (code points) in at most 512 bytes, not one of the 3,000 most common
    /// passwords, and at least 4 characters longer than the user name or `verbatim` if it contains them.
    pub fn choose(typed: String, username: &Username) -> Result<Self, BadPassword> {
        let password = Self::present(typed)?;
        match password.0.chars().count() {
            0..8 => return Err(BadPassword::TooShort),
            8..=128 => {}
            _ => return Err(BadPassword::TooLong),
        }
        let folded = Zeroizing::new(password.0.to_lowercase());
        if COMMON.contains(folded.as_str()) {
            return Err(BadPassword::Common);
        }
        let adds_little = |word: &str| {
            folded.contains(word) && Zeroizing::new(folded.replace(word, "")).chars().count() < 4
        };
        if adds_little(username.as_str()) || adds_little("verbatim") {
            return Err(BadPassword::Guessable);
        }
        Ok(password)
    }

    /// A password to check, prepared like a chosen one. Only the limit of 512 bytes applies, because the password may
    /// have been chosen under other rules.
    pub fn present(typed: String) -> Result<Self, BadPassword> {
        let typed = Zeroizing::new(typed);
        // U+0000 is the one control character that is kept: passwords of machines have it, and a hash takes any byte.
        if let Some(c) = typed.split('\0').find_map(|part| misplaced(part, Class::Freeform)) {
            return Err(BadPassword::Character(c));
        }
        let prepared = if typed.is_ascii() { typed } else { prepared(&typed) };
        (prepared.len() <= LIMIT).then_some(Self(prepared)).ok_or(BadPassword::TooLong)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// The text with every space as U+0020, in NFC. The capacity allows for the longest result of NFC, so that no
/// reallocation leaves a copy in memory.
fn prepared(typed: &str) -> Zeroizing<String> {
    let is_space = |c| GeneralCategory::for_char(c) == GeneralCategory::SpaceSeparator;
    let mut prepared = Zeroizing::new(String::with_capacity(3 * typed.len()));
    prepared.extend(typed.chars().map(|c| if is_space(c) { ' ' } else { c }).nfc());
    prepared
}

static COMMON: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    include_str!("common-passwords.txt").lines().filter(|line| !line.starts_with('#')).collect()
});

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(typed: &str) -> Result<Password, BadPassword> {
        Password::choose(typed.to_owned(), &Username::parse("Ana.Maria").expect("name"))
    }

    #[test]
    fn a_composed_password_is_kept_byte_for_byte() {
        for typed in [
            "        ",
            " lead and trail ",
            "nul\0nul\0nul",
            "\0\0\0\0\0\0\0\0",
            "🔑🔑🔑🔑🔑🔑🔑🔑",
            "I ❤\u{FE0F} 👩\u{200D}💻",
            "caf\u{e9} noir",
            "correct horse battery staple",
            "Correct Horse Battery Staple",
            "πßå πßå πßå",
            "Jack of ♦s",
            "ﬁ ２ henry\u{2163}",
            &"x".repeat(128),
            &"😀".repeat(128),
        ] {
            assert_eq!(choose(typed).expect("password").bytes(), typed.as_bytes());
        }
    }

    #[test]
    fn one_password_has_one_form_on_all_keyboards() {
        for (typed, kept) in [
            ("cafe\u{301} noir", "caf\u{e9} noir"),
            ("foo\u{1680}bar baz", "foo bar baz"),
            ("un\u{A0}café\u{202F}!", "un café !"),
            ("wide\u{3000}space", "wide space"),
            ("12 k\u{212A} 5 \u{212B}", "12 kK 5 \u{c5}"),
        ] {
            assert_eq!(choose(typed).expect("password").bytes(), kept.as_bytes(), "{typed:?}");
            let presented = Password::present(typed.to_owned()).expect("password");
            assert_eq!(presented.bytes(), kept.as_bytes(), "{typed:?}");
        }
    }

    #[test]
    fn a_password_has_no_character_that_nobody_can_type_again() {
        for (typed, why) in [
            ("my cat is a \tby", '\t'),
            ("nul\0 and \ttab", '\t'),
            ("two\nlines of it", '\n'),
            ("soft\u{AD}hyphen", '\u{AD}'),
            ("bom \u{FEFF} inside", '\u{FEFF}'),
            ("private \u{E000} use", '\u{E000}'),
            ("not yet \u{378} there", '\u{378}'),
        ] {
            assert_eq!(choose(typed).err(), Some(BadPassword::Character(why)), "{typed:?}");
            assert_eq!(
                Password::present(typed.to_owned()).err(),
                Some(BadPassword::Character(why)),
                "{typed:?}"
            );
        }
        assert!(Password::present(String::new()).is_ok(), "no account has it, which the check says");
    }

    #[test]
    fn the_length_is_counted_in_characters_and_bytes() {
        assert_eq!(choose("ü7üüüüü").err(), Some(BadPassword::TooShort));
        assert_eq!(choose(&"x".repeat(129)).err(), Some(BadPassword::TooLong));
        assert_eq!(choose(&"x".repeat(1 << 20)).err(), Some(BadPassword::TooLong));
        assert_eq!(Password::present("x".repeat(513)).err(), Some(BadPassword::TooLong));
        // The limits apply to the prepared text: eight typed characters become seven, 256 become 128, and 1,008 bytes
        // become 504.
        assert_eq!(choose("cafe\u{301} no").err(), Some(BadPassword::TooShort));
        assert!(choose(&"e\u{301}".repeat(128)).is_ok());
        assert!(Password::present("\u{3000}e\u{301}".repeat(168)).is_ok());
        assert_eq!(choose(&"\u{1D160}".repeat(43)).err(), Some(BadPassword::TooLong));
        assert!(Password::present("short".to_owned()).is_ok());
    }

    #[test]
    fn passwords_that_are_tried_first_are_refused() {
        assert_eq!(COMMON.len(), 3000);
        assert!(COMMON.iter().all(|common| common.chars().count() >= 8));
        for typed in ["password", "PassWord", "12345678", "qwertyuiop", "trustno1"] {
            assert_eq!(choose(typed).err(), Some(BadPassword::Common), "{typed:?}");
        }
    }

    #[test]
    fn a_password_says_more_than_the_names_around_it() {
        for typed in ["ana.maria", "ANA.MARIA", "ana.maria1", "1ana.maria99", "Verbatim!", "Verbatim!1"] {
            assert_eq!(choose(typed).err(), Some(BadPassword::Guessable), "{typed:?}");
        }
        assert!(choose("ana.maria likes tea").is_ok());
        let short = Username::parse("a").expect("name");
        assert!(Password::choose("a banana split".to_owned(), &short).is_ok());
    }

    #[test]
    fn a_password_is_never_printed() {
        assert_eq!(format!("{:?}", choose("tell nobody")), "Ok(Password(..))");
    }
}
