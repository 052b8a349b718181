//! The words of a text, as search compares them: composed alike, with full case folding, without punctuation. In a
//! script without spaces each character is a word of its own, and characters that were typed together are searched for
//! together. Postgres does not make the words, because its parser and lower case depend on the locale of the database.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use icu_properties::props::{
    BinaryProperty as _, DefaultIgnorableCodePoint, EnumeratedProperty as _, LineBreak, Script,
};
use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

/// The number of positions of each word that a `tsvector` keeps, and the highest position.
const OF_EACH_WORD: usize = 255;
const LAST_POSITION: usize = 16_383;
/// The most bytes of a word, so that a `tsvector` accepts a pair of them. No query has a longer word.
const LONGEST: usize = 1_000;

/// The zero-width non-joiner is between two words of Persian, or after a virama within a word of an Indic script.
const NON_JOINER: char = '\u{200C}';

/// The words of a text with their positions, as the text of a `tsvector`. If a text has more positions than a
/// `tsvector` keeps, each pair of neighbours is one more word, so that a phrase is found anywhere.
pub(super) fn vector(text: &str) -> String {
    let words = words(text);
    let mut at: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, word) in words.iter().enumerate() {
        at.entry(word).or_default().push(index + 1);
    }
    let mut vector = String::with_capacity(text.len() * 2);
    for (word, positions) in &at {
        let mut mark = ':';
        let _ = write!(vector, "'{word}'");
        for position in positions.iter().take(OF_EACH_WORD).filter(|position| **position <= LAST_POSITION) {
            let _ = write!(vector, "{mark}{position}");
            mark = ',';
        }
        vector.push(' ');
    }
    let is_whole =
        words.len() <= LAST_POSITION && at.values().all(|positions| positions.len() <= OF_EACH_WORD);
    if !is_whole {
        let pairs: BTreeSet<String> = words.windows(2).map(|pair| pair.join(" ")).collect();
        for pair in pairs {
            let _ = write!(vector, "'{pair}' ");
        }
    }
    vector
}

/// The words of a text.
pub(super) fn words(text: &str) -> Vec<String> {
    runs(text).into_iter().flatten().collect()
}

/// The words of a text, grouped: no character was typed between the words of a group.
pub(super) fn runs(text: &str) -> Vec<Vec<String>> {
    if text.is_ascii() {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| fits(word));
        return words.map(|word| vec![word.to_ascii_lowercase()]).collect();
    }
    let (mut runs, mut run, mut word) = (Vec::new(), Vec::new(), String::new());
    let mut is_alone = false;
    for c in folded(text) {
        match c {
            '\u{307}' if word.ends_with('i') => {}
            NON_JOINER if word.ends_with(is_combining_mark) => {}
            _ if is_combining_mark(c) && !word.is_empty() => word.push(c),
            _ if c.is_alphanumeric() => {
                let alone = stands_alone(c);
                if (alone || is_alone) && !word.is_empty() {
                    run.push(std::mem::take(&mut word));
                }
                is_alone = alone;
                word.push(c);
            }
            _ => {
                run.push(std::mem::take(&mut word));
                runs.push(std::mem::take(&mut run));
            }
        }
    }
    run.push(word);
    runs.push(run);
    runs.iter_mut().for_each(|run| run.retain(|word| fits(word)));
    runs.retain(|run| !run.is_empty());
    runs
}

fn fits(word: &str) -> bool {
    (1..=LONGEST).contains(&word.len())
}

/// The characters of a text with full case folding: a letter with an upper case of several characters, or with several
/// lower cases, is compared by the lower case of its upper case. `runs` ignores a dot above an i, so that İ, I, i and ı
/// are one letter, whatever the language.
fn folded(text: &str) -> impl Iterator<Item = char> {
    let seen = text.nfkc().filter(|&c| !is_ignored(c));
    let lower = seen.flat_map(char::to_lowercase).flat_map(char::to_uppercase).flat_map(char::to_lowercase);
    lower.nfkc()
}

/// Invisible characters that do not separate words: selectors and joiners among others.
fn is_ignored(c: char) -> bool {
    DefaultIgnorableCodePoint::for_char(c) && !matches!(c, '\u{200B}' | NON_JOINER)
}

/// A text cut into words and the pieces between them.
pub(super) fn tokens(text: &str) -> Vec<&str> {
    let (mut tokens, mut start) = (Vec::new(), 0);
    let (mut last, mut before) = (None, None);
    for (at, c) in text.char_indices() {
        let goes_on = is_combining_mark(c)
            || is_ignored(c)
            || matches!(c, '\u{FF9E}' | '\u{FF9F}')
            || (c == NON_JOINER && before.is_some_and(is_combining_mark));
        before = Some(c);
        let kind = (c.is_alphanumeric(), stands_alone(c));
        if last.is_some_and(|last| !goes_on && (last != kind || kind.1)) {
            tokens.extend(text.get(start..at));
            start = at;
        }
        if last.is_none() || !goes_on {
            last = Some(kind);
        }
    }
    tokens.extend(text.get(start..).filter(|rest| !rest.is_empty()));
    tokens
}

/// Whether a character is of a script without spaces: Han, kana, Thai, Lao, Khmer and similar ones.
fn stands_alone(c: char) -> bool {
    let is_alone = |c| {
        matches!(Script::for_char(c), Script::Han | Script::Hiragana | Script::Katakana)
            || LineBreak::for_char(c) == LineBreak::ComplexContext
    };
    !c.is_ascii() && c.is_alphanumeric() && (c == 'ー' || is_alone(c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Text;

    #[test]
    fn words_are_compared_without_case_punctuation_and_composition() {
        assert_eq!(words("„Ärger“, ÉTÉ e-mail…"), ["ärger", "été", "e", "mail"]);
        assert_eq!(words("E\u{301}te\u{301}"), ["été"]);
        assert_eq!(words("東京タワー 2"), ["東", "京", "タ", "ワ", "ー", "2"]);
        assert_eq!(words("สวัสดี か\u{3099}ｶﾞ"), ["ส", "วั", "ส", "ดี", "が", "ガ"]);
        assert_eq!(words("می\u{200C}خواهم"), ["می", "خواهم"]);
        assert_eq!(words("हिन्\u{200C}दी क्\u{200D}ष 葛\u{E0100}飾"), words("हिन्दी क्ष 葛飾"));
        assert!(words("\0 \u{1} <!> 🎉").is_empty());
    }

    #[test]
    fn letters_are_compared_by_their_full_case_folding() {
        for alike in [
            &["ΟΔΥΣΣΕΥΣ", "οδυσσευς", "Οδυσσευσ"][..],
            &["STRASSE", "straße", "STRAẞE", "Strasse"],
            &["İstanbul", "istanbul", "ISTANBUL", "i\u{307}stanbul", "ıstanbul"],
            &["ǅEZVA", "ǆezva", "Ǆezva"],
            &["ﬃ", "FFI"],
            &["և", "ԵՒ"],
            &["ΐ", "Ϊ\u{301}"],
            &["ſ", "s"],
            &["Å", "å", "\u{212B}"],
        ] {
            for other in alike {
                assert_eq!(words(other), words(alike[0]), "{other} and {}", alike[0]);
            }
        }
        assert_ne!(words("zoe"), words("zoë"));
    }

    #[test]
    fn where_not_all_positions_are_kept_the_pairs_are_words_too() {
        assert_eq!(vector("no, no: yes"), "'no':1,2 'yes':3 ");
        let often = vector(&"no ".repeat(300));
        assert!(often.ends_with(",255 'no no' "), "{often}");
        let many = vector(&"ﷺ".repeat(Text::LIMIT / 3));
        let greatest = many.split([':', ',', ' ']).filter_map(|part| part.parse::<usize>().ok()).max();
        assert!(greatest.is_some_and(|greatest| greatest < LAST_POSITION), "{greatest:?}");
        assert!(many.contains("'الله عليه'"), "{many}");
        assert_eq!(vector(&"x".repeat(LONGEST + 1)), "");
    }
}
