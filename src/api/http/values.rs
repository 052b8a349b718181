//! Domain values as parameters and fields: their parsers for queries and paths, and their schemas in the
//! document.

use poem_openapi::registry::MetaSchema;
use serde::{
    Deserialize,
    de::{IntoDeserializer, value::Error},
};

use crate::domain::{
    AsOf, ClientId, ConversationId, ErasureId, EventId, ExportId, ExternalId, History, HoldId, HostRole,
    Json, Kind, LoginId, MessageId, Metadata, Position, ReplayId, Role, Status, Text, Time, Title, UserId,
    UserKind, WebhookId,
};

/// Makes types with serde's traits usable in shapes and parameters. Each type gets a parser for parameters
/// (`fn(&str) -> Result<Self, impl Display>`) and an inline schema.
macro_rules! documented {
    ($($name:ty: $parse:expr, $schema:expr;)+) => {$(
        $crate::api::http::inlined::inlined!(() $name, stringify!($name), true, $schema);
        $crate::api::http::values::reads_by_serde!($name, $parse);
    )+};
}

/// Like `documented!`, for enums of plain words: their schema is a component under the published name.
macro_rules! words {
    ($($(#[doc = $doc:literal])* $name:ident as $published:literal: $($word:literal)+;)+) => {$(
        impl poem_openapi::types::Type for $name {
            const IS_REQUIRED: bool = true;
            type RawValueType = Self;
            type RawElementValueType = Self;

            fn name() -> std::borrow::Cow<'static, str> {
                $published.into()
            }

            fn schema_ref() -> poem_openapi::registry::MetaSchemaRef {
                poem_openapi::registry::MetaSchemaRef::Reference($published.into())
            }

            fn register(registry: &mut poem_openapi::registry::Registry) {
                use poem_openapi::registry::MetaSchema;
                registry.create_schema::<Self, _>($published.into(), |_| MetaSchema {
                    description: Some(concat!($($doc),*).trim_ascii_start()),
                    enum_items: vec![$($word.into()),+],
                    ..MetaSchema::new("string")
                });
            }

            fn as_raw_value(&self) -> Option<&Self> {
                Some(self)
            }

            fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
                Box::new(std::iter::once(self))
            }
        }

        $crate::api::http::values::reads_by_serde!($name, $crate::api::http::values::text);
    )+};
}

macro_rules! reads_by_serde {
    ($name:ty, $parse:expr) => {
        impl poem_openapi::types::ParseFromJSON for $name {
            fn parse_from_json(value: Option<serde_json::Value>) -> poem_openapi::types::ParseResult<Self> {
                serde_json::from_value(value.unwrap_or_default())
                    .map_err(poem_openapi::types::ParseError::custom)
            }
        }

        impl poem_openapi::types::ToJSON for $name {
            fn to_json(&self) -> Option<serde_json::Value> {
                serde_json::to_value(self).ok()
            }
        }

        impl poem_openapi::types::ParseFromParameter for $name {
            fn parse_from_parameter(value: &str) -> poem_openapi::types::ParseResult<Self> {
                $parse(value).map_err(poem_openapi::types::ParseError::custom)
            }
        }
    };
}
pub(crate) use {reads_by_serde, words};

documented! {
    UserId: text, id("01930f3c-5a7b-7c3d-8e4f-0123456789ab");
    ConversationId: text, id("01930f3d-0c11-7a52-9b3e-4d5f60718293");
    MessageId: text, id("01930f3d-1f20-7b61-8a4f-5e6f708192a3");
    EventId: text, id("01930f3d-2a31-7c72-8b50-6f708192a3b4");
    LoginId: text, id("01930f3c-6e42-7d81-8c6b-708192a3b4c5");
    ExportId: text, id("01930f3d-3b42-7d83-8c61-708192a3b4c5");
    ErasureId: text, id("01930f3d-4c53-7e94-8d72-8192a3b4c5d6");
    HoldId: text, id("01930f3d-5d64-7fa5-8e83-92a3b4c5d6e7");
    WebhookId: text, prefixed("^we_[0-9A-Fa-f]{32}$", "we_01930f3c7a537e928d7c8192a3b4c5d6");
    ReplayId: text, prefixed("^wr_[0-9A-Fa-f]{32}$", "wr_01930f3c8b647fa38e8d92a3b4c5d6e7");
    ExternalId: text, host_word(ExternalId::LIMIT, "7");
    HostRole: text, host_word(HostRole::LIMIT, "teacher");
    Position: position, MetaSchema {
        minimum: Some(0.0),
        maximum: Some(9_007_199_254_740_992.0),
        exclusive_maximum: Some(true),
        description: Some("The position of an event in the log. Positions can be compared only within one conversation"),
        example: Some(1042.into()),
        ..MetaSchema::new_with_format("integer", "int64")
    };
    Time: text, MetaSchema {
        example: Some("2026-11-24T13:10:00.000Z".into()),
        ..MetaSchema::new_with_format("string", "date-time")
    };
    AsOf: as_of, MetaSchema {
        description: Some(
            "Asks for an earlier state: at a position, or at a time (RFC 3339), which is the state after the last event \
             up to that time. The server computes it from the log, and reads at most 100,000 events for it",
        ),
        ..string(1, 40, "2026-11-24T14:05:00Z")
    };
    Text: text, string(1, Text::LIMIT, "Is supper at eight?");
    Title: text, string(1, Title::LIMIT, "Supper on Friday");
    Metadata: |text: &str| serde_json::from_str::<Metadata>(text), MetaSchema {
        example: Some(serde_json::json!({ "priority": "high" })),
        ..MetaSchema::new("object")
    };
    Json: |text: &str| text.parse::<Json>(), MetaSchema::new("object");
    ClientId: text, MetaSchema {
        pattern: Some("^[A-Za-z0-9_-]{8,64}$".into()),
        ..string(8, 64, "b7c1e0d2-supper")
    };
}

words! {
    /// A direct conversation between two people, or a group with a title and roles
    Kind as "ConversationKind": "direct" "group";
    /// What a member may do: an admin can also add and remove members, and an owner can also change roles
    Role as "Role": "owner" "admin" "member";
    /// How much of the history a new member may read: all of it, or the messages since joining. With `since_join`, an
    /// edit of an earlier message reaches the new member without its text
    History as "HistorySetting": "full" "since_join";
    /// The presence of a user
    Status as "PresenceStatus": "online" "away" "offline";
    /// Whether a user is a person or a program
    UserKind as "UserKind": "user" "service";
}

/// Parses a value that is a string in JSON.
pub(crate) fn text<'a, T: Deserialize<'a>>(value: &'a str) -> Result<T, Error> {
    T::deserialize(value.into_deserializer())
}

/// Parses a whole number up to `max` that consists of digits only: no sign, no fraction.
pub(in crate::api) fn digits(value: &str, max: u64) -> Result<u64, String> {
    let plain = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
    let number = value.parse().ok().filter(|number| plain && *number <= max);
    number.ok_or_else(|| format!("must be a whole number up to {max}"))
}

fn position(value: &str) -> Result<Position, String> {
    digits(value, Position::MAX.0).map(Position)
}

/// Parses digits as a position, and any other text as a time.
fn as_of(value: &str) -> Result<AsOf, String> {
    if value.bytes().all(|b| b.is_ascii_digit()) {
        return position(value).map(AsOf::Position);
    }
    let expected = |_| "must be a position, or a time like 2026-11-24T14:05:00Z".to_owned();
    value.parse().map(AsOf::Time).map_err(expected)
}

fn id(example: &str) -> MetaSchema {
    MetaSchema {
        description: Some("A UUIDv7. The server accepts upper and lower case, and returns lower case"),
        pattern: Some(
            "^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-7[0-9A-Fa-f]{3}-[89ABab][0-9A-Fa-f]{3}-[0-9A-Fa-f]{12}$".into(),
        ),
        example: Some(example.into()),
        ..MetaSchema::new_with_format("string", "uuid")
    }
}

fn prefixed(pattern: &'static str, example: &str) -> MetaSchema {
    MetaSchema { pattern: Some(pattern.into()), ..string(35, 35, example) }
}

fn host_word(limit: usize, example: &str) -> MetaSchema {
    MetaSchema { pattern: Some(r"^\.*[A-Za-z0-9_:@-][A-Za-z0-9._:@-]*$".into()), ..string(1, limit, example) }
}

/// The schema of a string of `min` to `max` characters. If the limit is in bytes, a string of fewer
/// characters may still be too long.
pub(crate) fn string(min: usize, max: usize, example: &str) -> MetaSchema {
    MetaSchema {
        min_length: Some(min),
        max_length: Some(max),
        example: Some(example.into()),
        ..MetaSchema::new("string")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_a_position_or_a_time() {
        assert_eq!(as_of("17"), Ok(AsOf::Position(Position(17))));
        let time = "2026-11-24T14:05:00Z".parse().expect("time");
        for same in ["2026-11-24T14:05:00Z", "2026-11-24T14:05:00.000Z", "2026-11-24T16:05:00+02:00"] {
            assert_eq!(as_of(same), Ok(AsOf::Time(time)), "{same}");
        }
        for wrong in ["", "-1", "9007199254740992", "14:05", "2026-11-24", "yesterday", "17Z"] {
            assert!(as_of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_position_is_plain_digits_below_2_to_the_53() {
        assert_eq!(position("9007199254740991"), Ok(Position::MAX));
        for wrong in
            ["", "-1", "+1", "1.0", "1e3", " 1", "0x1", "9007199254740992", "18446744073709551616", "١"]
        {
            assert!(position(wrong).is_err(), "{wrong}");
        }
    }
}
