//! Other people's libraries and programs meet the product.

use serde_json::{Value, json};

use crate::world::clients::{node, output_of, python};

#[tokio::test]
async fn what_the_stories_run_is_what_is_pinned() {
    let from_npm = output_of(node("versions.mjs", &["cloudevents", "eventsource"]).await, "").await;
    let from_npm: Value = serde_json::from_str(&from_npm).expect("JSON");
    let pinned: Value = serde_json::from_str(include_str!("../clients/package.json")).expect("JSON");
    assert_eq!(from_npm, pinned["dependencies"]);
    let from_pypi = output_of(python("versions.py", &["cloudevents"]).await, "").await;
    let from_pypi: Value = serde_json::from_str(&from_pypi).expect("JSON");
    assert_eq!(from_pypi, json!({ "cloudevents": "2.2.0" }));
}
