//! Decides which changes of a published schema break its readers.

use std::collections::BTreeSet;

use serde_json::Value;

/// Annotations for people, which no program reads.
const ANNOTATIONS: [&str; 7] =
    ["$schema", "$comment", "title", "summary", "description", "examples", "deprecated"];
/// Keywords whose values are compared part by part.
const PARTS: [&str; 7] = ["properties", "required", "items", "enum", "allOf", "anyOf", "oneOf"];

/// The changes in data of `new` that could break a reader of `old`, each with its place.
///
/// New optional properties and changed annotations are allowed. Any other keyword is a promise, even one that this code
/// does not know. An enum must not get new values, because a reader may have one arm for each value.
pub(crate) fn changes(old: &Value, new: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare("", old, new, &mut found);
    found
}

/// The same for the events in two AsyncAPI documents: their subjects, headers and payloads. Frames of sockets are not
/// compared, because they are not stored.
pub(crate) fn changes_of_documents(old: &Value, new: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for (name, old) in members(&old["channels"]).filter(|(name, _)| *name != "socket") {
        let new = &new["channels"][name];
        if old["address"] != new["address"] {
            found.push(format!("{name}: the address was {} and is {}", old["address"], new["address"]));
        }
        for (parameter, old) in members(&old["parameters"]) {
            compare(&format!("{name}/{parameter}"), old, &new["parameters"][parameter], &mut found);
        }
        for (message, _) in
            members(&old["messages"]).filter(|(message, _)| new["messages"][message].is_null())
        {
            found.push(format!("{name}: the event {message} was removed"));
        }
    }
    let is_event = |name: &str| !name.starts_with("client.") && !name.starts_with("server.");
    for (name, old) in members(&old["components"]["messages"]).filter(|(name, _)| is_event(name)) {
        let new = &new["components"]["messages"][name];
        for word in ["name", "contentType"].into_iter().filter(|word| old[word] != new[word]) {
            found.push(format!("{name}: {word} was {} and is {}", old[word], new[word]));
        }
        for part in ["headers", "payload"] {
            compare(&format!("{name}/{part}"), &old[part], &new[part], &mut found);
        }
    }
    let headers = |document: &Value| document["components"]["schemas"]["headers"].clone();
    compare("headers", &headers(old), &headers(new), &mut found);
    found
}

fn members(object: &Value) -> impl Iterator<Item = (&str, &Value)> {
    object.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

fn compare(at: &str, old: &Value, new: &Value, found: &mut Vec<String>) {
    let keywords: BTreeSet<&str> = members(old).chain(members(new)).map(|(keyword, _)| keyword).collect();
    let is_promise = |keyword: &&str| !ANNOTATIONS.contains(keyword) && !PARTS.contains(keyword);
    for keyword in keywords.into_iter().filter(is_promise) {
        if old.get(keyword) != new.get(keyword) {
            let (old, new) = (&old[keyword], &new[keyword]);
            found.push(format!("{at}: {keyword} was {old} and is {new}"));
        }
    }
    for gone in words(&old["enum"]).difference(&words(&new["enum"])) {
        found.push(format!("{at}: the value {gone} was removed"));
    }
    for added in words(&new["enum"]).difference(&words(&old["enum"])) {
        found.push(format!("{at}: the value {added} is new, and a reader may have an arm for each"));
    }
    for freed in words(&old["required"]).difference(&words(&new["required"])) {
        found.push(format!("{at}/{freed}: it was always there and is optional now"));
    }
    for added in words(&new["required"]).difference(&words(&old["required"])) {
        found.push(format!("{at}/{added}: it is required now, and stored events lack it"));
    }
    for (name, old) in members(&old["properties"]) {
        match new["properties"].get(name) {
            Some(new) => compare(&format!("{at}/{name}"), old, new, found),
            None => found.push(format!("{at}/{name}: the property was removed")),
        }
    }
    match (old.get("items"), new.get("items")) {
        (Some(old), Some(new)) => compare(&format!("{at}/-"), old, new, found),
        (None, None) => {}
        _ => found.push(format!("{at}: the items are described in one of the two only")),
    }
    for all in ["allOf", "anyOf", "oneOf"] {
        let schemas = |of: &Value| of[all].as_array().cloned().unwrap_or_default();
        let (old, new) = (schemas(old), schemas(new));
        if old.len() != new.len() {
            found.push(format!("{at}: {all} had {} schemas and has {}", old.len(), new.len()));
        }
        for (number, (old, new)) in old.iter().zip(&new).enumerate() {
            compare(&format!("{at}/{all}/{number}"), old, new, found);
        }
    }
}

fn words(list: &Value) -> BTreeSet<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn list(value: &mut Value) -> &mut Vec<Value> {
    value.as_array_mut().expect("a list")
}

#[test]
fn each_breaking_change_of_a_real_schema_is_noticed() {
    let schemas = verbatim::log::schemas();
    let (_, old) = schemas.iter().find(|(name, _)| name.contains("conversation.created")).expect("a schema");
    assert_eq!(changes(old, old), Vec::<String>::new());

    type Mutation = fn(&mut Value);
    let breaking: [(&str, Mutation); 13] = [
        ("/title: the property was removed", |s| {
            drop(s["properties"].as_object_mut().expect("properties").remove("title"));
        }),
        ("/title: it is required now", |s| list(&mut s["required"]).push("title".into())),
        ("/kind: it was always there", |s| {
            list(&mut s["required"]).retain(|name| name != "kind");
        }),
        ("/title: type was", |s| s["properties"]["title"]["type"] = "integer".into()),
        ("/kind: the value direct", |s| {
            list(&mut s["properties"]["kind"]["enum"]).retain(|word| word != "direct");
        }),
        ("/members/-/role: the value owner", |s| {
            let role = &mut s["properties"]["members"]["items"]["properties"]["role"];
            list(&mut role["enum"]).retain(|word| word != "owner");
        }),
        ("/members/-/user_id: format", |s| {
            s["properties"]["members"]["items"]["properties"]["user_id"]["format"] = "email".into();
        }),
        ("/title: maxLength", |s| s["properties"]["title"]["maxLength"] = 1.into()),
        (": $id was", |s| s["$id"] = "/schemas/other.json".into()),
        ("/kind: the value broadcast is new", |s| {
            list(&mut s["properties"]["kind"]["enum"]).push("broadcast".into());
        }),
        ("/members/-/user_id: pattern was", |s| {
            s["properties"]["members"]["items"]["properties"]["user_id"]["pattern"] = "^[a-z]+$".into();
        }),
        ("/members: minItems was null", |s| s["properties"]["members"]["minItems"] = 1.into()),
        (": additionalProperties was null", |s| s["additionalProperties"] = false.into()),
    ];
    for (wanted, mutate) in breaking {
        let mut new = old.clone();
        mutate(&mut new);
        let found = changes(old, &new);
        assert!(found.len() == 1 && found[0].starts_with(wanted), "{wanted}: {found:?}");
    }
}

#[test]
fn what_only_grows_breaks_nothing() {
    let schemas = verbatim::log::schemas();
    let (_, old) = schemas.iter().find(|(name, _)| name.contains("conversation.created")).expect("a schema");
    let mut new = old.clone();
    new["properties"]["colour"] = serde_json::json!({ "type": "string" });
    new["description"] = "In other words.".into();
    assert_eq!(changes(old, &new), Vec::<String>::new());
}

#[test]
fn each_breaking_change_of_the_real_document_is_noticed() {
    let old = verbatim::contract::asyncapi::document();
    assert_eq!(changes_of_documents(&old, &old), Vec::<String>::new());
    let breaking: [(&str, &str, Value); 6] = [
        ("timeline: the address", "/channels/timeline/address", "chat.{conversation_id}.timeline".into()),
        ("roster: the event member.added", "/channels/roster/messages/member.added", Value::Null),
        (
            "message.sent: name was",
            "/components/messages/message.sent/name",
            "verbatim.message.sent.v2".into(),
        ),
        (
            "message.sent/headers/allOf/1/ce-type: const was",
            "/components/messages/message.sent/headers/allOf/1/properties/ce-type/const",
            "verbatim.message.sent.v2".into(),
        ),
        ("message.sent/payload: $ref was", "/components/messages/message.sent/payload/$ref", "#/x".into()),
        (
            "headers/ce-specversion: const was",
            "/components/schemas/headers/properties/ce-specversion/const",
            "2.0".into(),
        ),
    ];
    for (wanted, pointer, value) in breaking {
        let mut new = old.clone();
        *new.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}")) = value;
        let found = changes_of_documents(&old, &new);
        assert!(found.len() == 1 && found[0].starts_with(wanted), "{wanted}: {found:?}");
    }
}
