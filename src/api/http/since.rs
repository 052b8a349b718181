//! The point in the log from which a client wants events, as written in a body.

use std::{borrow::Cow, collections::BTreeMap};

use poem_openapi::{
    registry::{MetaSchema, MetaSchemaRef, Registry},
    types::Type,
};
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::{Value, json};

use crate::{
    api::http::values::reads_by_serde,
    domain::{Position, Time},
    webhooks::Since,
};

/// The maximum number of streams in a map.
const STREAMS: usize = 256;
/// The error for any other value.
const EXPECTED: &str =
    "expected `now`, `start`, a time, a position, or an object with a position for each stream";

/// A point in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinceValue(pub Since);

impl<'de> Deserialize<'de> for SinceValue {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let read = |value: Value| match value {
            Value::String(word) if word == "now" => Some(Since::Now),
            Value::String(word) if word == "start" => Some(Since::Start),
            Value::String(text) => text.parse::<Time>().ok().map(Since::Time),
            Value::Number(_) => position(&value).map(Since::Position),
            Value::Object(map) if map.len() <= STREAMS => {
                let stream = |(name, value): (String, Value)| Some((name.parse().ok()?, position(&value)?));
                map.into_iter().map(stream).collect::<Option<BTreeMap<usize, Position>>>().map(Since::Streams)
            }
            _ => None,
        };
        read(Value::deserialize(from)?).map(Self).ok_or_else(|| de::Error::custom(EXPECTED))
    }
}

fn position(value: &Value) -> Option<Position> {
    value.as_u64().filter(|number| *number <= Position::MAX.0).map(Position)
}

impl Serialize for SinceValue {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Since::Now => "now".serialize(to),
            Since::Start => "start".serialize(to),
            Since::Time(time) => time.serialize(to),
            Since::Position(position) => position.serialize(to),
            Since::Streams(map) => map.serialize(to),
        }
    }
}

impl Type for SinceValue {
    const IS_REQUIRED: bool = true;
    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        "Since".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Reference("Since".into())
    }

    fn register(registry: &mut Registry) {
        registry.create_schema::<Self, _>("Since".into(), |_| MetaSchema {
            description: Some(
                "A point in the log: `now`, `start`, a time (RFC 3339), the position of an event, or an object with the \
                 position of an event in each stream, keyed by the number of the stream",
            ),
            example: Some(json!("start")),
            ..MetaSchema::ANY
        });
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

reads_by_serde!(SinceValue, |text: &str| serde_json::from_str::<SinceValue>(text));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_read_in_all_its_forms_and_written_as_it_was_read() {
        for text in [r#""now""#, r#""start""#, r#""2026-11-24T13:10:00.000Z""#, "7", r#"{"0":7,"15":9}"#] {
            let since: SinceValue = serde_json::from_str(text).expect(text);
            assert_eq!(serde_json::to_string(&since).expect("JSON"), text);
        }
        for text in ["null", r#""then""#, "-1", "1.5", "[]", r#"{"a":1}"#, r#"{"0":"x"}"#, "9007199254740993"]
        {
            assert!(serde_json::from_str::<SinceValue>(text).is_err(), "{text}");
        }
    }
}
