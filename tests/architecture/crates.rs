//! Only a few folders may use an outside crate.

use std::{collections::BTreeSet, fs, path::Path};

use crate::{
    ANYWHERE, HANDED_THROUGH, HOMES, OF_DOMAIN,
    rules::{assert_none, file, source::Source, sources},
};

#[test]
fn every_outside_crate_is_at_home_somewhere() {
    let manifest =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).expect("Cargo.toml");
    assert_none(strangers(sources(), &dependencies(&manifest)));
}

fn dependencies(manifest: &str) -> Vec<String> {
    let section = manifest.split("[dependencies]").nth(1).unwrap_or_default();
    let lines = section.lines().take_while(|line| !line.starts_with('['));
    let names = lines.filter_map(|line| line.split_once(" = ")).map(|(name, _)| name.trim());
    names.filter(|name| !name.is_empty() && !name.contains(' ')).map(|name| name.replace('-', "_")).collect()
}

fn strangers(sources: &[Source], dependencies: &[String]) -> Vec<String> {
    let mut broken = BTreeSet::new();
    let known = |name: &str| ANYWHERE.contains(&name) || HOMES.iter().any(|(outside, _)| *outside == name);
    for name in dependencies.iter().filter(|name| !known(name)) {
        broken.insert(format!(
            "Cargo.toml: `{name}` has no home. Say in HOMES which module keeps it to itself"
        ));
    }
    for source in sources {
        let (file, room) = (&source.path, source.room());
        for (line, path) in source.outside() {
            let outside = path[0].as_str();
            if !dependencies.iter().any(|name| name == outside) {
                continue;
            }
            let homes = HOMES.iter().find(|(name, _)| *name == outside).map_or(&[][..], |(_, homes)| homes);
            let at_home = match room {
                "domain" => OF_DOMAIN.contains(&outside),
                _ => ANYWHERE.contains(&outside) || homes.contains(&room),
            };
            if !at_home && !is_handed_through(room, &path) {
                broken.insert(format!(
                    "src/{file}:{line}: `{room}` may not use `{outside}`, which lives in {homes:?}. Ask that module for \
                     what you need, in words of the domain"
                ));
            }
        }
    }
    broken.into_iter().collect()
}

fn is_handed_through(room: &str, path: &[String]) -> bool {
    let allowed = HANDED_THROUGH.iter().filter(|(name, _, by)| *name == path[0] && by.contains(&room));
    path.get(1).is_some_and(|item| allowed.into_iter().any(|(_, items, _)| items.contains(&item.as_str())))
}

#[test]
fn the_rule_bites() {
    let names = ["async_nats", "sqlx", "serde", "poem", "time", "tokio"].map(str::to_owned);
    for (path, text) in [
        ("commands/mod.rs", "use async_nats::Client;"),
        ("commands/mod.rs", "use async_nats as nats;"),
        ("api/mod.rs", "fn a() { sqlx::query(\"select 1\"); }"),
        ("api/mod.rs", "fn a() { vec![sqlx::query(\"select 1\")]; }"),
        ("commands/send.rs", "use sqlx::{Error, PgPool, query};"),
        ("accounts/mod.rs", "use sqlx::PgPool; use poem::Request;"),
        ("domain/ids.rs", "#[tokio::test] fn a() {}"),
    ] {
        assert_eq!(strangers(&file(path, text), &names).len(), 1, "{path}: {text}");
    }
    for (path, text) in [
        ("commands/mod.rs", "use sqlx::{Error, PgPool}; fn a() -> sqlx::Error {}"),
        ("domain/time.rs", "use time::OffsetDateTime;"),
        ("dev/ready.rs", "async fn a() { async_nats::connect(\"\").await; }"),
    ] {
        assert_eq!(strangers(&file(path, text), &names), Vec::<String>::new(), "{path}: {text}");
    }
    assert_eq!(strangers(&[], &["left_pad".to_owned()]).len(), 1);
    assert_eq!(
        dependencies("[dependencies]\nhttp-body-util = \"0\"\nb = { x = [\n  \"y\",\n] }\n[dev]\nc = 1"),
        ["http_body_util", "b"]
    );
}
