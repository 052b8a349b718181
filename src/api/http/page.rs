//! Pagination of lists: page sizes and the pages themselves.

use std::{borrow::Cow, time::Duration};

use poem_openapi::{
    registry::{MetaSchema, MetaSchemaRef, Registry},
    types::{ParseError, ParseFromParameter, ParseResult, Type},
};
use serde::Serialize;

use crate::{
    api::http::{cursor::Cursor, inlined::inlined, values::digits},
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

inlined!(() Limit, "Limit", false, MetaSchema {
    description: Some("The maximum number of items"),
    minimum: Some(1.0),
    maximum: Some(Limit::MAX.into()),
    default: Some(Limit::DEFAULT.into()),
    ..MetaSchema::new_with_format("integer", "int32")
});

inlined!(() Wait, "Wait", false, MetaSchema {
    description: Some("Seconds to wait for the first event"),
    minimum: Some(0.0),
    maximum: Some(Wait::MAX.into()),
    default: Some(0.into()),
    ..MetaSchema::new_with_format("integer", "int32")
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

#[cfg(test)]
mod tests {
    use super::*;

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
