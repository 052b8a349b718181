//! The body of a request: a JSON object of bounded size and depth, parsed once into its shape.

use poem::{Request, RequestBody, Result};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions, impl_apirequest_for_payload,
    payload::{ParsePayload, Payload},
    registry::{MetaRequest, MetaSchemaRef, Registry},
    types::Type,
};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_path_to_error::{Path, Segment};

use crate::{
    api::http::wrong::{step, wrong},
    domain::word,
    problems::Problem,
};

/// The maximum number of nested objects and arrays.
const DEPTH: usize = 32;

/// The JSON body of a request: an object, no deeper than 32 levels. Shapes derive `serde::Deserialize` (with
/// `deny_unknown_fields`) for parsing and `poem_openapi::Object` for the document. An optional field is
/// `#[serde(default, deserialize_with = "given")]`; an enum is read by [`word`] or [`given_word`].
pub struct Body<T>(pub T);

impl<T: Type> Payload for Body<T> {
    const CONTENT_TYPE: &'static str = "application/json";

    fn check_content_type(content_type: &str) -> bool {
        let mut parts = content_type.split(';').map(|part| part.trim().to_ascii_lowercase());
        parts.next().as_deref() == Some(Self::CONTENT_TYPE)
            && parts.all(|part| match part.split_once('=') {
                Some(("charset", name)) => matches!(name.trim_matches('"'), "utf-8" | "utf8"),
                _ => part.is_empty(),
            })
    }

    fn schema_ref() -> MetaSchemaRef {
        T::schema_ref()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: DeserializeOwned + Type> ParsePayload for Body<T> {
    const IS_REQUIRED: bool = true;

    async fn from_request(_: &Request, body: &mut RequestBody) -> Result<Self> {
        // The listener has already read the whole body, and has enforced the size limit.
        let whole = body.take()?.into_bytes().await?;
        Ok(Self(parse(&whole)?))
    }
}

impl_apirequest_for_payload!(Body<T>, T: DeserializeOwned + Type);

/// The same for a request that may also have no body.
pub struct BodyIfAny<T>(pub Option<T>);

impl<'a, T: DeserializeOwned + Type> ApiExtractor<'a> for BodyIfAny<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        <Body<T> as ApiExtractor>::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        let meta = <Body<T> as ApiExtractor>::request_meta()?;
        Some(MetaRequest { required: false, ..meta })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        options: ExtractParamOptions<()>,
    ) -> Result<Self> {
        let whole = body.take()?.into_bytes().await?;
        if whole.is_empty() {
            return Ok(Self(None));
        }
        let mut whole = RequestBody::new(whole.into());
        let Body(shape) = <Body<T> as ApiExtractor>::from_request(request, &mut whole, options).await?;
        Ok(Self(Some(shape)))
    }
}

/// Parses the shape in `bytes`, or returns a problem that points at the first error.
pub(in crate::api) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // RFC 8259 lets a parser ignore a byte order mark, which some programs put before their text.
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    // serde would accept an array as an object, with its values in the order of the fields.
    match bytes.trim_ascii_start().first() {
        Some(b'{') => {}
        Some(_) => return Err(no_object()),
        None => return Err(Problem::invalid("", "empty", "the body is empty: send a JSON object")),
    }
    if depth(bytes) > DEPTH {
        return Err(Problem::invalid("", "too_deep", format!("must have at most {DEPTH} levels")));
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let shape = serde_path_to_error::deserialize(&mut json)
        .map_err(|error| wrong(&pointer(error.path()), error.inner()))?;
    json.end().map_err(|error| wrong("", &error))?;
    Ok(shape)
}

/// The refusal of a body that is not a JSON object.
pub(in crate::api) fn no_object() -> Problem {
    Problem::invalid("", "wrong_type", "expected a JSON object")
}

/// The maximum depth of brackets outside of strings.
fn depth(json: &[u8]) -> usize {
    let (mut level, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                level += 1;
                deepest = deepest.max(level);
            }
            b'}' | b']' if !in_string => level = level.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

fn pointer(path: &Path) -> String {
    path.iter()
        .filter_map(|segment| match segment {
            Segment::Seq { index } => Some(format!("/{index}")),
            Segment::Map { key } => Some(step(key)),
            Segment::Enum { .. } | Segment::Unknown => None,
        })
        .collect()
}

/// Deserializes an optional field: an absent field is `None`, and a present field must have a value (`null`
/// is refused).
///
/// # Errors
/// The error of the value's own parser.
pub fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

/// Like [`given`], for an enum of plain words.
///
/// # Errors
/// Those of [`word`].
pub fn given_word<'de, D: Deserializer<'de>, T: DeserializeOwned>(from: D) -> Result<Option<T>, D::Error> {
    word(from).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::http::{few::Few, wrong::DETAIL},
        domain::{ClientId, Role, Text, UserId},
    };

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Letter {
        client_id: ClientId,
        text: Text,
        #[serde(default, deserialize_with = "given")]
        reply_to: Option<UserId>,
        #[serde(default)]
        copies: Few<UserId, 2>,
        #[serde(default)]
        pages: u8,
        #[serde(default, deserialize_with = "given_word")]
        role: Option<Role>,
        #[serde(default)]
        inner: Inner,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Inner {
        #[serde(default)]
        deep: Vec<Text>,
    }

    const ANA: &str = "01930f3c-5a7b-7c3d-8e4f-0123456789ab";

    /// The pointer and the code of the only error in `json`.
    fn wrong_in(json: &str) -> (String, String) {
        let problem = parse::<Letter>(json.as_bytes()).expect_err(json);
        let [error] = problem.errors.try_into().expect("one error");
        assert!(!error.detail.is_empty(), "{json}");
        (error.pointer, error.code)
    }

    fn with(field: &str) -> String {
        format!(r#"{{"client_id":"a-good-key","text":"hello",{field}}}"#)
    }

    #[test]
    fn a_good_letter_passes() {
        let letter =
            parse::<Letter>(with(&format!(r#""copies":["{ANA}"],"inner":{{"deep":["x"]}}"#)).as_bytes());
        assert_eq!(letter.expect("letter").copies.into_vec().len(), 1);
    }

    #[test]
    fn a_byte_order_mark_before_the_body_is_ignored() {
        let letter = parse::<Letter>(("\u{feff}".to_owned() + &with("\"pages\":1")).as_bytes());
        assert_eq!(letter.expect("letter").pages, 1);
    }

    #[test]
    fn a_body_is_json_in_utf_8_by_either_name() {
        let accepts = <Body<bool> as Payload>::check_content_type;
        for charset in
            ["", ";", "; charset=utf-8", ";charset=UTF8", "; charset=\"utf8\"", "; Charset=\"UTF-8\""]
        {
            assert!(accepts(&format!("application/json{charset}")), "{charset}");
        }
        for charset in ["; charset=utf-16", "; charset=latin1", "; charset=", "; charset", "; boundary=x"] {
            assert!(!accepts(&format!("application/json{charset}")), "{charset}");
        }
        assert!(!accepts("text/json"));
    }

    #[test]
    fn only_an_object_is_a_body() {
        assert_eq!(wrong_in(""), ("".into(), "empty".into()));
        assert_eq!(wrong_in(" \n"), ("".into(), "empty".into()));
        for json in ["null", "[]", "1", "\"x\"", "true", r#"["a-good-key","hello"]"#, "\u{feff}\u{feff}{}"] {
            assert_eq!(wrong_in(json), ("".into(), "wrong_type".into()));
        }
        for json in ["{", "{}{}", "{\"text\":}", "{'text':1}", "{\"text\":NaN}"] {
            assert!(["invalid_json", "missing"].contains(&wrong_in(json).1.as_str()), "{json}");
        }
        assert_eq!(wrong_in(&(with("\"pages\":1") + "{}")), ("".into(), "invalid_json".into()));
    }

    #[test]
    fn bytes_that_are_no_utf8_are_refused() {
        for bad in [&b"{\"text\":\"\xff\"}"[..], b"{\"text\":\"\xed\xa0\x80\"}", b"{\"\xc0\x80\":1}"] {
            assert!(parse::<Letter>(bad).is_err());
        }
    }

    #[test]
    fn the_pointer_leads_to_the_field() {
        let cases = [
            ("{}".to_owned(), "/client_id", "missing"),
            (with("\"reply_to\":null"), "/reply_to", "wrong_type"),
            (with("\"reply_to\":\"nobody\""), "/reply_to", "invalid"),
            (with("\"copies\":{}"), "/copies", "wrong_type"),
            (with(&format!("\"copies\":[\"{ANA}\",7]")), "/copies/1", "wrong_type"),
            (with(&format!("\"copies\":[\"{ANA}\",\"{ANA}\",\"{ANA}\"]")), "/copies", "too_many"),
            (with("\"pages\":256"), "/pages", "out_of_range"),
            (with("\"pages\":-1"), "/pages", "out_of_range"),
            (with("\"pages\":1.0"), "/pages", "wrong_type"),
            (with("\"pages\":true"), "/pages", "wrong_type"),
            (with("\"pages\":1,\"pages\":1"), "/pages", "duplicate_field"),
            (with("\"role\":null"), "/role", "wrong_type"),
            (with("\"role\":[\"admin\"]"), "/role", "wrong_type"),
            (with("\"role\":{\"admin\":null}"), "/role", "wrong_type"),
            (with("\"role\":\"king\""), "/role", "unknown_value"),
            (with("\"surprise\":1"), "/surprise", "unknown_field"),
            (with("\"inner\":{\"deep\":[\"a\",\"\"]}"), "/inner/deep/1", "empty_text"),
            (with("\"inner\":{\"a/b~c\":1}"), "/inner/a~1b~0c", "unknown_field"),
            (r#"{"client_id":"a-good-key","text":"a\u0000b"}"#.into(), "/text", "forbidden_character"),
            (r#"{"client_id":"a-good-key","text":" \u200d"}"#.into(), "/text", "empty_text"),
            (r#"{"client_id":"a-good-key","text":["a"]}"#.into(), "/text", "wrong_type"),
            (r#"{"client_id":"\u0000","text":"a"}"#.into(), "/client_id", "invalid"),
            (r#"{"client_id":"a-good-key","text":"\ud800"}"#.into(), "/text", "forbidden_character"),
            (r#"{"client_id":"a-good-key","text":"\udc00\ud800"}"#.into(), "/text", "forbidden_character"),
            (with("\"pages\":1e999"), "/pages", "out_of_range"),
        ];
        for (json, pointer, code) in cases {
            assert_eq!(wrong_in(&json), (pointer.into(), code.into()), "{json}");
        }
        let long = format!(r#"{{"client_id":"a-good-key","text":"{}"}}"#, "x".repeat(Text::LIMIT + 1));
        assert_eq!(wrong_in(&long), ("/text".into(), "too_long".into()));
    }

    #[test]
    fn a_value_is_not_sent_back() {
        let problem = parse::<Letter>(with("\"pages\":\"hunter2\"").as_bytes()).expect_err("wrong");
        assert_eq!(problem.errors[0].detail, "must be an integer of at least 0, and not too large");
        for (json, said) in
            [(with("\"copies\":{}"), "must be a list"), (with("\"inner\":7"), "must be an object")]
        {
            let wrong = parse::<Letter>(json.as_bytes()).expect_err("wrong");
            assert_eq!(wrong.errors[0].detail, said, "{json}");
        }
        let name = "x".repeat(10_000);
        let problem = parse::<Letter>(with(&format!("\"{name}\":1")).as_bytes()).expect_err("wrong");
        assert_eq!(problem.errors[0].pointer.len(), DETAIL);
    }

    #[test]
    fn depth_is_counted_outside_of_strings() {
        assert_eq!(depth(br#"{"a":[[{}]],"b":"[[[[[[\"[["}"#), 4);
        let bomb = with(&format!("\"inner\":{}1{}", "[".repeat(32), "]".repeat(32)));
        assert_eq!(wrong_in(&bomb), ("".into(), "too_deep".into()));
        assert_eq!(wrong_in(&format!("{{\"a\":{}", "[".repeat(60_000))), ("".into(), "too_deep".into()));
    }

    #[test]
    fn only_json_in_utf8_is_json() {
        for good in ["application/json", "Application/JSON", "application/json; charset=UTF-8"] {
            assert!(Body::<String>::check_content_type(good), "{good}");
        }
        for bad in ["", "text/json", "multipart/form-data; boundary=x", "application/json; charset=latin1"] {
            assert!(!Body::<String>::check_content_type(bad), "{bad}");
        }
    }
}
