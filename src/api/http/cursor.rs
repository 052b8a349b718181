//! Cursors of lists. A cursor is a place in one list, and proves that one of our nodes issued it for that list.

use std::sync::OnceLock;

use aws_lc_rs::{constant_time, hmac};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use poem_openapi::{
    registry::MetaSchema,
    types::{ParseError, ParseFromParameter, ParseResult},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::api::http::{asking, inlined::inlined};

/// The key with which this installation authenticates cursors. It is a static, because the parser of a
/// parameter has no access to the state of an operation. The first key that is set stays.
static KEY: OnceLock<hmac::Key> = OnceLock::new();
/// The number of bytes of the authentication code in a cursor.
const TAG: usize = 16;

/// Sets the key that all nodes share. A code made with this key proves that one of the nodes issued the
/// cursor.
pub(in crate::api) fn authenticate(cursor_key: &[u8; 32]) {
    KEY.get_or_init(|| hmac::Key::new(hmac::HMAC_SHA256, cursor_key));
}

fn key() -> &'static hmac::Key {
    KEY.get_or_init(|| hmac::Key::new(hmac::HMAC_SHA256, &[0; 32]))
}

/// The parameters that choose a part of a list, its moment, or what comes with it. All others choose the list.
const OF_PART: [&str; 10] =
    ["cursor", "limit", "min_position", "as_of", "include", "before", "after", "around", "since", "latest"];

/// The name of a list: its path, and the parameters that choose it. Ids are read in either case.
pub(in crate::api) fn list(path: &str, query: &[(String, String)]) -> Vec<u8> {
    let chosen = query.iter().filter(|(name, _)| !OF_PART.contains(&name.as_str()));
    let mut chosen: Vec<_> = chosen
        .map(|(name, value)| match name.as_str() {
            "conversation_id" => (name, value.to_ascii_lowercase()),
            _ => (name, value.clone()),
        })
        .collect();
    chosen.sort();
    serde_json::to_vec(&(path.to_ascii_lowercase(), chosen)).expect("texts are JSON")
}

/// The authentication code of a cursor, which binds the cursor to the list of the current request: in another list, its
/// place means nothing. The cursors of the feed use the same key with another prefix, so a cursor of one kind is never
/// valid as the other kind.
fn tag(json: &[u8]) -> [u8; TAG] {
    let mut signing = hmac::Context::with_key(key());
    signing.update(b"list");
    // The name of a list is one JSON value, so it is clear where it ends.
    signing.update(&asking::list());
    signing.update(json);
    let mut tag = [0; TAG];
    tag.copy_from_slice(&signing.sign().as_ref()[..TAG]);
    tag
}

/// The end of a page: the parameter `cursor`, opaque for clients and authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor<T>(pub T);

impl<T> Cursor<T> {
    /// The maximum number of characters of a cursor.
    pub const MAX: usize = 256;
}

impl<T: Serialize> std::fmt::Display for Cursor<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let json = serde_json::to_vec(&self.0).map_err(|_| std::fmt::Error)?;
        f.write_str(&BASE64URL.encode([&tag(&json)[..], &json].concat()))
    }
}

inlined!((<T: Send + Sync>) Cursor<T>, "Cursor", true, MetaSchema {
    description: Some("The `next_cursor` of the previous page"),
    min_length: Some(1),
    max_length: Some(Self::MAX),
    ..MetaSchema::new("string")
});

impl<T: DeserializeOwned + Send + Sync> ParseFromParameter for Cursor<T> {
    fn parse_from_parameter(value: &str) -> ParseResult<Self> {
        let bytes = (value.len() <= Self::MAX).then(|| BASE64URL.decode(value).ok()).flatten();
        let end = bytes.and_then(|bytes| {
            let (code, json) = bytes.split_first_chunk::<TAG>()?;
            constant_time::verify_slices_are_equal(code, &tag(json)).ok()?;
            serde_json::from_slice(json).ok()
        });
        end.map(Self)
            .ok_or_else(|| ParseError::custom(
                "no cursor of this list: pass next_cursor as it was given, and the other parameters as before",
            ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Position, UserId};

    #[test]
    fn a_cursor_comes_back_as_it_was_given() {
        let ana: UserId = "01930f3c-5a7b-7c3d-8e4f-0123456789ab".parse().expect("id");
        let read = Cursor::parse_from_parameter(&Cursor((ana, Position(7))).to_string());
        assert_eq!(read.map(|cursor| cursor.0).ok(), Some((ana, Position(7))));
    }

    #[test]
    fn a_cursor_of_another_list_or_of_nobody_is_refused() {
        let other = Cursor(Position(7)).to_string();
        let own = r#""01930f3c-5a7b-7c3d-8e4f-0123456789ab""#;
        let (bare, forged) = (BASE64URL.encode(own), BASE64URL.encode([&[0; TAG], own.as_bytes()].concat()));
        for wrong in
            ["", "7", "%", "\0", "null", &other, &format!("{other}="), &"A".repeat(10_000), &bare, &forged]
        {
            assert!(Cursor::<UserId>::parse_from_parameter(wrong).is_err(), "{wrong}");
        }
    }

    #[tokio::test]
    async fn a_cursor_belongs_to_its_list() {
        let query = |pairs: &[(&str, &str)]| -> Vec<_> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let of = |path, pairs: &[(&str, &str)]| list(path, &query(pairs));
        let issues = async |list| {
            asking::within(async {
                asking::note_list(list);
                Cursor(Position(7)).to_string()
            })
            .await
        };
        let cursor = issues(of("/messages", &[("query", "soup"), ("limit", "1")])).await;
        let takes = async |list| {
            let read = async {
                asking::note_list(list);
                Cursor::<Position>::parse_from_parameter(&cursor).is_ok()
            };
            asking::within(read).await
        };
        assert!(
            takes(of("/messages", &[("cursor", &cursor), ("include", "users"), ("query", "soup")])).await
        );
        let upper = of("/conversations/01930F3C/messages", &[("conversation_id", "01930F3C")]);
        assert_eq!(upper, of("/conversations/01930f3c/messages", &[("conversation_id", "01930f3c")]));
        for other in [
            of("/messages", &[("query", "salad")]),
            of("/messages", &[("query", "soup"), ("conversation_id", "1")]),
            of("/pins", &[("query", "soup")]),
            of("/messages", &[]),
        ] {
            assert!(!takes(other).await);
        }
    }
}
