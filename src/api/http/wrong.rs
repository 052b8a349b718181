//! What is wrong with a body, in our words.

use serde_json::error::Category;

use crate::{domain::BadText, problems::Problem};

/// The maximum number of characters of a detail or a pointer: a response never repeats a client's text at
/// length.
pub(in crate::api::http) const DETAIL: usize = 300;

/// What is expected where a number is not one of ours.
pub(in crate::api::http) const WHOLE: &str = "must be an integer of at least 0, and not too large";

/// The refusal of a body without the field at `pointer`.
pub(in crate::api) fn missing(pointer: &str) -> Problem {
    Problem::invalid(pointer, "missing", "this field is required")
}

/// Translates serde's message into a code and a sentence. The sentence does not repeat the value, because the
/// value may be a secret.
pub(in crate::api::http) fn wrong(pointer: &str, error: &serde_json::Error) -> Problem {
    let text = error.to_string();
    if error.classify() != Category::Data {
        // serde_json also calls bad syntax what the grammar of JSON allows and no value of ours can hold.
        if text.contains("hex escape") {
            let detail = "half of a surrogate pair is not a character: remove it";
            return Problem::invalid(short(pointer), "forbidden_character", detail);
        } else if text.starts_with("number out of range") {
            return Problem::invalid(short(pointer), "out_of_range", "the number is too large");
        }
        return Problem::invalid("", "invalid_json", format!("not JSON: {text}"));
    }
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
    let expected = text.split_once(", expected ").map(|(_, expected)| in_words(expected));
    let field = text.split('`').nth(1).unwrap_or_default();
    let (code, detail) = if text.starts_with("missing field") {
        return missing(&(pointer.to_owned() + &step(field)));
    } else if text.starts_with("duplicate field") {
        return Problem::invalid(
            pointer.to_owned() + &step(field),
            "duplicate_field",
            "must be sent only once",
        );
    } else if text.starts_with("unknown field") {
        let detail = expected.unwrap_or_else(|| "no fields are accepted".into());
        // The path ends with the field, except in a tagged enum, for which serde gives no path.
        let path = if pointer.is_empty() { step(field) } else { pointer.to_owned() };
        return Problem::invalid(short(&path), "unknown_field", short(&detail));
    } else if text.starts_with("unknown variant") {
        ("unknown_value", expected.unwrap_or_default())
    } else if text.starts_with("invalid type") {
        ("wrong_type", expected.unwrap_or_default())
    } else if text.starts_with("invalid value") || text.starts_with("invalid length") {
        ("out_of_range", expected.unwrap_or_default())
    } else {
        (text_code(text), text.to_owned())
    };
    Problem::invalid(short(pointer), code, short(&detail))
}

/// What serde expected, without the names of types.
fn in_words(expected: &str) -> String {
    match expected {
        "a boolean" => "must be true or false".into(),
        "a string" => "must be a string".into(),
        "a sequence" => "must be a list".into(),
        // The limit of the type is not the limit of the field.
        "u8" | "u16" | "u32" | "u64" => WHOLE.into(),
        other if other == "a map" || other.starts_with("struct ") => "must be an object".into(),
        other => format!("expected {other}"),
    }
}

/// The code for an error message of [`BadText`], `BadMetadata` or `Few`. The errors of all other domain
/// values have the code `invalid`.
fn text_code(text: &str) -> &'static str {
    if text == BadText::Empty.to_string() {
        "empty_text"
    } else if text.starts_with("too long") {
        "too_long"
    } else if text.starts_with("too deep") {
        "too_deep"
    } else if text.starts_with("expected ") {
        "wrong_type"
    } else if text.starts_with("too large") {
        "out_of_range"
    } else if text.contains("is repeated") {
        "duplicate_field"
    } else if text.starts_with("too many") {
        "too_many"
    } else if text.starts_with("the character U+") || text.starts_with("half of a surrogate") {
        "forbidden_character"
    } else {
        "invalid"
    }
}

fn short(text: &str) -> String {
    text.chars().take(DETAIL).collect()
}

/// The pointer to a field, from the object around it.
pub(in crate::api) fn step(key: &str) -> String {
    format!("/{}", key.replace('~', "~0").replace('/', "~1"))
}
