//! Inside a folder, the same rule holds as between folders: a room depends only on rooms below it.

use crate::{
    NESTED,
    rules::{assert_none, files::Files, source::Source, sources},
};

#[test]
fn the_rooms_of_a_folder_have_floors_too() {
    assert_none(stairs(sources()));
}

#[test]
fn the_table_names_rooms_that_stand() {
    for (folder, floors) in NESTED {
        for room in floors.iter().copied().flatten() {
            let place = format!("{folder}/{room}");
            let stands = sources().iter().any(|source| room_of(&source.path, folder) == Some(room));
            assert!(stands, "NESTED names src/{place}, which is not there");
        }
    }
}

fn stairs(sources: &[Source]) -> Vec<String> {
    let needs = Files::of(sources).needs();
    let mut broken = Vec::new();
    for (folder, floors) in NESTED {
        let floor = |room: &str| floors.iter().position(|rooms| rooms.contains(&room));
        for (file, others) in &needs {
            let Some(room) = room_of(file, folder) else { continue };
            let Some(at) = floor(room) else {
                broken.push(format!("src/{file}: give `{room}` a floor in NESTED of tests/architecture.rs"));
                continue;
            };
            for (other, line) in others {
                let Some(needed) = room_of(other, folder).filter(|needed| *needed != room) else { continue };
                if floor(needed).is_none_or(|below| below >= at) {
                    broken.push(format!(
                        "src/{file}:{line}: in `{folder}`, `{room}` may not need `{needed}` (src/{other}). Move what \
                         both need below, or pass it as a value"
                    ));
                }
            }
        }
    }
    broken
}

/// The folder or file below `folder` that a file belongs to. `mod` stands for the whole folder.
fn room_of<'a>(file: &'a str, folder: &str) -> Option<&'a str> {
    let below = file.strip_prefix(folder)?.strip_prefix('/')?;
    below.split('/').next().map(|room| room.trim_end_matches(".rs"))
}

#[test]
fn the_rule_bites() {
    let broken = |files: &[(&str, &str)]| {
        let sources: Vec<Source> = files.iter().map(|(path, text)| Source::new(path, text)).collect();
        stairs(&sources).len()
    };
    let (wire, frames) = (("gateway/wire/socket.rs", ""), ("gateway/frames/close.rs", ""));
    assert_eq!(broken(&[wire, ("gateway/frames/close.rs", "use crate::gateway::wire::socket;")]), 0);
    assert_eq!(broken(&[frames, ("gateway/wire/socket.rs", "use crate::gateway::frames::close;")]), 1);
    let facade = ("gateway/frames/mod.rs", "pub use close::Close;");
    assert_eq!(
        broken(&[frames, facade, ("gateway/wire/socket.rs", "use crate::gateway::frames::Close;")]),
        1
    );
    assert_eq!(broken(&[("gateway/elsewhere.rs", "")]), 1);
}
