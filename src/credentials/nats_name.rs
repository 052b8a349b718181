//! The NATS names of programs. nats-server vouches for them: only credentials for a name may publish on its subjects.

use std::fmt;

/// A name: a letter, and 1 to 31 of `a-z`, `0-9` and `-`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NatsName(String);

impl NatsName {
    /// The form of a name, for people.
    pub(crate) const FORM: &str = "must be a letter a-z, followed by 1 to 31 of a-z, 0-9 and -";

    /// Reads a name; `None` if the text is not one.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let is_of = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let begins = text.starts_with(|first: char| first.is_ascii_lowercase());
        let is_name = begins && (2..=32).contains(&text.len()) && text.bytes().all(is_of);
        is_name.then(|| Self(text.to_owned()))
    }
}

impl fmt::Display for NatsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_letter_and_more() {
        for name in ["ab", "t1", "search-indexer", &"a".repeat(32)] {
            assert_eq!(NatsName::parse(name).expect(name).to_string(), name);
        }
        for other in ["", "a", "1a", "-a", "Ab", "a.b", "a*", "a>", "ä1", "a b", &"a".repeat(33)] {
            assert_eq!(NatsName::parse(other), None, "{other}");
        }
    }
}
