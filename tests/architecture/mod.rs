//! The rules, one file a family; each rule is tried on code that breaks it and on code that comes close.

mod crates;
mod cycles;
mod files;
mod imports;
mod names;
mod nested;
mod purity;
mod safety;
mod sizes;
mod source;

use std::{path::Path, sync::LazyLock};

use source::Source;

/// Every file of `src/`, read once for all rules.
fn sources() -> &'static [Source] {
    static ALL: LazyLock<Vec<Source>> =
        LazyLock::new(|| source::read_all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")));
    &ALL
}

#[track_caller]
fn assert_none(broken: Vec<String>) {
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

/// One file of a house that is made up for a test.
fn file(path: &str, text: &str) -> Vec<Source> {
    vec![Source::new(path, text)]
}
