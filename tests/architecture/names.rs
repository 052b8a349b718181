//! A file's name says what is inside.

use crate::{
    EMPTY_NAMES,
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
fn the_rule_bites() {
    for path in ["log/utils.rs", "api/user_service.rs", "helpers/a.rs", "views/message_store.rs"] {
        assert_eq!(empty_names(&file(path, "")).len(), 1, "{path}");
    }
    assert!(empty_names(&file("log/commonly.rs", "")).is_empty());
}
