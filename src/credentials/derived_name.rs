//! User names for users who did not choose one: derived from the name to show, with a suffix if the name is taken.

use unicode_normalization::char::is_combining_mark;

use crate::credentials::{DisplayName, Username};

/// The letters of a suffix. No letter looks like another or like two others, so that two suffixes never look alike.
const LETTERS: &[u8; 16] = b"bcdefghjkpqstxyz";

/// The maximum number of characters that a derived name takes from the name to show.
const KEPT: usize = 40;

impl Username {
    /// A user name close to a name to show: its letters and digits in lower case, with dots for the rest. If that is
    /// not a valid user name, the result is `user`.
    pub(crate) fn near(name: &DisplayName) -> Self {
        let mut near = String::new();
        for c in name.as_str().chars().take(KEPT) {
            if c.is_alphanumeric() || is_combining_mark(c) {
                near.push(c);
            } else if !near.is_empty() && !near.ends_with('.') {
                near.push('.');
            }
        }
        Self::parse(near.trim_end_matches('.')).unwrap_or_else(|_| Self::known("user".to_owned()))
    }

    /// The name with a suffix of eight letters, which come from random bits.
    pub(crate) fn with_suffix(&self, random: u32) -> Self {
        let letter = |place: u32| char::from(LETTERS[(random >> (4 * place) & 15) as usize]);
        let suffix: String = (0..8).map(letter).collect();
        // The Latin letters of the suffix would mix scripts in a name of another script, which is not allowed.
        let suffixed = |name: &str| Self::parse(&format!("{name}-{suffix}"));
        suffixed(self.as_str()).unwrap_or_else(|_| Self::known(format!("user-{suffix}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(name: &str) -> String {
        Username::near(&DisplayName::parse(name).expect("a name")).to_string()
    }

    #[test]
    fn a_derived_name_is_near_the_name_to_show() {
        for (name, derived) in [
            ("Ana María", "ana.maría"),
            ("O'Neil, Jr.", "o.neil.jr"),
            ("王小明", "王小明"),
            ("Größe 🚀", "größe"),
            ("🚀", "user"),
            ("admin", "user"),
            ("ﬁlip", "user"),
            ("Ana Анна", "user"),
        ] {
            assert_eq!(near(name), derived, "{name:?}");
        }
        assert_eq!(near(&"x".repeat(128)).len(), KEPT);
    }

    #[test]
    fn a_suffix_tells_names_apart() {
        let ana = Username::parse("ana").expect("a name");
        assert_eq!(ana.with_suffix(0x0123_4567).as_str(), "ana-jhgfedcb");
        assert_ne!(ana.with_suffix(1).key(), ana.with_suffix(2).key());
        for name in ["владимир", "محمد", "x"] {
            let name = Username::parse(name).expect("a name");
            for random in [0, 7, u32::MAX] {
                let suffixed = name.with_suffix(random);
                assert_eq!(
                    Username::parse(suffixed.as_str()).as_ref(),
                    Ok(&suffixed),
                    "a name like any other"
                );
            }
        }
        assert_eq!(Username::known("user".to_owned()), Username::parse("user").expect("a name"));
    }
}
