//! The name of a file says what is in it, and the name of a public type is unique.

use std::collections::BTreeMap;

use crate::{
    EMPTY_NAMES, SAME_NAMES,
    rules::{assert_none, file, source::Source, sources},
};

#[test]
fn names_say_what_is_inside() {
    assert_none(empty_names(sources()));
}

fn empty_names(sources: &[Source]) -> Vec<String> {
    let is_empty = |path: &str| {
        let parts = path.trim_end_matches(".rs").split(['/', '_']).map(str::to_lowercase);
        parts.into_iter().any(|word| EMPTY_NAMES.contains(&word.as_str()))
    };
    let found = sources.iter().filter(|source| is_empty(&source.path));
    found
        .map(|s| format!("src/{}: name the file after what it answers; this name fits anything", s.path))
        .collect()
}

#[test]
fn a_search_for_a_public_type_finds_one() {
    assert_none(same_names(sources(), SAME_NAMES));
}

fn same_names(sources: &[Source], excused: &[(&str, &str)]) -> Vec<String> {
    let mut found: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for source in sources.iter().filter(|source| !source.is_test()) {
        for name in public_types(source) {
            found.entry(name).or_default().push(format!("src/{}", source.path));
        }
    }
    let is_excused = |name: &str| excused.iter().any(|(excused, _)| *excused == name);
    let mut broken: Vec<String> = found
        .iter()
        .filter(|(name, places)| places.len() > 1 && !is_excused(name))
        .map(|(name, places)| {
            let places = places.join(", ");
            format!("{places}: the public types have one name, `{name}`. Rename all but one, or state the reason in SAME_NAMES")
        })
        .collect();
    let needless = excused.iter().filter(|(name, _)| found.get(name).is_none_or(|places| places.len() < 2));
    broken.extend(needless.map(|(name, _)| format!("take `{name}` from SAME_NAMES")));
    broken
}

/// The types that are visible in the whole crate.
fn public_types(source: &Source) -> Vec<&str> {
    let text = |at: usize| source.tokens.get(at).map_or("", |token| token.text.as_str());
    let mut types = Vec::new();
    for at in 0..source.tokens.len() {
        if text(at) != "pub" {
            continue;
        }
        let kind = match (text(at + 1), text(at + 2), text(at + 3)) {
            ("(", "crate", ")") => at + 4,
            _ => at + 1,
        };
        // In a macro, the name of a type may be a placeholder that begins with a sign.
        let is_named = text(kind + 1).starts_with(char::is_alphabetic);
        if is_named && ["struct", "enum", "union", "trait", "type"].contains(&text(kind)) {
            types.push(text(kind + 1));
        }
    }
    types
}

#[test]
fn the_rule_on_types_bites() {
    let house = |one: &str, other: &str| vec![Source::new("log/a.rs", one), Source::new("views/b.rs", other)];
    for other in
        ["pub enum Found {}", "pub(crate) struct Found;", "pub type Found = u8;", "pub trait Found {}"]
    {
        assert_eq!(same_names(&house("pub struct Found;", other), &[]).len(), 1, "{other}");
        assert!(same_names(&house("pub struct Found;", other), &[("Found", "why")]).is_empty());
    }
    for other in
        ["pub struct Other;", "struct Found;", "pub(super) struct Found;", "pub fn found(f: Found) {}"]
    {
        assert!(same_names(&house("pub struct Found;", other), &[]).is_empty(), "{other}");
    }
    let needless = same_names(&house("pub struct Found;", ""), &[("Found", "why")]);
    assert_eq!(needless, ["take `Found` from SAME_NAMES"]);
}

#[test]
fn the_rule_bites() {
    for path in ["log/utils.rs", "api/user_service.rs", "helpers/a.rs", "views/message_store.rs"] {
        assert_eq!(empty_names(&file(path, "")).len(), 1, "{path}");
    }
    assert!(empty_names(&file("log/commonly.rs", "")).is_empty());
}
