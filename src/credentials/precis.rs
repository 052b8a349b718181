//! The string classes of RFC 8264 (PRECIS): the characters that an identifier and a free text may have.
//!
//! The properties come from `icu_properties`, which follows Unicode. `precis-core` derives the same classes from the
//! tables of Unicode 6.3 and refuses every letter and emoji that was added after 2013.

use icu_properties::props::{
    BinaryProperty as _, CanonicalCombiningClass, DefaultIgnorableCodePoint, EnumeratedProperty as _,
    GeneralCategory, HangulSyllableType, JoinControl, JoiningType, NoncharacterCodePoint, Script,
};
use unicode_normalization::UnicodeNormalization as _;

use crate::domain::belongs_to_emoji;

/// A string class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// For names: letters, digits, and ASCII symbols.
    Identifier,
    /// For passwords: symbols, punctuation, spaces and compatibility characters as well.
    Freeform,
}

/// The derived property of a character in RFC 8264.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Derived {
    /// Both classes accept it.
    Valid,
    /// Only the class for free text accepts it.
    FreeformOnly,
    /// Both classes accept it next to certain characters.
    InContext,
    /// No class accepts it.
    Disallowed,
}

/// The first character that is not allowed in its place in a text of this class. Takes linear time. Unlike RFC 8264, the
/// class for free text accepts the invisible parts of emoji, because keyboards type them.
pub(super) fn misplaced(text: &str, class: Class) -> Option<char> {
    // ASCII needs no table, and the contextual rules concern only other characters.
    let is_plain = |c: char| c.is_ascii_graphic() || (c == ' ' && class == Class::Freeform);
    if text.chars().all(is_plain) {
        return None;
    }
    let mut kinds = None;
    text.char_indices().find_map(|(at, c)| {
        let (before, after) = (&text[..at], &text[at + c.len_utf8()..]);
        let is_accepted = match derived(c) {
            Derived::Valid => true,
            Derived::FreeformOnly => class == Class::Freeform,
            Derived::InContext => {
                fits_context(c, before, after, *kinds.get_or_insert_with(|| Kinds::of(text)))
            }
            Derived::Disallowed => false,
        };
        let is_in_emoji = || class == Class::Freeform && belongs_to_emoji(c, before, after);
        (!is_accepted && !is_in_emoji()).then_some(c)
    })
}

/// RFC 8264, section 8. The order is that of the standard: the first rule that applies decides.
fn derived(c: char) -> Derived {
    use GeneralCategory as Is;
    match c {
        'ß' | 'ς' | '\u{06FD}' | '\u{06FE}' | '\u{0F0B}' | '\u{3007}' => return Derived::Valid,
        '\u{00B7}'
        | '\u{0375}'
        | '\u{05F3}'
        | '\u{05F4}'
        | '\u{30FB}'
        | '\u{0660}'..='\u{0669}'
        | '\u{06F0}'..='\u{06F9}' => return Derived::InContext,
        '\u{0640}' | '\u{07FA}' | '\u{302E}' | '\u{302F}' | '\u{3031}'..='\u{3035}' | '\u{303B}' => {
            return Derived::Disallowed;
        }
        '\u{21}'..='\u{7E}' => return Derived::Valid,
        _ if JoinControl::for_char(c) => return Derived::InContext,
        _ => {}
    }
    let old_jamo = matches!(
        HangulSyllableType::for_char(c),
        HangulSyllableType::LeadingJamo | HangulSyllableType::VowelJamo | HangulSyllableType::TrailingJamo
    );
    if old_jamo || DefaultIgnorableCodePoint::for_char(c) || NoncharacterCodePoint::for_char(c) {
        return Derived::Disallowed;
    }
    let has_compatible = || !std::iter::once(c).nfkc().eq([c]);
    match GeneralCategory::for_char(c) {
        Is::Unassigned
        | Is::Control
        | Is::Format
        | Is::PrivateUse
        | Is::Surrogate
        | Is::LineSeparator
        | Is::ParagraphSeparator => Derived::Disallowed,
        Is::LowercaseLetter
        | Is::UppercaseLetter
        | Is::OtherLetter
        | Is::DecimalNumber
        | Is::ModifierLetter
        | Is::NonspacingMark
        | Is::SpacingMark
            if !has_compatible() =>
        {
            Derived::Valid
        }
        _ => Derived::FreeformOnly,
    }
}

/// The kinds of characters in the whole text, which some contextual rules need.
#[derive(Debug, Clone, Copy, Default)]
struct Kinds {
    japanese: bool,
    arabic_digits: bool,
    extended_arabic_digits: bool,
}

impl Kinds {
    fn of(text: &str) -> Self {
        text.chars().fold(Self::default(), |kinds, c| Self {
            japanese: kinds.japanese
                || matches!(Script::for_char(c), Script::Hiragana | Script::Katakana | Script::Han),
            arabic_digits: kinds.arabic_digits || ('\u{0660}'..='\u{0669}').contains(&c),
            extended_arabic_digits: kinds.extended_arabic_digits || ('\u{06F0}'..='\u{06F9}').contains(&c),
        })
    }
}

/// The contextual rules of RFC 5892, appendix A.
fn fits_context(c: char, before: &str, after: &str, kinds: Kinds) -> bool {
    let (last, next) = (before.chars().next_back(), after.chars().next());
    let is_of = |beside: Option<char>, script| beside.is_some_and(|c| Script::for_char(c) == script);
    let follows_virama =
        || last.is_some_and(|c| CanonicalCombiningClass::for_char(c) == CanonicalCombiningClass::Virama);
    match c {
        '\u{200C}' => follows_virama() || joins_across(before, after),
        '\u{200D}' => follows_virama(),
        '\u{00B7}' => last == Some('l') && next == Some('l'),
        '\u{0375}' => is_of(next, Script::Greek),
        '\u{05F3}' | '\u{05F4}' => is_of(last, Script::Hebrew),
        '\u{30FB}' => kinds.japanese,
        '\u{0660}'..='\u{0669}' => !kinds.extended_arabic_digits,
        '\u{06F0}'..='\u{06F9}' => !kinds.arabic_digits,
        _ => false,
    }
}

/// Whether the letters on both sides of a non-joiner would be joined without the non-joiner.
fn joins_across(before: &str, after: &str) -> bool {
    let joining = |letter: Option<char>| letter.map(JoiningType::for_char);
    let is_letter = |c: &char| JoiningType::for_char(*c) != JoiningType::Transparent;
    let left = joining(before.chars().rev().find(is_letter));
    let right = joining(after.chars().find(is_letter));
    matches!(left, Some(JoiningType::LeftJoining | JoiningType::DualJoining))
        && matches!(right, Some(JoiningType::RightJoining | JoiningType::DualJoining))
}

#[cfg(test)]
mod tests {
    use super::{Class::*, *};

    #[test]
    fn an_identifier_has_letters_and_digits() {
        for text in [
            "juliet@example.com",
            "fussball",
            "fußball",
            "π",
            "Σ",
            "σ",
            "ς",
            "l·l",
            "\u{0375}α",
            "א\u{05F3}",
            "カ\u{30FB}",
            "\u{0661}\u{0662}",
            "\u{0915}\u{094D}\u{200D}\u{0937}",
            "\u{0645}\u{200C}\u{0645}",
            "𞤀",
        ] {
            assert_eq!(misplaced(text, Identifier), None, "{text:?}");
        }
        for (text, why) in [
            ("foo bar", ' '),
            ("henry\u{2163}", '\u{2163}'),
            ("♚", '♚'),
            ("\u{FB01}lip", '\u{FB01}'),
            ("a·b", '·'),
            ("\u{0375}a", '\u{0375}'),
            ("a\u{05F4}", '\u{05F4}'),
            ("a\u{30FB}", '\u{30FB}'),
            ("\u{0661}\u{06F2}", '\u{0661}'),
            ("a\u{200D}b", '\u{200D}'),
            ("a\u{200C}b", '\u{200C}'),
            ("\u{0640}", '\u{0640}'),
            ("\u{1100}", '\u{1100}'),
            ("\u{0378}", '\u{0378}'),
        ] {
            assert_eq!(misplaced(text, Identifier), Some(why), "{text:?}");
        }
    }

    #[test]
    fn a_free_text_has_every_emoji_and_an_identifier_has_none() {
        for emoji in include_str!("../../tests/emoji.txt").lines() {
            let twice = emoji.repeat(2);
            // The list may be of a later version of Unicode than the tables.
            let is_known = |c: &char| GeneralCategory::for_char(*c) != GeneralCategory::Unassigned;
            assert_eq!(misplaced(&twice, Freeform).filter(is_known), None, "{}", twice.escape_unicode());
            assert!(misplaced(emoji, Identifier).is_some(), "{}", emoji.escape_unicode());
        }
    }

    #[test]
    fn a_free_text_has_symbols_and_spaces_but_nothing_invisible() {
        for text in ["πßå", "Jack of ♦s", "foo\u{1680}bar", "henry\u{2163}", "🥑🫠", "«¿…?»", "ｗｉｄｅ"]
        {
            assert_eq!(misplaced(text, Freeform), None, "{text:?}");
        }
        for (text, why) in [
            ("my cat is a \tby", '\t'),
            ("nul\0", '\0'),
            ("a\u{85}b", '\u{85}'),
            ("a\u{2028}b", '\u{2028}'),
            ("a\u{AD}b", '\u{AD}'),
            ("a\u{200B}b", '\u{200B}'),
            ("a\u{FE0F}", '\u{FE0F}'),
            ("a\u{200D}👩", '\u{200D}'),
            ("👨\u{200D}a", '\u{200D}'),
            ("👨\u{200D}", '\u{200D}'),
            ("🏴\u{E0067}\u{E0062}", '\u{E0067}'),
            ("👍\u{E0067}\u{E0062}\u{E0065}\u{E007F}", '\u{E0067}'),
            ("a\u{202E}b", '\u{202E}'),
            ("\u{0600}", '\u{0600}'),
            ("\u{E000}", '\u{E000}'),
            ("\u{FFFE}", '\u{FFFE}'),
        ] {
            assert_eq!(misplaced(text, Freeform), Some(why), "{text:?}");
        }
    }
}
