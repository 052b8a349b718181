//! The places where invisible characters belong in a text. Joiners, selectors and tags are parts of emoji and
//! of words in scripts in use today. Anywhere else, such characters make one name look like another.

use icu_properties::props::{
    BinaryProperty as _, CanonicalCombiningClass, EnumeratedProperty as _, GeneralCategory, JoiningType,
    LineBreak, Script, UnifiedIdeograph,
};

use crate::domain::words::{
    emoji::{BLACK_FLAG, JOINER, LONGEST_TAGS, is_pictograph, length_of_tags, may_be_selected},
    visible::is_invisible,
};

const NON_JOINER: char = '\u{200C}';

/// The first invisible character that does not belong in its place.
pub(in crate::domain) fn out_of_place(text: &str) -> Option<char> {
    if text.is_ascii() {
        return None;
    }
    let all: Vec<char> = text.chars().collect();
    let mut at = 0;
    while let Some(&c) = all.get(at) {
        let (before, after) = (&all[..at], &all[at + 1..]);
        match before.last() {
            Some(&BLACK_FLAG) if is_tag(c) => match length_of_tags(&all[at..]) {
                0 => return Some(c),
                length => at += length,
            },
            _ if is_invisible(c) && !belongs(c, before, after) => return Some(c),
            _ => at += 1,
        }
    }
    None
}

/// Whether a selector, a joiner or a tag is a part of the emoji around it. The text is `before`, `c` and `after`.
pub(crate) fn belongs_to_emoji(c: char, before: &str, after: &str) -> bool {
    match c {
        '\u{FE0E}' | '\u{FE0F}' => before.chars().next_back().is_some_and(may_be_selected),
        JOINER => {
            let base = before.strip_suffix('\u{FE0F}').unwrap_or(before);
            base.chars().next_back().is_some_and(is_pictograph)
                && after.chars().next().is_some_and(is_pictograph)
        }
        _ if is_tag(c) => {
            let flag = before.trim_end_matches(is_tag);
            let tags = before[flag.len()..].chars().chain([c]).chain(after.chars()).take(LONGEST_TAGS);
            flag.ends_with(BLACK_FLAG) && length_of_tags(&tags.collect::<Vec<_>>()) > 0
        }
        _ => false,
    }
}

fn belongs(c: char, before: &[char], after: &[char]) -> bool {
    let (Some(&last), next) = (before.last(), after.first().copied()) else { return false };
    match c {
        '\u{FE0E}' | '\u{FE0F}' => may_be_selected(last),
        JOINER if next.is_some_and(is_pictograph) => joins_emoji(before),
        JOINER => shapes(last, next) || joins_on(before),
        NON_JOINER => {
            shapes(last, next) || ((last.is_alphanumeric() || is_mark(last)) && next.is_some_and(is_joined))
        }
        // The break between words in a script without spaces.
        '\u{200B}' => is_unspaced(last) && next.is_some_and(is_unspaced),
        // A selector, which chooses one of the forms of the letter before it.
        '\u{180B}'..='\u{180D}' | '\u{180F}' => is_of(last, Script::Mongolian),
        '\u{180E}' => {
            is_of(last, Script::Mongolian) && next.is_some_and(|next| is_of(next, Script::Mongolian))
        }
        '\u{FE00}' if is_of(last, Script::Myanmar) => true,
        '\u{FE00}'..='\u{FE02}' | '\u{E0100}'..='\u{E01EF}' => UnifiedIdeograph::for_char(last),
        _ => false,
    }
}

fn joins_emoji(before: &[char]) -> bool {
    matches!(before, [.., base, '\u{FE0F}'] | [.., base] if is_pictograph(*base))
}

/// Whether a joiner selects the form of a sign of an Indic script: after a virama, or before a mark.
fn shapes(last: char, next: Option<char>) -> bool {
    let script = Script::for_char(last);
    let is_marked = |next| is_mark(next) && Script::for_char(next) == script;
    is_virama(last) || (!matches!(script, Script::Common | Script::Inherited) && next.is_some_and(is_marked))
}

/// Whether the last letter would join a letter after it.
fn joins_on(before: &[char]) -> bool {
    let letter = before.iter().rev().find(|c| !is_mark(**c));
    letter.is_some_and(|&c| {
        matches!(JoiningType::for_char(c), JoiningType::DualJoining | JoiningType::LeftJoining)
    })
}

/// Whether a letter would be joined to a joining letter before it.
fn is_joined(c: char) -> bool {
    matches!(JoiningType::for_char(c), JoiningType::DualJoining | JoiningType::RightJoining)
}

fn is_virama(c: char) -> bool {
    CanonicalCombiningClass::for_char(c) == CanonicalCombiningClass::Virama
}

fn is_mark(c: char) -> bool {
    matches!(GeneralCategory::for_char(c), GeneralCategory::NonspacingMark | GeneralCategory::SpacingMark)
}

fn is_unspaced(c: char) -> bool {
    LineBreak::for_char(c) == LineBreak::ComplexContext
}

fn is_of(c: char, script: Script) -> bool {
    Script::for_char(c) == script
}

fn is_tag(c: char) -> bool {
    matches!(c, '\u{E0020}'..='\u{E007F}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::words::emoji::tests::ALL;

    #[test]
    fn every_emoji_of_unicode_may_be_in_a_name() {
        for emoji in ALL.lines() {
            for name in [emoji.to_owned(), format!("Team {emoji} x"), emoji.repeat(2)] {
                assert_eq!(out_of_place(&name), None, "{}", name.escape_unicode());
            }
        }
    }

    #[test]
    fn words_of_living_scripts_have_their_joiners() {
        for word in [
            "می\u{200C}خواهم",    // Persian
            "کتاب\u{200C}ها",     // Persian
            "خانه\u{200C}ای",     // Persian
            "پدر\u{200C}بزرگ",    // Persian, after a letter that does not join
            "PDF\u{200C}ها",      // Persian, after a Latin word
            "۲۰\u{200C}ساله",     // Persian, after digits
            "مُ\u{200C}ش",         // after a mark
            "ه\u{200D}.ق",        // Persian, an abbreviation
            "ه\u{200D}",          // Kurdish
            "ᠮᠣᠩᠭᠣᠯ\u{180B}",     // Mongolian
            "ᠴᠢᠨᠠ\u{180E}ᠠ",      // Mongolian
            "क्\u{200D}ष",         // Hindi
            "हिन्\u{200C}दी",      // Hindi
            "र्\u{200D}यामान",     // Nepali
            "শ্রীমান্\u{200C}",      // Bengali, at the end
            "র\u{200D}্যাব",        // Bengali
            "র\u{200C}্যাব",        // Bengali
            "ක\u{0DCA}\u{200D}ෂ", // Sinhala
            "ශ්\u{200D}රී ලංකා",     // Sinhala
            "ക്\u{200D}",          // Malayalam
            "അത്\u{200C}",         // Malayalam
            "க்\u{200C}ஷ",         // Tamil
            "ರ\u{200D}್ಕ",         // Kannada
            "ప్\u{200C}లే",         // Telugu
            "ស\u{200C}៊ី",          // Khmer
            "សួស្តី\u{200B}ពិភពលោក",   // Khmer
            "葛\u{E0100}飾区",    // Japanese
            "\u{1000}\u{FE00}",   // Khamti
        ] {
            assert_eq!(out_of_place(word), None, "{word} {}", word.escape_unicode());
        }
    }

    #[test]
    fn anywhere_else_they_are_refused() {
        for name in [
            "a\u{200D}b",
            "a\u{200C}b",
            "a\u{200B}b",
            "\u{200D}",
            "\u{200D}a",
            "a\u{200D}",
            "\u{200C}ها",
            "کتاب\u{200C}",
            "کتاب\u{200C}\u{200C}ها",
            "کتاب\u{200D}\u{200C}ها",
            "کتاب \u{200C}ها",
            "د\u{200D}",
            "क्\u{200D}\u{200D}ष",
            "я\u{200D}я",
            "日\u{200D}本",
            "a\u{FE0F}",
            "日\u{FE0F}",
            "❤\u{FE0F}\u{FE0F}",
            "❤\u{200D}a",
            "a\u{200D}❤",
            "👍\u{200D}",
            "👍\u{200D}\u{200D}👍",
            "a\u{180B}",
            "a\u{E0100}",
            "a\u{E0067}\u{E0062}\u{E007F}",
            "🏴\u{E0067}\u{E0062}\u{E0065}\u{E006E}\u{E0067}",
            "🏴\u{E0067}\u{E007F}",
            "👍\u{E0067}\u{E0062}\u{E0065}\u{E007F}",
            "a\u{200E}b",
            "\u{202E}abc",
            "ก\u{200B}a",
            "\u{3164}",
        ] {
            assert!(out_of_place(name).is_some(), "{}", name.escape_unicode());
        }
    }
}
