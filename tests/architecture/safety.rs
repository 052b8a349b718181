//! Shipped code does not end the process silently, and no task ends unnoticed.

use std::collections::BTreeSet;

use crate::{
    UNSAFE, UNSUPERVISED,
    rules::{assert_none, file, source::Source, sources},
};

#[test]
fn unsafe_stands_only_where_it_must() {
    assert_none(unsafe_places(sources(), UNSAFE));
}

#[test]
fn nothing_that_ships_unwraps() {
    assert_none(unwraps(sources()));
}

#[test]
fn tasks_that_live_as_long_as_the_process_are_supervised() {
    assert_none(unsupervised(sources(), UNSUPERVISED));
}

/// `deny.toml` ignores two advisories on the XML reader of poem-openapi for this reason.
#[test]
fn no_xml_is_read() {
    assert_none(xml(sources()));
}

fn unsafe_places(sources: &[Source], allowed: &[(&str, &str)]) -> Vec<String> {
    let mut broken = Vec::new();
    for source in sources {
        let path = &source.path;
        if allowed.iter().any(|(file, _)| file == path) {
            continue;
        }
        for word in ["unsafe", "unsafe_code"] {
            for line in source.lines_with(word) {
                broken.push(format!(
                    "src/{path}:{line}: `{word}` has no place here. Find a safe way, or name the file and the reason in \
                     UNSAFE"
                ));
            }
        }
    }
    broken
}

fn unwraps(sources: &[Source]) -> Vec<String> {
    let found = sources.iter().flat_map(|source| {
        source.lines_that_ship_with(".unwrap()").into_iter().map(move |line| {
            format!(
                "src/{}:{line}: `.unwrap()` takes the process down without a word. Return an error, or `expect` with \
                 the sentence why it cannot fail",
                source.path
            )
        })
    });
    found.collect()
}

fn unsupervised(sources: &[Source], allowed: &[(&str, &str)]) -> Vec<String> {
    let mut broken = Vec::new();
    for source in sources {
        let path = &source.path;
        let by_path = ["tokio::spawn", "task::spawn"].map(|word| source.lines_that_ship_with(word)).concat();
        let spawns =
            |named: &[String]| named[0] == "tokio" && named.last().is_some_and(|last| last == "spawn");
        let by_use = source.uses.iter().filter(|found| found.ships && spawns(&found.path));
        let lines: BTreeSet<usize> = by_path.into_iter().chain(by_use.map(|found| found.line)).collect();
        let excused = allowed.iter().any(|(file, _)| file == path);
        if lines.is_empty() && excused {
            broken.push(format!("src/{path} spawns no task: take it from UNSUPERVISED"));
        }
        for line in lines.into_iter().filter(|_| !excused) {
            broken.push(format!(
                "src/{path}:{line}: nobody notices when this task panics. Spawn it with the Supervisor, or, if it is \
                 short, name the file and the reason in UNSUPERVISED"
            ));
        }
    }
    broken
}

fn xml(sources: &[Source]) -> Vec<String> {
    let found = sources.iter().flat_map(|source| {
        let words = ["Xml", "quick_xml"].map(|word| source.lines_with(word)).concat();
        let imports = source.uses.iter().filter(|found| found.path.iter().any(|part| part == "Xml"));
        let lines: BTreeSet<usize> = words.into_iter().chain(imports.map(|found| found.line)).collect();
        lines.into_iter().map(move |line| {
            format!(
                "src/{}:{line}: the XML reader below poem-openapi has two advisories that `deny.toml` ignores because \
                 nothing reaches it. Use JSON",
                source.path
            )
        })
    });
    found.collect()
}

#[test]
fn the_rule_bites_on_xml() {
    for text in [
        "fn a(body: payload::Xml<B>) {}",
        "use poem_openapi::payload::{Json, Xml};",
        "use quick_xml::Reader;",
    ] {
        assert_eq!(xml(&file("api/a.rs", text)).len(), 1, "{text}");
    }
    assert!(xml(&file("api/a.rs", "fn a() {} // no Xml")).is_empty());
}

#[test]
fn the_rule_bites_on_unsafe() {
    for text in
        ["fn b() { unsafe { a() } }", "#[allow(unsafe_code)] fn a() {}", "fn b() { dbg!(unsafe { a() }) }"]
    {
        assert_eq!(unsafe_places(&file("log/a.rs", text), &[("dev/a.rs", "why")]).len(), 1, "{text}");
    }
    assert!(unsafe_places(&file("dev/a.rs", "fn b() { unsafe { a() } }"), &[("dev/a.rs", "why")]).is_empty());
    assert!(unsafe_places(&file("log/a.rs", "fn is_unsafe() {} // unsafe"), &[]).is_empty());
}

#[test]
fn the_rule_bites_on_supervision() {
    for text in [
        "fn a() { tokio::spawn(b()); }",
        "fn a() { tokio::task::spawn(b()); }",
        "use tokio::{select, task::spawn}; fn a() { spawn(b()); }",
        "fn a() { select! { _ = b => { tokio::spawn(b()); } } }",
    ] {
        assert_eq!(unsupervised(&file("log/a.rs", text), &[]).len(), 1, "{text}");
        assert!(unsupervised(&file("log/a.rs", text), &[("log/a.rs", "why")]).is_empty());
    }
    for text in [
        "fn a() { tasks.spawn(\"b\", b()); tokio::task::spawn_blocking(c); }",
        "#[cfg(test)] mod tests { fn a() { tokio::spawn(b()); } }",
    ] {
        assert!(unsupervised(&file("log/a.rs", text), &[]).is_empty(), "{text}");
    }
    assert_eq!(unsupervised(&file("log/a.rs", ""), &[("log/a.rs", "why")]).len(), 1);
}

#[test]
fn the_rule_bites_on_unwrap() {
    assert_eq!(unwraps(&file("log/a.rs", "fn a() { b()\n.unwrap() }")).len(), 1);
    assert_eq!(unwraps(&file("log/a.rs", "fn a() { vec![b().unwrap()] }")).len(), 1);
    for (path, text) in [
        ("log/a.rs", "fn a() { b().unwrap_or(1) } #[cfg(test)] mod tests { fn c() { d().unwrap() } }"),
        ("log/tests.rs", "fn a() { b().unwrap() }"),
        ("log/a.rs", "//! let a = b().unwrap();"),
    ] {
        assert!(unwraps(&file(path, text)).is_empty(), "{text}");
    }
}
