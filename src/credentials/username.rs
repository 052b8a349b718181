//! The unique name that identifies an account. No two accounts have names that look alike.

use std::fmt;

use icu_properties::props::{EastAsianWidth, EnumeratedProperty as _};
use thiserror::Error;
use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};
use unicode_security::{GeneralSecurityProfile, MixedScript, skeleton};

use crate::credentials::{
    bidi::follows_bidi_rule,
    names::piles_marks,
    precis::{Class, misplaced},
};

/// A user name: 1 to 64 letters and digits of one script, with `_`, `.` and `-` between them. The name is
/// prepared by the profile `UsernameCaseMapped` of RFC 8265, so it is kept in lower case: a capital letter can look
/// like another letter (`I` and `l`), and its small form does not. The spelling that a person prefers is the display
/// name. All rules beyond the profile refuse names that people could mistake for others.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Username(String);

/// Why a text is not a user name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BadUsername {
    /// The text is empty, or longer than [`Username::LIMIT`].
    #[error("a user name must have 1 to 64 characters")]
    Length,
    /// A character is neither a letter or digit in use today, nor `_`, `.` or `-`.
    #[error("the character U+{:04X} is not accepted in a user name: use letters, digits, _ . and -", u32::from(*.0))]
    Character(char),
    /// The name begins or ends with a character that is not a letter or digit.
    #[error("a user name must begin and end with a letter or digit: remove other characters from its ends")]
    Edge,
    /// The name mixes letters of different scripts, as in `аdmin` with a Cyrillic а.
    #[error("a user name must be in one script: do not mix, for example, Latin and Cyrillic letters")]
    MixedScripts,
    /// The name runs from right to left, but begins with a digit or mixes two kinds of digits (RFC 5893).
    #[error(
        "a right-to-left user name must begin with a letter and have digits of only one kind: change the digits"
    )]
    MixedDirections,
    /// A letter has more accents than any language uses.
    #[error("a letter has too many combining marks: remove some")]
    PiledMarks,
    /// People could mistake the name, or one that looks like it, for the system or for all users.
    #[error("this user name is reserved: choose another name")]
    Reserved,
}

impl Username {
    /// The maximum number of characters in a user name.
    pub const LIMIT: usize = 64;

    /// Parses a name as typed.
    pub fn parse(typed: &str) -> Result<Self, BadUsername> {
        let fits = |text: &str| (1..=Self::LIMIT).contains(&text.chars().take(Self::LIMIT + 1).count());
        if !fits(typed) {
            return Err(BadUsername::Length);
        }
        let narrow: String = typed.chars().flat_map(narrowed).collect();
        let name: String = narrow.to_lowercase().nfc().collect();
        if !fits(&name) {
            return Err(BadUsername::Length);
        }
        let refused = narrow.nfc().chain(name.chars()).find(|&c| !is_accepted(c));
        if let Some(c) = refused.or_else(|| misplaced(&narrow, Class::Identifier)) {
            return Err(BadUsername::Character(c));
        }
        let begins_well = name.starts_with(|c: char| c.is_alphanumeric() && !is_combining_mark(c));
        let ends_well = !name.ends_with(['_', '.', '-']);
        if !(begins_well && ends_well) {
            return Err(BadUsername::Edge);
        }
        if piles_marks(&name) {
            return Err(BadUsername::PiledMarks);
        }
        if !name.as_str().is_single_script() {
            return Err(BadUsername::MixedScripts);
        }
        if !follows_bidi_rule(&name) {
            return Err(BadUsername::MixedDirections);
        }
        if is_reserved(&name) {
            return Err(BadUsername::Reserved);
        }
        Ok(Self(name))
    }

    /// A name that was parsed before, read back from Postgres.
    pub(crate) fn known(name: String) -> Self {
        Self(name)
    }

    /// The name, composed (NFC) and in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The skeleton of the name, which is equal for names that people may confuse.
    pub fn key(&self) -> String {
        look_of(&self.0)
    }
}

impl fmt::Display for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// The width mapping of RFC 8265: a wide or narrow form of a character becomes the character.
fn narrowed(c: char) -> impl Iterator<Item = char> {
    let has_width =
        matches!(EastAsianWidth::for_char(c), EastAsianWidth::Fullwidth | EastAsianWidth::Halfwidth);
    let mapped = has_width.then(|| std::iter::once(c).nfkc());
    std::iter::once(c).filter(move |_| !has_width).chain(mapped.into_iter().flatten())
}

fn is_accepted(c: char) -> bool {
    match c {
        '_' | '.' | '-' => true,
        _ => (c.is_alphanumeric() || is_combining_mark(c)) && c.identifier_allowed(),
    }
}

/// The skeleton of UTS 39, without the combining dot above an i or j, which is invisible there.
fn look_of(name: &str) -> String {
    const DOT_ABOVE: char = '\u{0307}';
    let mut look = String::with_capacity(name.len());
    for c in skeleton(name).flat_map(char::to_lowercase) {
        if !(c == DOT_ABOVE && look.ends_with(['i', 'j'])) {
            look.push(c);
        }
    }
    look
}

const RESERVED: [&str; 31] = [
    "abuse",
    "admin",
    "administrator",
    "all",
    "anonymous",
    "bot",
    "channel",
    "deleted",
    "everyone",
    "help",
    "here",
    "hostmaster",
    "me",
    "mod",
    "moderator",
    "nobody",
    "noreply",
    "null",
    "official",
    "operator",
    "owner",
    "postmaster",
    "root",
    "security",
    "server",
    "staff",
    "support",
    "system",
    "undefined",
    "verbatim",
    "webmaster",
];

/// Whether a name is reserved, or looks like a reserved name. A short name with digits, such as `a11`, is not reserved,
/// because people do not mistake it for the word that it resembles.
fn is_reserved(name: &str) -> bool {
    let look = look_of(name);
    let short_with_digits = name.len() <= 3 && name.contains(|c: char| c.is_ascii_digit());
    RESERVED.iter().any(|&word| name == word || (!short_with_digits && look == look_of(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(typed: &str) -> String {
        Username::parse(typed).unwrap_or_else(|why| panic!("{typed:?}: {why}")).key()
    }

    #[test]
    fn names_of_many_languages_are_accepted() {
        for typed in [
            "ana",
            "x",
            "42",
            "a11",
            "ana.maria-42_b",
            "zoë",
            "Größe",
            "владимир",
            "Ηλίας",
            "王小明",
            "たなか太郎",
            "김철수",
            "मोहिनी",
            "สมชาย",
            "محمد",
            "דוד",
            "nguyễn",
            "ẹ́bùn",
            &"x".repeat(64),
        ] {
            assert!(Username::parse(typed).is_ok(), "{typed:?}: {:?}", Username::parse(typed));
        }
    }

    #[test]
    fn a_name_is_kept_in_lower_case_and_composed() {
        assert_eq!(Username::parse("ZOE\u{0308}").expect("name").as_str(), "zoë");
        assert_eq!(Username::parse("ｆｉｌｉｐ").expect("name").as_str(), "filip");
        assert_eq!(Username::parse("ｶﾞﾝﾏ").expect("name").as_str(), "ガンマ");
    }

    /// RFC 8265, section 3.5. The project's own rules also refuse example 1, because of its `@`.
    #[test]
    fn names_are_prepared_as_the_examples_of_the_standard() {
        for (typed, kept) in [
            ("juliet", "juliet"),
            ("fussball", "fussball"),
            ("fu\u{DF}ball", "fußball"),
            ("\u{3C0}", "π"),
            ("\u{3A3}", "σ"),
            ("\u{3C3}", "σ"),
            ("\u{3C2}", "ς"),
        ] {
            assert_eq!(Username::parse(typed).expect("name").as_str(), kept, "{typed:?}");
        }
        for (typed, why) in [
            ("juliet@example.com", BadUsername::Character('@')),
            ("foo bar", BadUsername::Character(' ')),
            ("", BadUsername::Length),
            ("henry\u{2163}", BadUsername::Character('\u{2163}')),
            ("\u{265A}", BadUsername::Character('\u{265A}')),
        ] {
            assert_eq!(Username::parse(typed).err(), Some(why), "{typed:?}");
        }
    }

    #[test]
    fn names_that_are_unsafe_to_show_are_refused() {
        use BadUsername::*;
        for (typed, why) in [
            ("", Length),
            (&*"x".repeat(65), Length),
            (&*"ﷺ".repeat(64), Character('ﷺ')),
            ("ﬁlip", Character('ﬁ')),
            (&*"İ".repeat(64), Length),
            ("1דוד", MixedDirections),
            ("محمد\u{0661}2", MixedDirections),
            ("a b", Character(' ')),
            (" x", Character(' ')),
            ("a\u{200B}b", Character('\u{200B}')),
            ("a\u{200D}b", Character('\u{200D}')),
            ("\u{202E}abc", Character('\u{202E}')),
            ("a\0b", Character('\0')),
            ("a\u{E0041}", Character('\u{E0041}')),
            ("😀", Character('😀')),
            ("<script>", Character('<')),
            ("'; drop table users;--", Character('\'')),
            ("${jndi:ldap://x}", Character('$')),
            ("{{7*7}}", Character('{')),
            ("x.", Edge),
            (".x", Edge),
            ("-", Edge),
            ("\u{0301}a", Edge),
            ("\u{0430}dmin", MixedScripts),
            ("p\u{0430}ypal", MixedScripts),
            (&*format!("z{}o", "\u{0301}\u{0302}\u{0303}".repeat(20)), PiledMarks),
        ] {
            assert_eq!(Username::parse(typed).err(), Some(why), "{typed:?}");
        }
        let zalgo = format!("z{}", "\u{0301}".repeat(100));
        assert!(Username::parse(&zalgo).is_err());
    }

    #[test]
    fn reserved_names_and_what_looks_like_them_are_refused() {
        for typed in
            ["admin", "ADMIN", "root", "system", "here", "all", "everyone", "support", "Verbatim", "me"]
                .into_iter()
                .chain(["adrnin", "supp0rt", "r00t", "ro0t", "ａｄｍｉｎ", "ADM\u{0130}N"])
        {
            assert_eq!(Username::parse(typed).err(), Some(BadUsername::Reserved), "{typed:?}");
        }
    }

    #[test]
    fn names_that_look_alike_have_one_key() {
        for (one, other) in [
            ("Ana", "ana"),
            ("ｆｉｌｉｐ", "filip"),
            ("İ", "i"),
            ("ı", "i"),
            ("user1", "userl"),
            ("morn", "mom"),
            ("\u{0440}\u{0430}\u{0443}\u{0440}\u{0430}", "paypa"),
            ("\u{0455}\u{0441}\u{043E}\u{0440}\u{0435}", "scope"),
        ] {
            assert_eq!(key(one), key(other), "{one:?} and {other:?}");
        }
        for (one, other) in [("ana", "anna"), ("ali", "al"), ("zoe", "zoë"), ("a.b", "ab"), ("u10", "u11")] {
            assert_ne!(key(one), key(other));
        }
    }
}
