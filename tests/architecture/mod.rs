//! The rules, one file for each group. Each rule is tested with code that breaks it and with code that almost does.

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

/// Every file of `src/`, parsed once for all rules.
fn sources() -> &'static [Source] {
    static ALL: LazyLock<Vec<Source>> =
        LazyLock::new(|| source::read_all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")));
    &ALL
}

#[track_caller]
fn assert_none(broken: Vec<String>) {
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

/// One file of an invented crate for a test.
fn file(path: &str, text: &str) -> Vec<Source> {
    vec![Source::new(path, text)]
}
