//! The words of a text, as search compares them: composed alike, with full case folding, without
//! punctuation. Where a script writes no spaces each character is a word of its own, and what was typed
//! together is looked for together. This is done here and not by Postgres, whose parser and lower case
//! depend on the locale of the database.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use icu_properties::props::{
    BinaryProperty as _, DefaultIgnorableCodePoint, EnumeratedProperty as _, LineBreak, Script,
};
use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

/// The most characters of a text that are shown around what was found.
const SHOWN: usize = 200;
/// How many of them at most stand before the first word that was found.
const BEFORE: usize = 60;
/// The positions that a `tsvector` keeps: so many of each word, and none beyond.
const OF_EACH_WORD: usize = 255;
const LAST_POSITION: usize = 16_383;
/// The most bytes of a word, so that two of them are one `tsvector` takes. No query has a longer one.
const LONGEST: usize = 1_000;

/// Between two words of Persian, or within one of an Indic script behind a virama.
const NON_JOINER: char = '\u{200C}';

/// A parsed search query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// As text of a `tsquery`.
    pub(super) query: String,
    /// The words by which a text is found, in the form of [`joined`].
    phrases: BTreeSet<String>,
}

/// A piece of a text that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// As typed.
    pub text: String,
    /// Whether it is a word that was searched for.
    pub hit: bool,
}

/// A query as it is read: alternatives, of each all terms.
#[derive(Default)]
struct Reading {
    alternatives: Vec<Vec<String>>,
    phrases: BTreeSet<String>,
}

impl Reading {
    /// Words that have to stand together, or must not.
    fn add(&mut self, words: &[String], not: bool) {
        if words.is_empty() {
            return;
        }
        if self.alternatives.is_empty() {
            self.alternatives.push(Vec::new());
        }
        if !not {
            self.phrases.insert(joined(words));
        }
        let term = if not { format!("!{}", together(words)) } else { together(words) };
        self.alternatives.last_mut().expect("there is one").push(term);
    }

    fn begin_alternative(&mut self) {
        if self.alternatives.last().is_some_and(|terms| !terms.is_empty()) {
            self.alternatives.push(Vec::new());
        }
    }
}

impl Wanted {
    /// Reads what somebody typed: words, `"` around a phrase, `-` before what must not be there, `or`.
    /// `None` if there is no word in it that a text could be found by.
    pub fn parse(typed: &str) -> Option<Self> {
        let (mut read, mut not) = (Reading::default(), false);
        // Pieces outside and inside of quotes take turns.
        for (number, piece) in typed.split('"').enumerate() {
            if number % 2 == 1 {
                read.add(&words(piece), not);
                not = false;
                continue;
            }
            for word in piece.split_whitespace() {
                // A minus that ends a piece is that of the phrase behind it.
                not = word == "-" && piece.ends_with(word);
                if word.eq_ignore_ascii_case("or") {
                    read.begin_alternative();
                } else if let Some(without) = word.strip_prefix('-') {
                    // What is one word for who types it must be missing as one.
                    read.add(&words(without), true);
                } else {
                    runs(word).iter().for_each(|run| read.add(run, false));
                }
            }
        }
        let Reading { mut alternatives, phrases } = read;
        alternatives.retain(|terms| !terms.is_empty());
        let all: Vec<String> = alternatives.iter().map(|terms| terms.join(" & ")).collect();
        (!phrases.is_empty()).then(|| Self { query: all.join(" | "), phrases })
    }

    /// Up to 200 characters of a text from shortly before the first word that was searched for, in
    /// pieces.
    pub fn highlight(&self, text: &str) -> Vec<Piece> {
        let tokens = tokens(text);
        let hits = self.hits(&tokens);
        let first = hits.first().copied().unwrap_or(0);
        let (mut begin, mut before) = (first, 0);
        while let Some(token) = begin.checked_sub(1).and_then(|at| tokens.get(at)) {
            before += token.chars().count();
            if before > BEFORE {
                break;
            }
            begin -= 1;
        }
        let (mut pieces, mut room): (Vec<Piece>, usize) = (Vec::new(), SHOWN);
        for (at, token) in tokens.iter().enumerate().skip(begin) {
            let shown: String = token.chars().take(room).collect();
            if shown.is_empty() {
                break;
            }
            room -= shown.chars().count();
            let hit = hits.contains(&at);
            match pieces.last_mut() {
                Some(last) if !last.hit && !hit => last.text.push_str(&shown),
                _ => pieces.push(Piece { text: shown, hit }),
            }
        }
        pieces
    }

    /// Which of the tokens of a text are a part of what is searched for.
    fn hits(&self, tokens: &[&str]) -> BTreeSet<usize> {
        // Each word with the blank before it is a token's.
        let (mut text, mut begins) = (String::new(), Vec::new());
        for (at, token) in tokens.iter().enumerate() {
            for word in words(token) {
                begins.push((text.len(), at));
                text.push(' ');
                text.push_str(&word);
            }
        }
        text.push(' ');
        let mut hits = BTreeSet::new();
        for phrase in &self.phrases {
            let mut from = 0;
            while let Some(found) = text.get(from..).and_then(|rest| rest.find(phrase)) {
                let (begin, end) = (from + found, from + found + phrase.len() - 1);
                let first = begins.partition_point(|(at, _)| *at < begin);
                let last = begins.partition_point(|(at, _)| *at < end);
                hits.extend(begins[first..last].iter().map(|(_, token)| *token));
                // One that begins within this one is not looked for, so that a text is read once.
                from = end;
            }
        }
        hits
    }
}

/// The words with a blank before and behind each.
fn joined(words: &[String]) -> String {
    format!(" {} ", words.join(" "))
}

/// As text of a `tsquery`: the words in a row, by their positions or, in a text of which not all are kept, by
/// its pairs.
fn together(words: &[String]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let pairs: Vec<String> = words.windows(2).map(|pair| format!("'{}'", pair.join(" "))).collect();
    match pairs.is_empty() {
        true => quoted.concat(),
        false => format!("({} | {})", quoted.join(" <-> "), pairs.join(" & ")),
    }
}

/// The words of a text with their positions, as text of a `tsvector`. That keeps only so many positions;
/// where this is not all, each pair of neighbours is a word more, so that a phrase is found wherever it
/// stands.
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
fn words(text: &str) -> Vec<String> {
    runs(text).into_iter().flatten().collect()
}

/// The words of a text, those together between which nothing was typed.
fn runs(text: &str) -> Vec<Vec<String>> {
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

/// The characters of a text with full case folding: what has an upper case of several characters, or several
/// lower cases, is compared by that of its upper case. A dot above an i is not seen in `runs`, so that
/// İ, I, i and ı are one letter, whatever the language.
fn folded(text: &str) -> impl Iterator<Item = char> {
    let seen = text.nfkc().filter(|&c| !is_ignored(c));
    let lower = seen.flat_map(char::to_lowercase).flat_map(char::to_uppercase).flat_map(char::to_lowercase);
    lower.nfkc()
}

/// Invisible characters that part no words: selectors and joiners among others.
fn is_ignored(c: char) -> bool {
    DefaultIgnorableCodePoint::for_char(c) && !matches!(c, '\u{200B}' | NON_JOINER)
}

/// A text cut into words and what is between them.
fn tokens(text: &str) -> Vec<&str> {
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

/// Whether a character is of a script without spaces: Han, kana, Thai, Lao, Khmer and their like.
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

    fn query(typed: &str) -> Option<String> {
        Wanted::parse(typed).map(|wanted| wanted.query.trim().to_owned())
    }

    fn shown(typed: &str, text: &str) -> String {
        let pieces = Wanted::parse(typed).expect("words").highlight(text);
        pieces.iter().map(|p| if p.hit { format!("[{}]", p.text) } else { p.text.clone() }).collect()
    }

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
    fn a_query_keeps_phrases_negation_and_or() {
        let read = |typed| query(typed).unwrap_or_default();
        assert_eq!(read("Pizza  -Pasta OR soup"), "'pizza' & !'pasta' | 'soup'");
        assert_eq!(read("or pizza or OR soup or"), "'pizza' | 'soup'");
        let phrases = "('hot' <-> 'soup' | 'hot soup') & !('cold' <-> 'pizza' | 'cold pizza')";
        assert_eq!(read("\"hot Soup\" -\"cold pizza\""), phrases);
        assert_eq!(read("e-mail -e-mail"), "'e' & 'mail' & !('e' <-> 'mail' | 'e mail')");
    }

    #[test]
    fn what_was_typed_together_without_spaces_is_looked_for_together() {
        let read = |typed| query(typed).unwrap_or_default();
        assert_eq!(read("日本"), "('日' <-> '本' | '日 本')");
        assert_eq!(read("日 本、京"), "'日' & '本' & '京'");
        assert_eq!(read("กข"), "('ก' <-> 'ข' | 'ก ข')");
        assert_eq!(read("iPhone版"), "('iphone' <-> '版' | 'iphone 版')");
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

    #[test]
    fn without_a_word_that_can_be_found_there_is_nothing_to_search() {
        for none in ["", " ", "-", "\"\"", "!?", "-pizza", "-\"cold pizza\"", "or", "\0", "🎉", "- -"] {
            assert_eq!(query(none), None, "{none}");
        }
    }

    #[test]
    fn what_was_found_is_marked_as_typed() {
        assert_eq!(shown("pizza", "Cold PIZZA, <b>pizza</b>!"), "Cold [PIZZA], <b>[pizza]</b>!");
        assert_eq!(shown("京", "東京"), "東[京]");
        assert_eq!(shown("tea -coffee", "tea, coffee"), "[tea], coffee");
        assert_eq!(shown("日本", "本日は日本"), "本日は[日][本]");
        assert_eq!(shown("\"hot soup\"", "soup, hot soup, hot"), "soup, [hot] [soup], hot");
        assert_eq!(shown("strasse", "Die Straße"), "Die [Straße]");
        assert_eq!(shown("\"ya ya ya\"", "ya ya ya ya ya"), "[ya] [ya] [ya] ya ya");
    }

    #[test]
    fn a_long_text_is_shown_around_the_first_hit() {
        let long = format!("{}needle{}", "hay ".repeat(100), " hay".repeat(100));
        let shown = shown("needle", &long);
        assert!(shown.starts_with("hay ") || shown.starts_with(" hay"), "{shown}");
        assert!(shown.contains("[needle]"));
        assert_eq!(shown.chars().count(), SHOWN + 2);
    }
}
