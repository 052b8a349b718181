//! `domain` does not depend on the outside world.

use crate::{
    IMPURE,
    rules::{assert_none, file, source::Source, sources},
};

#[test]
fn the_rules_are_pure() {
    assert_none(impurities(sources()));
}

fn impurities(sources: &[Source]) -> Vec<String> {
    let rules = sources.iter().filter(|source| source.room() == "domain" && !source.is_test());
    let found = rules.flat_map(|source| {
        IMPURE.iter().flat_map(move |word| {
            let in_uses = source.uses.iter().filter(move |found| found.path.join("::").starts_with(word));
            let lines = source.lines_with(word).into_iter().chain(in_uses.map(|found| found.line));
            let lines: std::collections::BTreeSet<usize> = lines.collect();
            lines.into_iter().map(move |line| {
                format!(
                    "src/{}:{line}: `{word}` is not pure. Rules get times, ids and facts as parameters: let the caller \
                     ask the world",
                    source.path
                )
            })
        })
    });
    found.collect()
}

#[test]
fn the_rule_bites() {
    for text in [
        "async fn a() {}",
        "fn a() { let now = std::time::Instant::now(); }",
        "fn a() { Uuid::now_v7() }",
        "fn a() { std::env::var(a) }",
        "use std::{fmt, fs::File};",
        "fn a() { dbg!(Uuid::new_v4()) }",
        "static mut A: u8 = 1;",
    ] {
        assert_eq!(impurities(&file("domain/a.rs", text)).len(), 1, "{text}");
    }
    let close = "// async\nfn awaited(asynchronous: u8, a: &'static mut u8) { \"Mutex\" }";
    assert!(impurities(&file("domain/a.rs", close)).is_empty());
    assert!(impurities(&file("log/a.rs", "async fn a() {}")).is_empty());
}
