//! Metadata of messages: JSON of bounded size that a program adds, and that every reader can read.

use std::{borrow::Cow, collections::HashSet, fmt};

use serde::{Deserialize, Serialize};

use crate::domain::words::json::{Json, Part};

/// A JSON object of at most 4 KiB as text and 8 levels, without the character U+0000. It keeps its original
/// bytes, except for insignificant whitespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Json", try_from = "Json")]
pub struct Metadata(Json);

impl Metadata {
    /// The maximum size in bytes, as JSON text without insignificant whitespace.
    pub const LIMIT: usize = 4 * 1024;
    /// The maximum nesting depth of objects and arrays.
    pub const DEPTH: usize = 8;

    /// The metadata as JSON.
    pub fn json(&self) -> &Json {
        &self.0
    }
}

/// Why a value is not accepted as metadata: some readers could not read the value, or readers would read it
/// in different ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadMetadata {
    /// The value is not an object.
    NoObject,
    /// The object has more bytes than [`Metadata::LIMIT`].
    TooLong,
    /// The object has more levels than [`Metadata::DEPTH`].
    TooDeep,
    /// A string has the character U+0000, which Postgres cannot store.
    Nul,
    /// A string has half of a surrogate pair.
    NoText,
    /// A number is too large for a double.
    TooGreat,
    /// An object has two members with the same name.
    Twice,
}

impl fmt::Display for BadMetadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoObject => f.write_str("expected a JSON object"),
            Self::TooLong => write!(f, "too long: at most {} bytes of JSON", Metadata::LIMIT),
            Self::TooDeep => write!(f, "too deep: at most {} levels are accepted", Metadata::DEPTH),
            Self::Nul => f.write_str("the character U+0000 is not accepted: remove it"),
            Self::NoText => f.write_str("half of a surrogate pair is not a character: remove it"),
            Self::TooGreat => write!(f, "too large a number: at most {:e} is accepted", f64::MAX),
            Self::Twice => f.write_str("a name is repeated in one object: send it only once"),
        }
    }
}

impl std::error::Error for BadMetadata {}

impl TryFrom<Json> for Metadata {
    type Error = BadMetadata;
    fn try_from(json: Json) -> Result<Self, BadMetadata> {
        let json = json.compact();
        if json.as_str().len() > Self::LIMIT {
            return Err(BadMetadata::TooLong);
        }
        if !json.as_str().starts_with('{') {
            return Err(BadMetadata::NoObject);
        }
        check(Part::of_json(&json), Self::DEPTH)?;
        Ok(Self(json))
    }
}

impl From<Metadata> for Json {
    fn from(metadata: Metadata) -> Self {
        metadata.0
    }
}

fn check(part: Option<Part>, levels: usize) -> Result<(), BadMetadata> {
    let is_kept = |text: &str| if text.contains('\0') { Err(BadMetadata::Nul) } else { Ok(()) };
    let below = levels.checked_sub(1).ok_or(BadMetadata::TooDeep);
    match part.ok_or(BadMetadata::NoText)? {
        Part::Text(text) => is_kept(&text),
        Part::Array(items) => {
            let below = below?;
            items.into_iter().try_for_each(|item| check(Part::of(item), below))
        }
        Part::Object(members) => {
            let below = below?;
            let mut names: HashSet<Cow<str>> = HashSet::with_capacity(members.len());
            members.into_iter().try_for_each(|(name, member)| {
                is_kept(&name)?;
                check(Part::of(member), below)?;
                names.insert(name).then_some(()).ok_or(BadMetadata::Twice)
            })
        }
        Part::Number(digits) => match digits.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(()),
            _ => Err(BadMetadata::TooGreat),
        },
        Part::Word => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Metadata, String> {
        serde_json::from_str(json).map_err(|e| e.to_string())
    }

    #[test]
    fn an_object_is_kept_as_it_came_but_for_whitespace() {
        for json in [
            r#"{"b":[1,2.5,null,true],"a":{"c":"é\u0001\u00e9\/"}}"#,
            r#"{"x":1.7976931348623157e308,"y":-0.0,"z":123456789012345678901,"w":110.00000000000001}"#,
            r#"{"x":6.978903787370247e-41,"y":1E+2,"z":1e-400,"w":0.10}"#,
            "{}",
        ] {
            let metadata = read(json).expect(json);
            assert_eq!(serde_json::to_string(&metadata).expect("JSON"), json);
            assert_eq!(read(&format!("  {}\n", json.replace(':', " : "))), Ok(metadata));
        }
    }

    #[test]
    fn what_is_no_object_or_what_some_reader_cannot_read_is_refused() {
        for json in ["[]", "null", "1", r#""x""#, "{", r#"{"a":01}"#] {
            assert!(read(json).is_err(), "{json}");
        }
        for json in [r#"{"a":"x\u0000"}"#, r#"{"a\u0000":1}"#, r#"{"a":[{"b":["\u0000"]}]}"#] {
            assert!(read(json).expect_err(json).contains("U+0000"), "{json}");
        }
        for json in [r#"{"a":"\ud800"}"#, r#"{"\udc00":1}"#, r#"{"a":["\ud800\ud800"]}"#] {
            assert!(read(json).expect_err(json).contains("surrogate"), "{json}");
        }
        for json in [r#"{"a":1e400}"#, r#"{"a":[-1.8e308]}"#, &format!(r#"{{"a":{}}}"#, "9".repeat(400))] {
            assert!(read(json).expect_err(json).contains("too large"), "{json}");
        }
        for json in [r#"{"a":1,"a":1}"#, r#"{"a":1,"b":2,"\u0061":3}"#, r#"{"x":[{"a":1,"a":{}}]}"#] {
            assert!(read(json).expect_err(json).contains("repeated"), "{json}");
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
