//! The words of a text, as search compares them: composed alike, in lower case, without punctuation,
//! and every ideograph and kana a word of its own, since nothing stands between them. This is done here
//! and not by Postgres, whose parser and lower case depend on the locale of the database.

use std::collections::HashSet;

use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

/// The most characters of a text that are shown around what was found.
const SHOWN: usize = 200;
/// How many of them at most stand before the first word that was found.
const BEFORE: usize = 60;

/// What is searched for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// For `websearch_to_tsquery`: words, `"` around a phrase, `-` before what must not be there, `or`.
    pub(super) query: String,
    /// The words that a text may be found by.
    words: HashSet<String>,
}

/// A piece of a text that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// As typed.
    pub text: String,
    /// Whether it is a word that was searched for.
    pub hit: bool,
}

impl Wanted {
    /// Reads what somebody typed; `None` if there is no word in it that a text could be found by.
    pub fn parse(typed: &str) -> Option<Self> {
        let (mut query, mut words) = (String::new(), HashSet::new());
        // Pieces outside and inside of quotes take turns.
        for (number, piece) in typed.split('"').enumerate() {
            let quoted = number % 2 == 1;
            let negated = query.ends_with('-');
            if quoted {
                query.push('"');
                query.push_str(&fold(piece));
                query.push_str("\" ");
                if !negated {
                    words.extend(fold(piece).split_whitespace().map(str::to_owned));
                }
                continue;
            }
            for word in piece.split_whitespace() {
                let (bare, not) = word.strip_prefix('-').map_or((word, false), |bare| (bare, true));
                let folded = fold(bare);
                let mut parts = folded.split_whitespace().peekable();
                if not && parts.peek().is_none() {
                    // Only the minus of a phrase has nothing behind it.
                    if piece.ends_with(word) && bare.is_empty() {
                        query.push('-');
                    }
                } else if not {
                    // What is one word for who types it must be missing as one.
                    query.push_str(&format!("-\"{}\" ", folded.trim()));
                } else {
                    for part in parts.filter(|part| *part != "or" || bare.eq_ignore_ascii_case("or")) {
                        query.push_str(part);
                        query.push(' ');
                        if part != "or" {
                            words.insert(part.to_owned());
                        }
                    }
                }
            }
        }
        (!words.is_empty()).then_some(Self { query, words })
    }

    /// Up to 200 characters of a text from shortly before the first word that was searched for, in
    /// pieces.
    pub fn highlight(&self, text: &str) -> Vec<Piece> {
        let tokens = tokens(text);
        let hit = |token: &str| self.words.contains(fold(token).trim());
        let first = tokens.iter().position(|token| hit(token)).unwrap_or(0);
        let (mut begin, mut before) = (first, 0);
        while let Some(token) = begin.checked_sub(1).and_then(|at| tokens.get(at)) {
            before += token.chars().count();
            if before > BEFORE {
                break;
            }
            begin -= 1;
        }
        let (mut pieces, mut room): (Vec<Piece>, usize) = (Vec::new(), SHOWN);
        for token in tokens.get(begin..).unwrap_or_default() {
            let shown: String = token.chars().take(room).collect();
            if shown.is_empty() {
                break;
            }
            room -= shown.chars().count();
            let hit = hit(token);
            match pieces.last_mut() {
                Some(last) if !last.hit && !hit => last.text.push_str(&shown),
                _ => pieces.push(Piece { text: shown, hit }),
            }
        }
        pieces
    }
}

/// The words of a text, with blanks between them.
pub(super) fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    if text.is_ascii() {
        let fold = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { ' ' };
        folded.extend(text.chars().map(fold));
        return folded;
    }
    for c in text.nfkc().flat_map(char::to_lowercase) {
        match c {
            _ if stands_alone(c) => folded.extend([' ', c, ' ']),
            _ if in_word(c) => folded.push(c),
            _ => folded.push(' '),
        }
    }
    folded
}

/// A text cut into words and what is between them.
fn tokens(text: &str) -> Vec<&str> {
    let (mut tokens, mut start) = (Vec::new(), 0);
    let mut last = None;
    for (at, c) in text.char_indices() {
        let kind = (in_word(c), stands_alone(c));
        if last.is_some_and(|last| last != kind || kind.1) {
            tokens.extend(text.get(start..at));
            start = at;
        }
        last = Some(kind);
    }
    tokens.extend(text.get(start..).filter(|rest| !rest.is_empty()));
    tokens
}

fn in_word(c: char) -> bool {
    c.is_alphanumeric() || is_combining_mark(c)
}

/// Han, hiragana and katakana.
fn stands_alone(c: char) -> bool {
    matches!(c, '\u{3041}'..='\u{30fa}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}'
        | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{323af}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(typed: &str) -> Option<String> {
        Wanted::parse(typed).map(|wanted| wanted.query.trim().to_owned())
    }

    fn shown(typed: &str, text: &str) -> String {
        let pieces = Wanted::parse(typed).expect("words").highlight(text);
        pieces.iter().map(|p| if p.hit { format!("[{}]", p.text) } else { p.text.clone() }).collect()
    }

    #[test]
    fn words_are_compared_without_case_punctuation_and_composition() {
        let words = |text: &str| fold(text).split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(words("„Ärger“, ÉTÉ e-mail…"), ["ärger", "été", "e", "mail"]);
        assert_eq!(words("E\u{301}te\u{301}"), ["été"]);
        assert_eq!(words("東京タワー 2"), ["東", "京", "タ", "ワ", "ー", "2"]);
        assert!(words("\0 \u{1} <!> 🎉").is_empty());
    }

    #[test]
    fn a_query_keeps_phrases_negation_and_or() {
        assert_eq!(query("Pizza  -Pasta OR soup"), Some("pizza -\"pasta\" or soup".into()));
        assert_eq!(query("\"hot Soup\" -\"cold pizza\""), Some("\"hot soup\" -\"cold pizza\"".into()));
        assert_eq!(query("e-mail -e-mail"), Some("e mail -\"e mail\"".into()));
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
