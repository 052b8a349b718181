//! Passwords as typed: bounded, wiped from memory after use, and when chosen not too easy to guess.

use std::{collections::HashSet, fmt, sync::LazyLock};

use thiserror::Error;
use zeroize::Zeroizing;

use crate::credentials::Username;

/// A password as typed, byte for byte. Nothing is trimmed, folded or cut.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

/// Why a text cannot become a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BadPassword {
    /// The text has fewer than 8 characters.
    #[error("a password has at least 8 characters: choose a longer one")]
    TooShort,
    /// The text has more than 128 characters or 512 bytes.
    #[error("a password has at most 128 characters and 512 bytes: choose a shorter one")]
    TooLong,
    /// The text is one of the most used passwords, which attackers try first.
    #[error("this password is one of the most used passwords: choose another password")]
    Common,
    /// The text is little more than the user name or the name of this program.
    #[error("this password is easy to guess from the user name or this site: choose another password")]
    Guessable,
}

impl Password {
    /// A new password: 8 to 128 characters (code points) in at most 512 bytes, none of the 3,000 most used
    /// passwords, and at least 4 characters more than the user name or `verbatim` if the password contains
    /// these.
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

    /// A password to check. Only the limit of 512 bytes applies, because the password may have been chosen
    /// under other rules.
    pub fn present(typed: String) -> Result<Self, BadPassword> {
        let password = Self(Zeroizing::new(typed));
        (password.0.len() <= 512).then_some(password).ok_or(BadPassword::TooLong)
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
    fn a_password_is_kept_byte_for_byte() {
        for typed in [
            "        ",
            " lead and trail ",
            "nul\0nul\0nul",
            "🔑🔑🔑🔑🔑🔑🔑🔑",
            "caf\u{e9} noir",
            "cafe\u{301} noir",
            &"x".repeat(128),
            &"😀".repeat(128),
        ] {
            assert_eq!(choose(typed).expect("password").bytes(), typed.as_bytes());
        }
    }

    #[test]
    fn the_length_is_counted_in_characters_and_bytes() {
        assert_eq!(choose("ü7üüüüü").err(), Some(BadPassword::TooShort));
        assert_eq!(choose(&"x".repeat(129)).err(), Some(BadPassword::TooLong));
        assert_eq!(choose(&"x".repeat(1 << 20)).err(), Some(BadPassword::TooLong));
        assert_eq!(Password::present("x".repeat(513)).err(), Some(BadPassword::TooLong));
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
