//! The published documents. Every frame and every 409 that a story sees has to fit them.

use std::sync::LazyLock;

use reqwest::Method;
use serde_json::Value;
use verbatim::contract::asyncapi;

#[path = "../../contract/misfits.rs"]
mod misfits;

static FRAMES: LazyLock<Value> = LazyLock::new(asyncapi::document);
static OPERATIONS: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../../openapi/openapi.json")).expect("openapi.json is JSON")
});

/// Asserts that the document describes a frame of the server. Events have other schemas and other tests.
pub fn describes_frame(frame: &Value) {
    let op = frame["op"].as_str().unwrap_or_default();
    if op == "event" || op == "closed" {
        return;
    }
    let schema = resolved(&FRAMES["components"]["schemas"][format!("server.{op}")]);
    let misfits = misfits::misfits(&schema, frame);
    assert!(misfits.is_empty(), "the document describes {frame} otherwise: {misfits:?}");
}

/// A schema with the schemas to which it refers.
fn resolved(schema: &Value) -> Value {
    if let Some(name) = schema["$ref"].as_str() {
        return resolved(FRAMES.pointer(name.trim_start_matches('#')).expect("a reference has a target"));
    }
    match schema {
        Value::Object(members) => members.iter().map(|(name, part)| (name.clone(), resolved(part))).collect(),
        Value::Array(all) => all.iter().map(resolved).collect(),
        other => other.clone(),
    }
}

/// Asserts that the document names the code of a 409 at its operation.
pub fn names_conflict(method: &Method, path: &str, problem: &Value) {
    let Some(operation) = operation(method, path) else { return };
    let told = operation["responses"]["409"]["description"].as_str().unwrap_or_default();
    let code = problem["code"].as_str().unwrap_or_default();
    assert!(
        told.contains(&format!("`{code}`")),
        "{method} {path}: the document does not name `{code}`: {told}"
    );
}

/// The operation at a path, by the template with the fewest parameters.
fn operation(method: &Method, path: &str) -> Option<&'static Value> {
    let path: Vec<&str> = path.split(['?', '#']).next()?.split('/').collect();
    let fits = |template: &str| {
        let parts: Vec<&str> = template.split('/').collect();
        parts.len() == path.len()
            && parts.iter().zip(&path).all(|(part, given)| part == given || part.starts_with('{'))
    };
    let method = method.as_str().to_lowercase();
    let paths = OPERATIONS["paths"].as_object().expect("paths").iter();
    let found = paths.filter(|(template, of)| fits(template) && of.get(&method).is_some());
    found.min_by_key(|(template, _)| template.matches('{').count()).map(|(_, of)| &of[&method])
}
