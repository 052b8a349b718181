//! The refusals that the document shows: answers that the server gives.

use poem::http::StatusCode;

use crate::{
    api::http::{body, reasons, strict, translated},
    problems::{Document, EXAMPLE_ID},
};

/// What the document shows for `status` of an operation that has these query parameters, and a body of
/// which these fields are required: an answer that it gives.
pub(in crate::api) fn example(
    status: &str,
    parameters: &[&str],
    required: Option<&[&str]>,
) -> serde_json::Value {
    let status = status.parse().unwrap_or(StatusCode::BAD_REQUEST);
    let problem = match (status, required) {
        (StatusCode::BAD_REQUEST, Some([field, ..])) => body::missing(&format!("/{field}")),
        (StatusCode::BAD_REQUEST, Some([])) => body::no_object(),
        (StatusCode::BAD_REQUEST, None) => strict::unknown_parameter("colour", parameters),
        (StatusCode::GONE, _) => reasons::gone("cursor_unreadable"),
        (status, _) => translated::of_status(status),
    };
    serde_json::to_value(Document::of(&problem, EXAMPLE_ID)).unwrap_or_default()
}
