//! Whether a value fits a schema of the published documents.

use serde_json::Value;

/// The places where a value does not fit a schema, for the keywords that our schemas use.
pub(crate) fn misfits(schema: &Value, value: &Value) -> Vec<String> {
    let is = |kind: &Value| match kind.as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("boolean") => value.is_boolean(),
        Some("string") => value.is_string(),
        Some("integer") => value.is_u64() || value.is_i64(),
        Some("null") => value.is_null(),
        other => panic!("this test does not know the type {other:?}"),
    };
    let fits_type = match schema["type"].as_array() {
        Some(kinds) => kinds.iter().any(is),
        None => is(&schema["type"]),
    };
    let mut found = Vec::new();
    if !fits_type {
        return vec![format!("{value} is not of type {}", schema["type"])];
    }
    if schema["enum"].as_array().is_some_and(|choices| !choices.contains(value)) {
        found.push(format!("{value} is not one of {}", schema["enum"]));
    }
    if let Some(text) = value.as_str() {
        let length = text.chars().count() as u64;
        let fits = schema["minLength"].as_u64().is_none_or(|least| length >= least)
            && schema["maxLength"].as_u64().is_none_or(|most| length <= most);
        let is_id = schema["format"] != "uuid" || text.parse::<verbatim::domain::EventId>().is_ok();
        let is_time = schema["format"] != "date-time" || text.parse::<verbatim::domain::Time>().is_ok();
        if !(fits && is_id && is_time) {
            found.push(format!("{value} does not fit {schema}"));
        }
    }
    if let Some(number) = value.as_u64().filter(|n| schema["maximum"].as_u64().is_some_and(|most| *n > most))
    {
        found.push(format!("{number} is too large"));
    }
    for item in value.as_array().into_iter().flatten() {
        found.extend(misfits(&schema["items"], item));
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if value.get(name).is_none() {
            found.push(format!("{name} is missing"));
        }
    }
    for (name, member) in value.as_object().into_iter().flatten() {
        match schema["properties"].get(name) {
            Some(schema) => found.extend(misfits(schema, member)),
            None if schema["additionalProperties"] == true => {}
            None if schema["additionalProperties"].is_object() => {
                found.extend(misfits(&schema["additionalProperties"], member));
            }
            None => found.push(format!("{name} is not in the schema")),
        }
    }
    found
}
