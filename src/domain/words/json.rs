//! JSON that keeps its original bytes. A number in JSON can have more digits than a machine number, and a
//! client that relies on these digits gets them back.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::value::RawValue;

/// Any JSON value, exactly as written. Values from the log are passed on in this form, without a check.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Json(Box<RawValue>);

impl Json {
    /// The text itself.
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// The value without insignificant whitespace.
    pub(in crate::domain) fn compact(self) -> Self {
        let text = self.as_str();
        let (mut in_string, mut escaped) = (false, false);
        let is_significant = |c: &char| {
            match c {
                _ if escaped => escaped = false,
                '\\' if in_string => escaped = true,
                '"' => in_string = !in_string,
                ' ' | '\t' | '\n' | '\r' => return in_string,
                _ => {}
            }
            true
        };
        let compact: String = text.chars().filter(is_significant).collect();
        if compact.len() == text.len() {
            return self;
        }
        compact.parse().expect("whitespace between its parts means nothing in JSON")
    }

    /// Whether two values have the same meaning. Two numbers have the same meaning if they have the same
    /// digits. The order of members, whitespace and the escaping of characters do not matter.
    pub fn means(&self, other: &Self) -> bool {
        mean_the_same(&self.0, &other.0)
    }
}

impl std::str::FromStr for Json {
    type Err = serde_json::Error;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        RawValue::from_string(text.to_owned()).map(Self)
    }
}

impl From<Box<RawValue>> for Json {
    fn from(raw: Box<RawValue>) -> Self {
        Self(raw)
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Json {}

fn mean_the_same(one: &RawValue, other: &RawValue) -> bool {
    match (Part::of(one), Part::of(other)) {
        (Some(Part::Object(mut ones)), Some(Part::Object(mut others))) => {
            let by_name = |one: &(Cow<str>, &RawValue), other: &(Cow<str>, &RawValue)| one.0.cmp(&other.0);
            ones.sort_by(by_name);
            others.sort_by(by_name);
            let same = |(one, other): (&(Cow<str>, _), &(Cow<str>, _))| {
                one.0 == other.0 && mean_the_same(one.1, other.1)
            };
            ones.len() == others.len() && ones.iter().zip(&others).all(same)
        }
        (Some(Part::Array(ones)), Some(Part::Array(others))) => {
            ones.len() == others.len()
                && ones.into_iter().zip(others).all(|(one, other)| mean_the_same(one, other))
        }
        (Some(Part::Text(one)), Some(Part::Text(other))) => one == other,
        _ => one.get() == other.get(),
    }
}

/// One level of a JSON value.
pub(in crate::domain) enum Part<'a> {
    Object(Vec<(Cow<'a, str>, &'a RawValue)>),
    Array(Vec<&'a RawValue>),
    Text(Cow<'a, str>),
    Number(&'a str),
    /// `null`, `true` or `false`.
    Word,
}

impl<'a> Part<'a> {
    /// The first level of a value. `None` if a string or a name in the level has half of a surrogate pair and
    /// is therefore not a valid text.
    pub(in crate::domain) fn of(value: &'a RawValue) -> Option<Self> {
        let text = value.get();
        match text.as_bytes().first() {
            Some(b'{') => serde_json::from_str(text).map(|Fields(fields)| Self::Object(fields)).ok(),
            Some(b'[') => serde_json::from_str(text).map(Self::Array).ok(),
            Some(b'"') => serde_json::from_str(text).map(|Typed(text)| Self::Text(text)).ok(),
            Some(b'-' | b'0'..=b'9') => Some(Self::Number(text)),
            _ => Some(Self::Word),
        }
    }

    /// The first level of a [`Json`].
    pub(in crate::domain) fn of_json(json: &'a Json) -> Option<Self> {
        Self::of(&json.0)
    }
}

/// A text, borrowed if nothing in it is escaped.
#[derive(Deserialize)]
struct Typed<'a>(#[serde(borrow)] Cow<'a, str>);

/// The members of a JSON object, in their order, each exactly as written. Two members with the same name are
/// both kept.
pub(crate) struct Fields<'a>(pub Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some((Typed(name), value)) = map.next_entry()? {
                    fields.push((name, value));
                }
                Ok(Fields(fields))
            }
        }

        from.deserialize_map(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Json {
        text.parse().expect(text)
    }

    #[test]
    fn what_is_written_is_kept_but_for_the_whitespace_between_its_parts() {
        let kept = r#"{"b":[1.50,-0.0,110.00000000000001],"a b":" \" {\t} "}"#;
        let typed = " {\"b\" : [ 1.50,\r\n-0.0,\t110.00000000000001 ],\"a b\":\" \\\" {\\t} \"} ";
        assert_eq!(json(typed).compact().as_str(), kept);
        assert_eq!(serde_json::to_string(&vec![json(kept)]).ok(), Some(format!("[{kept}]")));
    }

    #[test]
    fn the_same_meaning_can_be_written_in_several_ways() {
        let same = [
            (r#"{"a":1,"b":[true,"é"]}"#, r#"{ "b": [true, "\u00e9"], "\u0061": 1 }"#),
            (r#"{"a":123456789012345678901}"#, r#"{"a":123456789012345678901}"#),
        ];
        for (one, other) in same {
            assert!(json(one).means(&json(other)), "{one} {other}");
        }
        let different = [
            ("1", "1.0"),
            ("123456789012345678901", "123456789012345678902"),
            ("0.0", "-0.0"),
            ("[1,2]", "[2,1]"),
            ("[1]", "[1,1]"),
            (r#"{"a":1}"#, r#"{"a":1,"b":1}"#),
            (r#"{"a":1}"#, r#"{"b":1}"#),
            ("{}", "[]"),
            ("null", "false"),
            (r#""1""#, "1"),
        ];
        for (one, other) in different {
            assert!(!json(one).means(&json(other)), "{one} {other}");
        }
    }
}
