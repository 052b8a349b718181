//! Words of a few that are known, sent in another form: every such field of every body in the document.

use serde_json::{Value, json};

use super::{
    answer::{Expected, judge},
    stage::Stage,
};
use crate::matrix::operations;

/// The pointers to the fields of `schema` that take one of a few words, each with the first of its words.
fn words(document: &Value, schema: &Value, at: &str) -> Vec<(String, String)> {
    if let Some(named) = schema["$ref"].as_str() {
        return words(document, document.pointer(&named[1..]).expect("a schema"), at);
    }
    if let Some(word) = schema["enum"][0].as_str() {
        return vec![(at.to_owned(), word.to_owned())];
    }
    let parts = schema["allOf"].as_array().into_iter().flatten().map(|part| (part, at.to_owned()));
    let fields = schema["properties"].as_object().into_iter().flatten();
    let fields = fields.map(|(name, field)| (field, format!("{at}/{name}")));
    let items = schema.get("items").map(|item| (item, format!("{at}/0")));
    parts.chain(fields).chain(items).flat_map(|(schema, at)| words(document, schema, &at)).collect()
}

/// A path as the document fills it.
fn filled(path: &str, operation: &Value) -> String {
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    parameters.fold(path.to_owned(), |path, parameter| {
        let example = parameter["schema"]["examples"][0].as_str().unwrap_or_default();
        path.replace(&format!("{{{}}}", parameter["name"].as_str().expect("a name")), example)
    })
}

#[tokio::test]
async fn a_word_of_a_few_is_a_text_in_every_body() {
    let stage = Stage::is_set().await;
    let document: Value = serde_json::from_str(include_str!("../../../openapi/openapi.json")).expect("JSON");
    let mut tried = 0;
    for (name, (method, path)) in operations() {
        let operation = &document["paths"][&path][method.as_str().to_lowercase()];
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        let Some(shape) = schema["$ref"].as_str().and_then(|shape| document.pointer(&shape[1..])) else {
            continue;
        };
        // An administrator may do what a person may not, and the other way round.
        let by = if path.contains("/me/") { &stage.ana } else { &stage.program.person };
        let url = format!("http://{}{}", by.address, filled(&path, operation));
        for (pointer, word) in words(&document, schema, "") {
            for value in [Value::Null, json!(7), json!([word]), json!({ &word: null })] {
                let (around, field) = pointer.rsplit_once('/').expect("a field");
                let mut body = shape["examples"][0].clone();
                body.pointer_mut(around).expect("the example has what is around it")[field] = value;
                let request = stage.http.request(method.clone(), &url).bearer_auth(&by.token).json(&body);
                let answer = request.send().await.expect("an answer");
                let (status, told) = (answer.status().as_u16(), answer.text().await.expect("text"));
                let (code, pointer, says) = (Some("invalid_body"), Some(&*pointer), Some("must be a string"));
                let verdict = judge(status, &told, &Expected { status: 400, code, pointer, says });
                assert_eq!(verdict, Ok(()), "{name}: {body}");
                tried += 1;
            }
        }
    }
    assert!(tried >= 40, "{tried}");
    stage.ends().await;
}
