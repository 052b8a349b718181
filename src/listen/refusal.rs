//! The refusals of the door, as problem documents.

use poem::{Response, http::StatusCode};

/// An error answer by RFC 9457 with a new request id; `code` is a `snake_case` word, `detail` a
/// sentence that says what to do.
pub fn refusal(status: StatusCode, code: &str, detail: &str) -> Response {
    let request_id = crate::clock::name().to_string();
    let body = serde_json::json!({
        "type": format!("/problems/{code}"),
        "title": status.canonical_reason().unwrap_or("Error"),
        "status": status.as_u16(),
        "code": code,
        "detail": detail,
        "request_id": &request_id,
    });
    Response::builder()
        .status(status)
        .content_type("application/problem+json")
        .header("x-request-id", request_id)
        .body(body.to_string())
}
