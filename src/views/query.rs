//! A search query as a user typed it, and the hits of the query in a text.

use std::collections::BTreeSet;

use crate::views::words::{runs, tokens, words};

/// The most characters of a text that are shown around a hit.
const SHOWN: usize = 200;
/// The most characters of these that are before the first hit.
const BEFORE: usize = 60;

/// A parsed search query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchQuery {
    /// The query as the text of a `tsquery`.
    pub(super) query: String,
    /// The words to find in a text, in the form of [`joined`].
    phrases: BTreeSet<String>,
}

/// A piece of a found text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// As typed.
    pub text: String,
    /// Whether the piece is a word of the query.
    pub hit: bool,
}

/// A parsed query: alternatives, each of which needs all its terms.
#[derive(Default)]
struct Reading {
    alternatives: Vec<Vec<String>>,
    phrases: BTreeSet<String>,
}

impl Reading {
    /// Adds words that have to be together, or that must be missing.
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

impl SearchQuery {
    /// Parses a query as a user types it: words, `"` around a phrase, `-` before a word or phrase that must be missing,
    /// and `or`. `None` if it has no word that could find a text.
    pub fn parse(typed: &str) -> Option<Self> {
        let (mut read, mut not) = (Reading::default(), false);
        // Pieces outside and inside of quotes alternate.
        for (number, piece) in typed.split('"').enumerate() {
            if number % 2 == 1 {
                read.add(&words(piece), not);
                not = false;
                continue;
            }
            for word in piece.split_whitespace() {
                // A minus at the end of a piece belongs to the phrase after it.
                not = word == "-" && piece.ends_with(word);
                if word.eq_ignore_ascii_case("or") {
                    read.begin_alternative();
                } else if let Some(without) = word.strip_prefix('-') {
                    // The user typed one word, so it must be missing as a whole.
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

    /// Up to 200 characters of a text, in pieces, from shortly before the first word of the query.
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

    /// Marks the tokens of a text that belong to a hit.
    fn hits(&self, tokens: &[&str]) -> BTreeSet<usize> {
        // Each word is stored with a blank before it. Both belong to the token.
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
                // A hit that begins within this one is not looked for, so that the text is read only once.
                from = end;
            }
        }
        hits
    }
}

/// The words, with a blank before and after each.
fn joined(words: &[String]) -> String {
    format!(" {} ", words.join(" "))
}

/// A phrase as the text of a `tsquery`: the words in a row by their positions, or by pairs if Postgres does not keep
/// all positions of a text.
fn together(words: &[String]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let pairs: Vec<String> = words.windows(2).map(|pair| format!("'{}'", pair.join(" "))).collect();
    match pairs.is_empty() {
        true => quoted.concat(),
        false => format!("({} | {})", quoted.join(" <-> "), pairs.join(" & ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(typed: &str) -> Option<String> {
        SearchQuery::parse(typed).map(|wanted| wanted.query.trim().to_owned())
    }

    fn shown(typed: &str, text: &str) -> String {
        let pieces = SearchQuery::parse(typed).expect("words").highlight(text);
        pieces.iter().map(|p| if p.hit { format!("[{}]", p.text) } else { p.text.clone() }).collect()
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
