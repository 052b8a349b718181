//! Pagination of lists: page sizes, cursors and the pages themselves.

use std::{borrow::Cow, sync::OnceLock, time::Duration};

use aws_lc_rs::{constant_time, hmac};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use poem_openapi::{
    registry::{MetaSchema, MetaSchemaRef, Registry},
    types::{ParseError, ParseFromParameter, ParseResult, Type},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    api::http::values::digits,
    domain::Position,
    reading::{ListPart, Standing},
};

/// A page of a list, and the cursor of the next page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Page<T> {
    /// The items of this page.
    pub items: Vec<T>,
    /// The `cursor` of the next request; `None` on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    /// The position at which a history begins, if its earlier messages are older than the retention of its
    /// conversation.
    #[serde(skip_serializing_if = "Option::is_none")]
    floor: Option<Position>,
    /// The position and the cursor at which the list was read, for the headers of the response.
    #[serde(skip)]
    pub(in crate::api) standing: Standing,
}

impl<T> Page<T> {
    /// A page of the first `limit` rows. An extra row in `rows` means that the list continues: the next page
    /// then begins after the `end` of the last row of this page.
    pub fn cut<C: Serialize>(mut rows: Vec<T>, limit: Limit, end: impl FnOnce(&T) -> C) -> Self {
        let more = rows.len() > limit.get();
        rows.truncate(limit.get());
        let last = rows.last().filter(|_| more);
        let next_cursor = last.map(|last| Cursor(end(last)).to_string());
        Self::of(rows, next_cursor)
    }

    /// A page of `items`, with the cursor of the next page.
    pub fn of(items: Vec<T>, next_cursor: Option<String>) -> Self {
        Self { items, next_cursor, floor: None, standing: Standing::default() }
    }

    /// The same page with the moment at which the list was read.
    #[must_use]
    pub fn standing(self, standing: Standing) -> Self {
        Self { floor: standing.floor, standing, ..self }
    }

    /// The same page with each item converted. An item that becomes `None` is left out.
    pub fn filter_map<U>(self, shape: impl FnMut(T) -> Option<U>) -> Page<U> {
        let Self { items, next_cursor, floor, standing } = self;
        Page { items: items.into_iter().filter_map(shape).collect(), next_cursor, floor, standing }
    }

    /// The same page with each item converted.
    pub fn map<U>(self, mut shape: impl FnMut(T) -> U) -> Page<U> {
        self.filter_map(|item| Some(shape(item)))
    }
}

/// The name of the items of the only list that has a floor.
const HISTORY: &str = "Message";

impl<T: Type> Page<T> {
    /// The schema of a page.
    pub(in crate::api) fn described(registry: &mut Registry) -> MetaSchema {
        T::register(registry);
        let described = |description| MetaSchema { description: Some(description), ..MetaSchema::ANY };
        let examples = registry.schemas.get(&*T::name()).and_then(|schema| schema.example.clone());
        let cursor = "The `cursor` for the next request; absent on the last page";
        let mut properties = vec![
            ("items", Vec::<T>::schema_ref().merge(described("The items of this page"))),
            ("next_cursor", String::schema_ref().merge(described(cursor))),
        ];
        if T::name() == HISTORY {
            let floor = "The position at which the list begins, if earlier messages are older than the retention of \
                         the conversation";
            properties.push(("floor", Position::schema_ref().merge(described(floor))));
        }
        MetaSchema {
            description: Some("A page of a list"),
            required: vec!["items"],
            properties,
            example: examples.map(|item| serde_json::json!({ "items": [item] })),
            ..MetaSchema::new("object")
        }
    }
}

impl<T: Type> Type for Page<T> {
    const IS_REQUIRED: bool = true;
    type RawValueType = Self;
    type RawElementValueType = T;

    fn name() -> Cow<'static, str> {
        format!("{}Page", T::name()).into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Reference(Self::name().into_owned())
    }

    fn register(registry: &mut Registry) {
        registry.create_schema::<Self, _>(Self::name().into_owned(), Self::described);
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a T> + 'a> {
        Box::new(self.items.iter())
    }
}

/// The maximum number of items of a page: the parameter `limit`, 1 to 200. The default is 50.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit(u16);

impl Limit {
    /// The maximum accepted limit.
    pub const MAX: u16 = 200;
    /// The limit if the parameter is absent.
    pub const DEFAULT: u16 = 50;

    /// The limit as a number, 1 to 200.
    pub fn get(self) -> usize {
        self.0.into()
    }

    /// The number of rows to read: one more than the page holds, because the extra row shows that the list
    /// continues.
    pub fn and_one(self) -> i64 {
        i64::from(self.0) + 1
    }

    /// The rows to read for a page after a cursor.
    pub fn part<C>(self, cursor: Option<Cursor<C>>) -> ListPart<C> {
        ListPart { after: cursor.map(|end| end.0), limit: self.and_one() }
    }
}

/// The time to wait for an event: the parameter `wait`, 0 to 60 seconds. The default is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait(pub Duration);

impl Wait {
    /// The maximum accepted wait, in seconds.
    pub const MAX: u16 = 60;
}

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

/// The authentication code of a cursor. The cursors of the feed use the same key with another prefix, so a
/// cursor of one kind is never valid as the other kind.
fn tag(json: &[u8]) -> [u8; TAG] {
    let mut signing = hmac::Context::with_key(key());
    signing.update(b"list");
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

/// Implements `Type` for parameters whose schema is inlined in the document.
macro_rules! parameter {
    (($($of:tt)*) $name:ty, $word:literal, $required:literal, $schema:expr) => {
        impl $($of)* poem_openapi::types::Type for $name {
            const IS_REQUIRED: bool = $required;
            type RawValueType = Self;
            type RawElementValueType = Self;

            fn name() -> std::borrow::Cow<'static, str> {
                $word.into()
            }

            fn schema_ref() -> poem_openapi::registry::MetaSchemaRef {
                poem_openapi::registry::MetaSchemaRef::Inline(Box::new($schema))
            }

            fn as_raw_value(&self) -> Option<&Self> {
                Some(self)
            }

            fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
                Box::new(std::iter::once(self))
            }
        }
    };
}

pub(in crate::api) use parameter;

parameter!(() Limit, "Limit", false, MetaSchema {
    description: Some("The maximum number of items"),
    minimum: Some(1.0),
    maximum: Some(Limit::MAX.into()),
    default: Some(Limit::DEFAULT.into()),
    ..MetaSchema::new_with_format("integer", "int32")
});

parameter!(() Wait, "Wait", false, MetaSchema {
    description: Some("Seconds to wait for the first event"),
    minimum: Some(0.0),
    maximum: Some(Wait::MAX.into()),
    default: Some(0.into()),
    ..MetaSchema::new_with_format("integer", "int32")
});

parameter!((<T: Send + Sync>) Cursor<T>, "Cursor", true, MetaSchema {
    description: Some("The `next_cursor` of the previous page"),
    min_length: Some(1),
    max_length: Some(Self::MAX),
    ..MetaSchema::new("string")
});

impl ParseFromParameter for Limit {
    fn parse_from_parameter(value: &str) -> ParseResult<Self> {
        match digits(value, Self::MAX.into()).map(u16::try_from) {
            Ok(Ok(limit)) if limit > 0 => Ok(Self(limit)),
            _ => Err(ParseError::custom(format!("must be a whole number from 1 to {}", Self::MAX))),
        }
    }

    fn parse_from_parameters<I: IntoIterator<Item = A>, A: AsRef<str>>(values: I) -> ParseResult<Self> {
        let first = values.into_iter().next();
        first.map_or(Ok(Self(Self::DEFAULT)), |value| Self::parse_from_parameter(value.as_ref()))
    }
}

impl ParseFromParameter for Wait {
    fn parse_from_parameter(value: &str) -> ParseResult<Self> {
        match digits(value, Self::MAX.into()) {
            Ok(seconds) => Ok(Self(Duration::from_secs(seconds))),
            Err(_) => Err(ParseError::custom(format!("must be a whole number from 0 to {}", Self::MAX))),
        }
    }

    fn parse_from_parameters<I: IntoIterator<Item = A>, A: AsRef<str>>(values: I) -> ParseResult<Self> {
        let first = values.into_iter().next();
        first.map_or(Ok(Self(Duration::ZERO)), |value| Self::parse_from_parameter(value.as_ref()))
    }
}

impl<T: DeserializeOwned + Send + Sync> ParseFromParameter for Cursor<T> {
    fn parse_from_parameter(value: &str) -> ParseResult<Self> {
        let bytes = (value.len() <= Self::MAX).then(|| BASE64URL.decode(value).ok()).flatten();
        let end = bytes.and_then(|bytes| {
            let (code, json) = bytes.split_first_chunk::<TAG>()?;
            constant_time::verify_slices_are_equal(code, &tag(json)).ok()?;
            serde_json::from_slice(json).ok()
        });
        end.map(Self)
            .ok_or_else(|| ParseError::custom("no cursor of this list: pass next_cursor as it was given"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::UserId;

    #[test]
    fn a_limit_is_1_to_200_and_50_if_absent() {
        let limit = |values: &[&str]| Limit::parse_from_parameters(values).map(Limit::get).ok();
        assert_eq!(limit(&[]), Some(50));
        assert_eq!(limit(&["1"]), Some(1));
        assert_eq!(limit(&["200"]), Some(200));
        for wrong in ["0", "201", "-1", "", "1.0", "ten", "65537"] {
            assert_eq!(limit(&[wrong]), None, "{wrong}");
        }
    }

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

    #[test]
    fn only_one_row_more_makes_a_next_page() {
        let limit = Limit::parse_from_parameter("2").expect("limit");
        assert_eq!(limit.and_one(), 3);
        for (rows, items, next) in
            [(vec![], vec![], None), (vec![1, 2], vec![1, 2], None), (vec![1, 2, 3], vec![1, 2], Some(2))]
        {
            let page = Page::cut(rows, limit, |last| *last);
            assert_eq!(page.items, items);
            assert_eq!(page.next_cursor, next.map(|at| Cursor(at).to_string()));
        }
    }

    #[test]
    fn what_is_left_out_of_a_page_does_not_end_the_list() {
        let limit = Limit::parse_from_parameter("1").expect("limit");
        let page = Page::cut(vec![1, 2], limit, |last| *last).filter_map(|_| None::<i32>);
        assert!(page.items.is_empty() && page.next_cursor.is_some());
    }
}
