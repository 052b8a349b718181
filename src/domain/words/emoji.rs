//! Reactions, and the single form in which a sign is kept, whatever its encoding was.

use std::fmt;

use icu_properties::props::{
    BinaryProperty as _, Emoji as IsEmoji, EmojiPresentation, ExtendedPictographic, RegionalIndicator,
};
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization as _;

use crate::domain::words::visible::{is_visible, may_never_be_kept};

pub(in crate::domain) const JOINER: char = '\u{200D}';
const AS_PICTURE: char = '\u{FE0F}';
const AS_TEXT: char = '\u{FE0E}';
const KEYCAP: char = '\u{20E3}';
pub(in crate::domain) const BLACK_FLAG: char = '\u{1F3F4}';
const END_OF_TAGS: char = '\u{E007F}';
/// The most tags of a flag, with the end tag.
pub(in crate::domain) const LONGEST_TAGS: usize = 7;

/// A reaction: one sign of at most 64 bytes of UTF-8, usually an emoji, with everything joined to it. An
/// emoji is kept fully qualified, as Unicode lists it: with U+FE0F where it is needed and nowhere else. Every
/// other sign is kept in NFC.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Emoji(String);

impl Emoji {
    /// The maximum length of a reaction, in bytes.
    pub const LIMIT: usize = 64;

    /// The sign itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form used to compare a stored sign, whichever version stored it. A sign that would be refused
    /// today is compared as it is.
    pub fn compared(stored: &str) -> String {
        one_sign(stored).unwrap_or_else(|| stored.to_owned())
    }
}

/// The text is not one sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotOneSign;

impl fmt::Display for NotOneSign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limit = Emoji::LIMIT;
        write!(
            f,
            "not a reaction: it must be one emoji or one visible character, of at most {limit} bytes of UTF-8"
        )
    }
}

impl TryFrom<String> for Emoji {
    type Error = NotOneSign;
    fn try_from(text: String) -> Result<Self, NotOneSign> {
        let fits = |text: &str| text.len() <= Self::LIMIT;
        let sign = fits(&text).then(|| one_sign(&text)).flatten();
        sign.filter(|sign| fits(sign)).map(Self).ok_or(NotOneSign)
    }
}

impl From<Emoji> for String {
    fn from(emoji: Emoji) -> Self {
        emoji.0
    }
}

fn one_sign(text: &str) -> Option<String> {
    let signs: Vec<char> = text.chars().collect();
    if let Some(emoji) = flag_or_keycap(&signs).or_else(|| joined(&signs)) {
        return Some(emoji);
    }
    let mut composed = text.nfc();
    let sign = composed.next().filter(|&c| is_visible(c) && !may_never_be_kept(c))?;
    composed.next().is_none().then(|| sign.to_string())
}

fn flag_or_keycap(signs: &[char]) -> Option<String> {
    match *signs {
        [first, second] if [first, second].map(RegionalIndicator::for_char) == [true; 2] => {
            Some(signs.iter().collect())
        }
        [key, KEYCAP] | [key, AS_PICTURE | AS_TEXT, KEYCAP] if is_key(key) => {
            Some([key, AS_PICTURE, KEYCAP].iter().collect())
        }
        _ => None,
    }
}

/// One emoji, or several with joiners between them, as UTS 51 defines them. Each emoji may have a selector
/// and a skin tone, and a flag may have tags.
fn joined(mut signs: &[char]) -> Option<String> {
    let mut emoji = String::with_capacity(Emoji::LIMIT);
    loop {
        let (&base, after) = signs.split_first().filter(|(base, _)| is_pictograph(**base))?;
        emoji.push(base);
        signs = without_selector(after);
        match *signs {
            [tone @ '\u{1F3FB}'..='\u{1F3FF}', ref after @ ..] => {
                emoji.push(tone);
                signs = without_selector(after);
            }
            _ if IsEmoji::for_char(base) && !EmojiPresentation::for_char(base) => emoji.push(AS_PICTURE),
            _ => {}
        }
        if base == BLACK_FLAG {
            let (tags, after) = signs.split_at(length_of_tags(signs));
            emoji.extend(tags);
            signs = after;
        }
        match *signs {
            [] => return Some(emoji),
            [JOINER, ref after @ ..] => {
                emoji.push(JOINER);
                signs = after;
            }
            _ => return None,
        }
    }
}

fn without_selector(signs: &[char]) -> &[char] {
    match signs {
        [AS_PICTURE | AS_TEXT, after @ ..] => after,
        all => all,
    }
}

fn is_key(c: char) -> bool {
    matches!(c, '0'..='9' | '#' | '*')
}

/// Whether a character is an emoji by itself, or reserved for an emoji of a later version of Unicode.
pub(in crate::domain) fn is_pictograph(c: char) -> bool {
    let is_emoji = IsEmoji::for_char(c) && !is_key(c) && !RegionalIndicator::for_char(c);
    is_emoji || ExtendedPictographic::for_char(c)
}

/// Whether a selector may follow a character.
pub(in crate::domain) fn may_be_selected(c: char) -> bool {
    IsEmoji::for_char(c)
}

/// The number of leading characters that are the tags of a flag: the tags of a part of a country, and the end
/// tag. Longer sequences of tags are refused, because they could hide a text.
pub(in crate::domain) fn length_of_tags(signs: &[char]) -> usize {
    let is_tag = |c: &&char| matches!(c, '\u{E0030}'..='\u{E0039}' | '\u{E0061}'..='\u{E007A}');
    let tags = signs.iter().take_while(is_tag).count();
    let is_whole = (3..LONGEST_TAGS).contains(&tags) && signs.get(tags) == Some(&END_OF_TAGS);
    if is_whole { tags + 1 } else { 0 }
}

#[cfg(test)]
pub(in crate::domain) mod tests {
    use super::*;

    /// Every fully qualified emoji of Unicode's emoji-test.txt, version 18, and the components.
    pub(in crate::domain) const ALL: &str = include_str!("../../../tests/emoji.txt");

    fn read(text: &str) -> Result<String, NotOneSign> {
        Emoji::try_from(text.to_owned()).map(String::from)
    }

    #[test]
    fn every_emoji_of_unicode_is_one_reaction_however_it_is_encoded() {
        assert_eq!(ALL.lines().count(), 3_963 + 9);
        for emoji in ALL.lines() {
            assert_eq!(read(emoji).as_deref(), Ok(emoji), "{}", emoji.escape_unicode());
            let bare = emoji.replace(AS_PICTURE, "");
            assert_eq!(read(&bare).as_deref(), Ok(emoji), "{}", bare.escape_unicode());
            for (at, _) in emoji.match_indices(AS_PICTURE) {
                let mut partly = emoji.to_owned();
                partly.remove(at);
                assert_eq!(read(&partly).as_deref(), Ok(emoji), "{}", partly.escape_unicode());
                let mut as_text = emoji.to_owned();
                as_text.replace_range(at..at + AS_PICTURE.len_utf8(), "\u{FE0E}");
                assert_eq!(read(&as_text).as_deref(), Ok(emoji), "{}", as_text.escape_unicode());
            }
        }
    }

    #[test]
    fn a_selector_that_is_not_needed_is_left_out() {
        assert_eq!(read("👍\u{FE0F}").as_deref(), Ok("👍"));
        assert_eq!(read("☝\u{FE0F}🏽").as_deref(), Ok("☝🏽"));
        assert_eq!(read("👩\u{FE0F}\u{200D}❤\u{200D}👩").as_deref(), Ok("👩\u{200D}❤\u{FE0F}\u{200D}👩"));
    }

    #[test]
    fn a_sign_that_is_no_emoji_is_kept_composed() {
        for (typed, kept) in [("+", "+"), ("é", "é"), ("e\u{301}", "é"), ("1", "1"), ("好", "好"), ("🇩", "🇩")]
        {
            assert_eq!(read(typed).as_deref(), Ok(kept));
        }
    }

    #[test]
    fn what_is_more_or_less_than_one_sign_is_refused() {
        let long = ["👩"; 10].join("\u{200D}");
        let tags = format!("🏴{}\u{E007F}", "\u{E0061}".repeat(7));
        for text in [
            "",
            " ",
            "👍👍",
            "ok",
            "\n",
            "\0",
            "\u{200D}",
            "👍\u{200D}",
            "\u{200D}👍",
            "👍\u{200D}\u{200D}👍",
            "\u{FE0F}",
            "a\u{FE0F}",
            "a\u{200D}b",
            "a\u{20E3}",
            "a\u{202E}",
            "🇩🇪🇫🇷",
            "e\u{301}\u{301}",
            "👍\u{E0067}\u{E0062}\u{E0065}\u{E007F}",
            "🏴\u{E0067}\u{E0062}\u{E0065}",
            &tags,
            &long,
        ] {
            assert_eq!(read(text), Err(NotOneSign), "{text:?}");
        }
    }

    #[test]
    fn what_was_stored_once_is_compared_as_it_would_be_kept_today() {
        assert_eq!(Emoji::compared("❤"), Emoji::compared("❤\u{FE0F}"));
        assert_eq!(Emoji::compared("a\u{200D}b"), "a\u{200D}b");
    }
}
