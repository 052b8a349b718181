//! The house: who may import whom, who is the home of which outside crate, what names mean and how
//! long a file may be. The tables below are the architecture; change them deliberately, with the
//! reason, when a better wall is found.

#[path = "architecture/source.rs"]
mod source;

use std::{collections::BTreeSet, fs, path::Path};

use source::Source;

/// Where a module stands. Imports point down; siblings never import one another.
#[derive(Clone, Copy, PartialEq)]
enum Floor {
    At(u8),
    /// Beside the stairs: a module of which the table says by whom it may be imported.
    Leaf,
}
use Floor::{At, Leaf};

/// A module directly below the crate, its floor, and which others it may import.
const HOUSE: &[(&str, Floor, &[&str])] = &[
    ("main", At(7), &["cli"]),
    (
        "cli",
        At(7),
        &["admin", "api", "app", "config", "contract", "dev", "domain", "log", "projector", "views"],
    ),
    (
        "app",
        At(6),
        &[
            "accounts",
            "admin",
            "api",
            "commands",
            "config",
            "credentials",
            "domain",
            "feed",
            "gateway",
            "listen",
            "live",
            "log",
            "presence",
            "projector",
            "views",
        ],
    ),
    // The halves of one document, joined.
    ("contract", At(6), &["gateway", "log"]),
    (
        "api",
        At(5),
        &["accounts", "commands", "credentials", "domain", "feed", "live", "log", "presence", "views"],
    ),
    (
        "gateway",
        At(5),
        &[
            "accounts",
            "commands",
            "credentials",
            "domain",
            "feed",
            "listen",
            "live",
            "log",
            "presence",
            "views",
        ],
    ),
    // The edge for operators: is it alive, is it ready, what are its figures.
    ("admin", At(5), &["accounts", "commands", "domain", "log", "views"]),
    // A revocation is told for as long as access tokens live, which `credentials` knows.
    // A retry is known by its key in a view for ever, in the log for two minutes.
    ("commands", At(4), &["credentials", "domain", "live", "log", "views"]),
    // What a user has missed, and how it was: the views tell where to look, the log what happened.
    ("feed", At(4), &["domain", "log", "views"]),
    ("projector", At(4), &["domain", "log", "views"]),
    // It appends presence events, and asks the view whom to tell.
    ("presence", At(4), &["accounts", "domain", "live", "log", "views"]),
    ("live", At(3), &["accounts", "credentials", "domain", "log"]),
    ("log", At(1), &["domain"]),
    ("views", At(1), &["domain"]),
    ("accounts", At(2), &["credentials", "domain"]),
    ("credentials", At(1), &["domain"]),
    ("domain", At(0), &[]),
    ("clock", Leaf, &["domain"]),
    ("telemetry", Leaf, &[]),
    ("supervise", Leaf, &[]),
    ("listen", Leaf, &[]),
    ("dev", Leaf, &[]),
    // Each part knows its own settings; here they get their flags and variables.
    ("config", Leaf, &["credentials", "gateway", "listen", "live", "log", "presence"]),
    ("lib", Leaf, &[]),
];

/// What every module but `domain` may import.
const FOR_ALL: &[&str] = &["clock", "supervise", "telemetry"];

/// Outside crates that any module but `domain` may use.
const ANYWHERE: &[&str] =
    &["bytes", "futures_util", "serde", "serde_json", "thiserror", "time", "tokio", "tracing", "uuid"];

/// All that the pure floor may use.
const OF_DOMAIN: &[&str] =
    &["icu_properties", "schemars", "serde", "serde_json", "time", "unicode_normalization", "uuid"];

/// The homes of all other outside crates.
const HOMES: &[(&str, &[&str])] = &[
    ("argon2", &["credentials"]),
    ("async_nats", &["log", "dev"]),
    ("aws_lc_rs", &["api", "accounts", "credentials", "dev", "feed", "gateway", "log"]),
    ("base64", &["api", "accounts", "credentials", "feed", "gateway", "log"]),
    ("clap", &["cli", "config", "telemetry"]),
    ("http_body_util", &["api", "listen"]),
    ("hyper", &["listen"]),
    ("hyper_util", &["listen"]),
    ("icu_properties", &["domain", "views"]),
    ("jsonwebtoken", &["credentials"]),
    ("libc", &["dev"]),
    ("mimalloc", &["main"]),
    ("percent_encoding", &["log"]),
    ("poem", &["admin", "api", "app", "gateway", "listen"]),
    ("poem_openapi", &["api"]),
    ("prometheus_client", &["telemetry"]),
    ("rustix", &["dev", "gateway"]),
    ("schemars", &["domain", "gateway"]),
    ("serde_path_to_error", &["api"]),
    ("serde_saphyr", &["contract"]),
    ("sqlx", &["accounts", "admin", "app", "dev", "projector", "views"]),
    ("tokio_util", &["app", "cli", "gateway", "listen", "live", "projector", "supervise"]),
    ("tracing_subscriber", &["telemetry"]),
    ("unicode_normalization", &["accounts", "credentials", "domain", "views"]),
    ("unicode_security", &["credentials"]),
    ("utoipa_swagger_ui", &["api"]),
    ("zeroize", &["credentials"]),
];

/// What modules that are not at home in a crate may hand through, and nothing else of it.
const HANDED_THROUGH: &[(&str, &[&str], &[&str])] = &[(
    "sqlx",
    &["PgPool", "Error", "Result"],
    &["api", "cli", "commands", "feed", "gateway", "live", "presence"],
)];

/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &[
    "common",
    "dto",
    "dtos",
    "handler",
    "handlers",
    "helper",
    "helpers",
    "manager",
    "managers",
    "misc",
    "model",
    "models",
    "repository",
    "repositories",
    "service",
    "services",
    "store",
    "stores",
    "util",
    "utils",
];

const MAX_LINES: usize = 500;

/// Files that may be longer, each with its reason.
const LONGER: &[(&str, &str)] = &[];

/// Files with `unsafe`, each with its reason.
const UNSAFE: &[(&str, &str)] = &[
    ("dev/home.rs", "the standard library does not tell who we are"),
    ("dev/process.rs", "children that die with us, and signals other than SIGKILL"),
];

/// Files with tasks that nobody supervises, each with the reason why it needs no supervision: they are short, and
/// their end or their panic is noticed by those that wait for them.
const UNSUPERVISED: &[(&str, &str)] = &[
    ("cli.rs", "it waits for a signal, before there is a process to supervise"),
    ("commands/conversations.rs", "one conversation is read"),
    ("commands/earlier/searched.rs", "one conversation is searched"),
    ("gateway/session/life.rs", "one receipt is told"),
    ("log/write/commit.rs", "one round of appends, each with a deadline"),
    ("projector/reader.rs", "it works for one reader, who ends it and takes over its panic"),
];

/// What a pure function has no need of.
const IMPURE: &[&str] = &[
    "async",
    "await",
    "Instant",
    "SystemTime",
    "now_utc",
    "now_local",
    "now_v7",
    "new_v4",
    "std::env",
    "std::fs",
    "std::io",
    "std::net",
    "std::process",
    "std::thread",
    "static mut",
    "thread_local",
    "Mutex",
    "RwLock",
];

fn sources() -> Vec<Source> {
    source::read_all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
}

#[track_caller]
fn assert_none(broken: Vec<String>) {
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

#[test]
fn every_module_has_its_place_and_imports_point_down() {
    assert_none(imports(&sources()));
}

#[test]
fn the_table_itself_is_a_house() {
    let floor = |name: &str| HOUSE.iter().find(|(room, ..)| *room == name).map(|(_, floor, _)| *floor);
    for (room, at, knows) in HOUSE {
        for other in *knows {
            let below = floor(other).unwrap_or_else(|| panic!("{room} knows {other}, which has no place"));
            let down = match (*at, below) {
                (At(n), At(m)) => m < n || (*room, *other) == ("main", "cli"),
                _ => true,
            };
            assert!(down, "{room} may not import {other}: it stands on the same floor or above");
            assert!(!reaches(other, room), "{room} and {other} would import one another");
        }
    }
}

fn reaches(from: &str, to: &str) -> bool {
    let knows = HOUSE.iter().find(|(room, ..)| *room == from).map_or(&[][..], |(_, _, knows)| knows);
    knows.contains(&to) || knows.iter().any(|next| reaches(next, to))
}

#[test]
fn every_outside_crate_is_at_home_somewhere() {
    let manifest =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).expect("Cargo.toml");
    assert_none(strangers(&sources(), &dependencies(&manifest)));
}

#[test]
fn the_rules_are_pure() {
    assert_none(impurities(&sources()));
}

#[test]
fn names_say_what_is_inside() {
    assert_none(empty_names(&sources()));
}

#[test]
fn a_file_is_one_idea() {
    assert_none(long_files(&sources(), LONGER));
}

#[test]
fn unsafe_stands_only_where_it_must() {
    assert_none(unsafe_places(&sources(), UNSAFE));
}

#[test]
fn nothing_that_ships_unwraps() {
    assert_none(unwraps(&sources()));
}

#[test]
fn tasks_that_live_as_long_as_the_process_are_supervised() {
    assert_none(unsupervised(&sources(), UNSUPERVISED));
}

fn imports(sources: &[Source]) -> Vec<String> {
    let mut broken = BTreeSet::new();
    for source in sources {
        let (path, module) = (&source.path, source.module());
        let Some((_, _, knows)) = HOUSE.iter().find(|(room, ..)| *room == module) else {
            broken.insert(format!(
                "src/{path}: the module `{module}` has no place in the house. Put it into the folder whose question \
                 it answers, or give it a floor in HOUSE of tests/architecture.rs and in DESIGN.md"
            ));
            continue;
        };
        for (line, other) in source.modules() {
            let is_module = HOUSE.iter().any(|(room, ..)| *room == other);
            let may = other == module || knows.contains(&other.as_str());
            let for_all = module != "domain" && FOR_ALL.contains(&other.as_str());
            if is_module && !may && !for_all {
                broken.insert(format!(
                    "src/{path}:{line}: `{module}` may not import `{other}`. Pass what you need as a value from above, \
                     or move the code to the floor that knows both"
                ));
            }
        }
    }
    broken.into_iter().collect()
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
        let (path, module) = (&source.path, source.module());
        for (line, outside) in source.outside().into_iter().filter(|(_, name)| dependencies.contains(name)) {
            let homes = HOMES.iter().find(|(name, _)| *name == outside).map_or(&[][..], |(_, homes)| homes);
            let at_home = match module {
                "domain" => OF_DOMAIN.contains(&outside.as_str()),
                _ => ANYWHERE.contains(&outside.as_str()) || homes.contains(&module),
            };
            if !at_home && !hands_through(source, line, module, &outside) {
                broken.insert(format!(
                    "src/{path}:{line}: `{module}` may not use `{outside}`, which lives in {homes:?}. Ask that module \
                     for what you need, in words of the domain"
                ));
            }
        }
    }
    broken.into_iter().collect()
}

fn hands_through(source: &Source, line: usize, module: &str, outside: &str) -> bool {
    let allowed = HANDED_THROUGH.iter().find(|(name, _, by)| *name == outside && by.contains(&module));
    allowed.is_some_and(|(_, names, _)| {
        let paths = source.paths().into_iter().filter(|(at, path)| *at == line && path[0] == outside);
        paths.into_iter().all(|(_, path)| path.get(1).is_some_and(|name| names.contains(&name.as_str())))
    })
}

fn impurities(sources: &[Source]) -> Vec<String> {
    let rules = sources.iter().filter(|source| source.module() == "domain" && !source.is_test());
    let found = rules.flat_map(|source| {
        IMPURE.iter().flat_map(move |word| {
            Source::lines_with(&source.code, word).into_iter().map(move |line| {
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

fn long_files(sources: &[Source], longer: &[(&str, &str)]) -> Vec<String> {
    let mut broken = Vec::new();
    for source in sources {
        let (path, lines) = (&source.path, source.text.lines().count());
        let excused = longer.iter().any(|(file, _)| file == path);
        if lines > MAX_LINES && !excused {
            broken.push(format!(
                "src/{path} has {lines} lines, more than {MAX_LINES}. Find the second idea in it and give that a file, \
                 or state the reason in LONGER"
            ));
        }
        if lines <= MAX_LINES && excused {
            broken.push(format!("src/{path} has {lines} lines: take it from LONGER"));
        }
    }
    broken
}

fn unsafe_places(sources: &[Source], allowed: &[(&str, &str)]) -> Vec<String> {
    let mut broken = Vec::new();
    for source in sources {
        let path = &source.path;
        if allowed.iter().any(|(file, _)| file == path) {
            continue;
        }
        for word in ["unsafe", "unsafe_code"] {
            for line in Source::lines_with(&source.code, word) {
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
        let lines = Source::lines_with(&source.code_that_ships(), ".unwrap()");
        lines.into_iter().map(move |line| {
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
        let code = source.code_that_ships();
        let lines: Vec<usize> =
            ["tokio::spawn", "task::spawn"].iter().flat_map(|word| Source::lines_with(&code, word)).collect();
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

/// Each rule with a file that breaks it and one that comes close.
mod the_rules_bite {
    use super::*;

    fn file(path: &str, text: &str) -> Vec<Source> {
        vec![Source::new(path, text)]
    }

    #[test]
    fn on_imports() {
        for (path, text) in [
            ("views/members.rs", "use crate::log::Log;"),
            ("log/mod.rs", "fn a() { crate::views::b(); }"),
            ("api/mod.rs", "use crate::{domain::UserId, gateway::Hub};"),
            ("gateway/hub.rs", "#[cfg(test)] mod tests { use crate::api; }"),
            ("domain/ids.rs", "use crate::clock::Clock;"),
            ("commands/send.rs", "use super::super::projector;"),
            ("projector.rs", "use super::commands::Commands;"),
            ("main.rs", "fn main() { verbatim::app::run() }"),
            ("rooms/mod.rs", ""),
            ("utils.rs", ""),
        ] {
            assert_eq!(imports(&file(path, text)).len(), 1, "{path}: {text}");
        }
        for (path, text) in [
            ("views/members.rs", "use crate::{clock, domain::UserId, telemetry}; // crate::log"),
            ("log/append.rs", "use super::commit; use crate::log::subject;"),
            ("api/mod.rs", "const WHY: &str = \"crate::gateway\";"),
        ] {
            assert_eq!(imports(&file(path, text)), Vec::<String>::new(), "{path}: {text}");
        }
    }

    #[test]
    fn on_outside_crates() {
        let names = ["async_nats", "sqlx", "serde", "poem", "time", "tokio"].map(str::to_owned);
        for (path, text) in [
            ("commands/mod.rs", "use async_nats::Client;"),
            ("api/mod.rs", "fn a() { sqlx::query(\"select 1\"); }"),
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

    #[test]
    fn on_purity() {
        for text in
            ["async fn a() {}", "let now = std::time::Instant::now();", "Uuid::now_v7()", "std::env::var(a)"]
        {
            assert_eq!(impurities(&file("domain/a.rs", text)).len(), 1, "{text}");
        }
        assert!(impurities(&file("domain/a.rs", "// async\nfn awaited(asynchronous: u8) {}")).is_empty());
        assert!(impurities(&file("log/a.rs", "async fn a() {}")).is_empty());
    }

    #[test]
    fn on_names() {
        for path in ["log/utils.rs", "api/user_service.rs", "helpers/a.rs", "views/message_store.rs"] {
            assert_eq!(empty_names(&file(path, "")).len(), 1, "{path}");
        }
        assert!(empty_names(&file("log/commonly.rs", "")).is_empty());
    }

    #[test]
    fn on_length() {
        let long = "\n".repeat(MAX_LINES + 1);
        assert_eq!(long_files(&file("log/a.rs", &long), &[]).len(), 1);
        assert_eq!(long_files(&file("log/a.rs", &long[1..]), &[]).len(), 0);
        assert_eq!(long_files(&file("log/a.rs", &long), &[("log/a.rs", "a table")]).len(), 0);
        assert_eq!(long_files(&file("log/a.rs", ""), &[("log/a.rs", "a table")]).len(), 1);
    }

    #[test]
    fn on_unsafe() {
        for text in ["unsafe { a() }", "#[allow(unsafe_code)] fn a() {}"] {
            assert_eq!(unsafe_places(&file("log/a.rs", text), &[("dev/a.rs", "why")]).len(), 1, "{text}");
        }
        assert!(unsafe_places(&file("dev/a.rs", "unsafe { a() }"), &[("dev/a.rs", "why")]).is_empty());
        assert!(unsafe_places(&file("log/a.rs", "fn is_unsafe() {} // unsafe"), &[]).is_empty());
    }

    #[test]
    fn on_supervision() {
        for text in ["fn a() { tokio::spawn(b()); }", "fn a() { tokio::task::spawn(b()); }"] {
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
    fn on_unwrap() {
        assert_eq!(unwraps(&file("log/a.rs", "fn a() { b()\n.unwrap() }")).len(), 1);
        for (path, text) in [
            ("log/a.rs", "fn a() { b().unwrap_or(1) } #[cfg(test)] mod tests { fn c() { d().unwrap() } }"),
            ("log/tests.rs", "fn a() { b().unwrap() }"),
            ("log/a.rs", "//! let a = b().unwrap();"),
        ] {
            assert!(unwraps(&file(path, text)).is_empty(), "{text}");
        }
    }
}
