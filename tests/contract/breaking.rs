//! Which changes of a published schema break those who read what it describes.

use std::collections::BTreeSet;

use serde_json::Value;

/// What a reader of `old` could trip over in data of `new`, each with its place.
///
/// Allowed are new optional properties and new words about them. A new enum value is allowed too:
/// readers are told to ignore what they do not know.
pub(crate) fn changes(old: &Value, new: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare("", old, new, &mut found);
    found
}

fn compare(at: &str, old: &Value, new: &Value, found: &mut Vec<String>) {
    for keyword in
        ["$id", "type", "format", "pattern", "const", "minimum", "minLength", "maximum", "maxLength"]
    {
        if old.get(keyword) != new.get(keyword) {
            let (old, new) = (&old[keyword], &new[keyword]);
            found.push(format!("{at}: {keyword} was {old} and is {new}"));
        }
    }
    for gone in words(&old["enum"]).difference(&words(&new["enum"])) {
        found.push(format!("{at}: the value {gone} was removed"));
    }
    if old.get("enum").is_some() != new.get("enum").is_some() {
        found.push(format!("{at}: it is an enum in one of the two only"));
    }
    for freed in words(&old["required"]).difference(&words(&new["required"])) {
        found.push(format!("{at}/{freed}: it was always there and is optional now"));
    }
    for added in words(&new["required"]).difference(&words(&old["required"])) {
        found.push(format!("{at}/{added}: it is required now, and stored events lack it"));
    }
    for (name, old) in old["properties"].as_object().into_iter().flatten() {
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
    let breaking: [(&str, Mutation); 9] = [
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
    list(&mut new["properties"]["kind"]["enum"]).push("broadcast".into());
    new["description"] = "In other words.".into();
    assert_eq!(changes(old, &new), Vec::<String>::new());
}
