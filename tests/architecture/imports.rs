//! Every folder has its floor, and imports point down.

use std::collections::BTreeSet;

use crate::{
    FOR_ALL, Floor, HOUSE,
    rules::{assert_none, file, source::Source, sources},
};

#[test]
fn every_module_has_its_place_and_imports_point_down() {
    assert_none(imports(sources()));
}

#[test]
fn the_table_itself_is_a_house() {
    let floor = |name: &str| HOUSE.iter().find(|(room, ..)| *room == name).map(|(_, floor, _)| *floor);
    for (room, at, knows) in HOUSE {
        for other in *knows {
            let below = floor(other).unwrap_or_else(|| panic!("{room} knows {other}, which has no place"));
            let down = match (*at, below) {
                (Floor::At(n), Floor::At(m)) => m < n || (*room, *other) == ("main", "cli"),
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

fn imports(sources: &[Source]) -> Vec<String> {
    let mut broken = BTreeSet::new();
    for source in sources {
        let (path, room) = (&source.path, source.room());
        let Some((_, _, knows)) = HOUSE.iter().find(|(name, ..)| *name == room) else {
            broken.insert(format!(
                "src/{path}: the module `{room}` has no place in the house. Put it into the folder whose question it \
                 answers, or give it a floor in HOUSE of tests/architecture.rs and in ARCHITECTURE.md"
            ));
            continue;
        };
        for (line, scope, named) in source.paths() {
            let Some(other) = source.absolute(&scope, &named).and_then(|way| way.first().cloned()) else {
                continue;
            };
            let is_room = HOUSE.iter().any(|(name, ..)| *name == other);
            let may = other == room || knows.contains(&other.as_str());
            let for_all = room != "domain" && FOR_ALL.contains(&other.as_str());
            if is_room && !may && !for_all {
                broken.insert(format!(
                    "src/{path}:{line}: `{room}` may not import `{other}`. Pass what you need as a value from above, or \
                     move the code to the floor that knows both"
                ));
            }
        }
    }
    broken.into_iter().collect()
}

#[test]
fn the_rule_bites() {
    for (path, text) in [
        ("views/members.rs", "use crate::log::Log;"),
        ("log/mod.rs", "fn a() { crate::views::b(); }"),
        ("log/mod.rs", "fn a() { format!(\"{}\", crate::views::b()); }"),
        ("api/mod.rs", "use crate::{domain::UserId, gateway::Hub};"),
        ("gateway/hub.rs", "#[cfg(test)] mod tests { use crate::api; }"),
        ("domain/ids.rs", "use crate::clock::Clock;"),
        ("commands/send.rs", "use super::super::projector;"),
        ("projector.rs", "use super::commands::Commands;"),
        ("projector.rs", "mod inline { use super::super::commands::Commands; }"),
        ("main.rs", "fn main() { verbatim::app::run() }"),
        ("rooms/mod.rs", ""),
        ("utils.rs", ""),
    ] {
        assert_eq!(imports(&file(path, text)).len(), 1, "{path}: {text}");
    }
    for (path, text) in [
        ("views/members.rs", "use crate::{clock, domain::UserId, telemetry}; // crate::log"),
        ("log/append.rs", "use super::commit; use crate::log::subject;"),
        ("projector.rs", "mod inline { use super::commands::Commands; }"),
        ("api/mod.rs", "const WHY: &str = \"crate::gateway\";"),
    ] {
        assert_eq!(imports(&file(path, text)), Vec::<String>::new(), "{path}: {text}");
    }
}
