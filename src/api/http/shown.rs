//! The examples of refusals in the document, built by the code that refuses requests.

use poem::http::StatusCode;
use serde_json::Value;

use crate::{
    api::http::{body, strict, translated, wrong},
    commands::Refused,
    problems::{Document, EXAMPLE_ID},
    reading::Reset,
};

/// The example for `status` of an operation: a problem that the operation can return. `shapes` holds the
/// schemas of the document.
pub(in crate::api) fn example(status: &str, operation: &Value, shapes: &Value) -> Value {
    let parameters: Vec<&str> = query_parameters(operation).collect();
    let status = status.parse().unwrap_or(StatusCode::BAD_REQUEST);
    let problem = match (status, required(operation, shapes).as_deref()) {
        (StatusCode::BAD_REQUEST, Some([field, ..])) => wrong::missing(&format!("/{field}")),
        (StatusCode::BAD_REQUEST, Some([])) => body::no_object(),
        (StatusCode::BAD_REQUEST, None) => strict::unknown_parameter("colour", &parameters),
        (StatusCode::GONE, _) if parameters.contains(&"after") => Reset::Unreadable.into(),
        (StatusCode::GONE, _) => Refused::Erased.into(),
        (status, _) => translated::of_status(status),
    };
    serde_json::to_value(Document::of(&problem, EXAMPLE_ID)).unwrap_or_default()
}

/// The required fields in the body of an operation; `None` without a body.
fn required<'a>(operation: &Value, shapes: &'a Value) -> Option<Vec<&'a str>> {
    let body = operation.pointer("/requestBody/content/application~1json/schema/$ref")?.as_str()?;
    let shape = shapes.get(body.rsplit('/').next()?)?;
    let fields = shape.get("required").and_then(Value::as_array).into_iter().flatten();
    Some(fields.filter_map(Value::as_str).collect())
}

fn query_parameters(operation: &Value) -> impl Iterator<Item = &str> {
    let parameters = operation.get("parameters").and_then(Value::as_array).into_iter().flatten();
    parameters.filter(|one| one["in"] == "query").filter_map(|one| one["name"].as_str())
}
