//! What programs add to a message: JSON of bounded size that every store keeps.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A JSON object of at most 4 KiB as text and 8 levels, without the character U+0000.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Map<String, Value>", try_from = "Value")]
pub struct Metadata(Map<String, Value>);

impl Metadata {
    /// The most bytes as JSON text without spaces.
    pub const LIMIT: usize = 4 * 1024;
    /// The most levels of objects and arrays within one another.
    pub const DEPTH: usize = 8;

    /// As a JSON value.
    pub fn value(&self) -> Value {
        Value::Object(self.0.clone())
    }
}

/// Why an object is not accepted as metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadMetadata {
    /// Something else than an object.
    NoObject,
    /// More than [`Metadata::LIMIT`].
    TooLong,
    /// More than [`Metadata::DEPTH`].
    TooDeep,
    /// A character that Postgres does not keep.
    Nul,
}

impl fmt::Display for BadMetadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoObject => f.write_str("expected a JSON object"),
            Self::TooLong => write!(f, "too long: at most {} bytes of JSON", Metadata::LIMIT),
            Self::TooDeep => write!(f, "too deep: at most {} levels are accepted", Metadata::DEPTH),
            Self::Nul => f.write_str("the character U+0000 is not accepted: leave it out"),
        }
    }
}

impl std::error::Error for BadMetadata {}

impl TryFrom<Value> for Metadata {
    type Error = BadMetadata;
    fn try_from(value: Value) -> Result<Self, BadMetadata> {
        check(&value, Self::DEPTH)?;
        if value.to_string().len() > Self::LIMIT {
            return Err(BadMetadata::TooLong);
        }
        match value {
            Value::Object(object) => Ok(Self(object)),
            _ => Err(BadMetadata::NoObject),
        }
    }
}

impl From<Metadata> for Map<String, Value> {
    fn from(metadata: Metadata) -> Self {
        metadata.0
    }
}

fn check(value: &Value, levels: usize) -> Result<(), BadMetadata> {
    let is_kept = |text: &str| if text.contains('\0') { Err(BadMetadata::Nul) } else { Ok(()) };
    let below = levels.checked_sub(1).ok_or(BadMetadata::TooDeep);
    match value {
        Value::String(text) => is_kept(text),
        Value::Array(items) => below.and_then(|below| items.iter().try_for_each(|item| check(item, below))),
        Value::Object(members) => {
            let below = below?;
            members.iter().try_for_each(|(name, member)| is_kept(name).and_then(|()| check(member, below)))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Metadata, String> {
        serde_json::from_str(json).map_err(|e| e.to_string())
    }

    #[test]
    fn an_object_is_kept_as_it_is_but_for_the_order_of_its_members() {
        let metadata = read(r#"{"b":[1,2.5,null,true],"a":{"c":"é\u0001"}}"#).expect("metadata");
        let text = serde_json::to_string(&metadata).expect("JSON");
        assert_eq!(text, r#"{"a":{"c":"é\u0001"},"b":[1,2.5,null,true]}"#);
        assert_eq!(read(&text), Ok(metadata));
        assert!(read("{}").is_ok());
    }

    #[test]
    fn what_is_no_object_or_what_postgres_does_not_keep_is_refused() {
        for json in ["[]", "null", "1", r#""x""#, r#"{"a":"\ud800"}"#, r#"{"a":1e400}"#] {
            assert!(read(json).is_err(), "{json}");
        }
        for json in [r#"{"a":"x\u0000"}"#, r#"{"a\u0000":1}"#, r#"{"a":[{"b":["\u0000"]}]}"#] {
            assert!(read(json).expect_err(json).contains("U+0000"), "{json}");
        }
    }

    #[test]
    fn size_and_depth_have_limits() {
        let nested = |levels: usize| format!(r#"{{"a":{}{}}}"#, "[".repeat(levels), "]".repeat(levels));
        assert!(read(&nested(Metadata::DEPTH - 1)).is_ok());
        assert!(read(&nested(Metadata::DEPTH)).expect_err("too deep").contains("too deep"));
        let long = |length: usize| format!(r#"{{"a":"{}"}}"#, "x".repeat(length));
        assert!(read(&long(Metadata::LIMIT - 8)).is_ok());
        assert!(read(&long(Metadata::LIMIT - 7)).expect_err("too long").contains("too long"));
    }
}
