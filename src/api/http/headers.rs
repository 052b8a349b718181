//! The headers that the responses of many operations share, described once in the document.

use serde_json::{Map, Value, json};

/// The name, the description and an example of each shared header.
const SHARED: [(&str, &str, &str); 2] = [
    (
        "RateLimit",
        "What is left of the rate limits that applied: units (`r`), and the seconds until one more is available (`t`). \
         Follows draft-ietf-httpapi-ratelimit-headers, which is still a draft. Absent if no limit applied",
        r#""send";r=12;t=1"#,
    ),
    (
        "RateLimit-Policy",
        "The rate limits that applied: units (`q`) per number of seconds (`w`). Absent if no limit applied",
        r#""send";q=300;w=60"#,
    ),
];

/// The shared headers, for the components of the document.
pub(super) fn components() -> Value {
    let header = |(name, description, example): (&str, &str, &str)| {
        let described =
            json!({ "description": description, "schema": { "type": "string" }, "example": example });
        (name.to_owned(), described)
    };
    Value::Object(SHARED.map(header).into_iter().collect())
}

/// Adds references to the shared headers to a response, if it is a success or 429.
pub(super) fn refer(status: &str, response: &mut Value) {
    let is_limited = status.starts_with('2') || status == "429";
    let Some(response) = response.as_object_mut().filter(|_| is_limited) else { return };
    let headers = response.entry("headers").or_insert_with(|| Map::new().into());
    for (name, ..) in SHARED {
        headers[name] = json!({ "$ref": format!("#/components/headers/{name}") });
    }
}
