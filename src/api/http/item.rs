//! An item of a list that is parsed by itself.

use std::{borrow::Cow, marker::PhantomData};

use poem_openapi::{
    registry::{MetaSchemaRef, Registry},
    types::{ParseError, ParseFromJSON, ParseResult, ToJSON, Type},
};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::{Value, value::RawValue};

use crate::{api::http::body, problems::Problem};

/// An item of a list in a body, documented as a `T`. It is parsed after the body, so that an error in one item is not an
/// error of all others.
pub struct Item<T> {
    json: Box<RawValue>,
    of: PhantomData<fn() -> T>,
}

impl<T> Item<T> {
    /// Parses the item, or a part of it. The error points at the wrong field below `pointer`.
    pub(in crate::api) fn parse<P: DeserializeOwned>(&self, pointer: &str) -> Result<P, Problem> {
        body::parse(self.json.get().as_bytes()).map_err(|mut problem| {
            for error in &mut problem.errors {
                error.pointer.insert_str(0, pointer);
            }
            problem
        })
    }
}

impl<T: ToJSON> Item<T> {
    /// The item with this value.
    pub(in crate::api) fn of(value: &T) -> Self {
        RawValue::from_string(value.to_json_string()).expect("JSON").into()
    }
}

impl<T> From<Box<RawValue>> for Item<T> {
    fn from(json: Box<RawValue>) -> Self {
        Self { json, of: PhantomData }
    }
}

impl<'de, T> Deserialize<'de> for Item<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Box::deserialize(from).map(Self::from)
    }
}

impl<T: Type> Type for Item<T> {
    const IS_REQUIRED: bool = true;
    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        T::name()
    }

    fn schema_ref() -> MetaSchemaRef {
        T::schema_ref()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl<T: Type> ParseFromJSON for Item<T> {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        let json = RawValue::from_string(value.unwrap_or_default().to_string());
        json.map(Self::from).map_err(ParseError::custom)
    }
}

impl<T: Type> ToJSON for Item<T> {
    fn to_json(&self) -> Option<Value> {
        serde_json::from_str(self.json.get()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{api::http::few::Few, domain::UserId};

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Part {
        id: UserId,
        #[serde(default)]
        text: Option<String>,
    }

    #[derive(Deserialize)]
    struct Whole {
        parts: Few<Item<bool>, 3>,
    }

    const ANA: &str = "01930f3c-5a7b-7c3d-8e4f-0123456789ab";

    #[test]
    fn a_wrong_item_leaves_the_others_alone() {
        let json = format!(r#"{{"parts":[{{"id":"{ANA}","text":"x"}},{{"id":"{ANA}","text":7}},[]]}}"#);
        let whole: Whole = body::parse(json.as_bytes()).expect("a list of any items");
        let parts: Vec<Result<Part, Problem>> = (0..)
            .zip(whole.parts.into_vec())
            .map(|(at, part): (usize, _)| part.parse(&format!("/parts/{at}")))
            .collect();
        let part = parts[0].as_ref().expect("a part");
        assert_eq!((part.id.to_string().as_str(), part.text.as_deref()), (ANA, Some("x")));
        let error = |at: usize| {
            let [error] = &*parts[at].as_ref().expect_err("wrong").errors else { panic!("one error") };
            (error.pointer.clone(), error.code.clone())
        };
        assert_eq!(error(1), ("/parts/1/text".into(), "wrong_type".into()));
        assert_eq!(error(2), ("/parts/2".into(), "wrong_type".into()));
    }
}
