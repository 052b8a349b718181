//! Each operation, each frame of a client, each setting and each command has a case.

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;

use super::{catalogue::cases, frames::Frame, process::Start, rest::Request};
use crate::{
    matrix::{frames, operations},
    world::command,
};

const REQUESTS: [&str; 2] =
    [include_str!("../../bad_input/accounts.toml"), include_str!("../../bad_input/requests.toml")];
const FRAMES: &str = include_str!("../../bad_input/frames.toml");
const CONFIGURATION: &str = include_str!("../../bad_input/configuration.toml");
const COMMAND_LINE: &str = include_str!("../../bad_input/command_line.toml");

/// The input of each case of a table.
fn inputs<C: DeserializeOwned>(table: &str) -> Vec<C> {
    cases(table).into_iter().map(|case| case.input).collect()
}

/// Whether a path matches a template. More exact templates come first.
fn fits(path: &str, template: &str) -> bool {
    let (path, template): (Vec<_>, Vec<_>) = (path.split('/').collect(), template.split('/').collect());
    path.len() == template.len()
        && path.iter().zip(template).all(|(part, place)| place.starts_with('{') || *part == place)
}

#[test]
fn every_operation_has_a_case() {
    let asked: Vec<Request> = REQUESTS.iter().flat_map(|table| inputs(table)).collect();
    let operations = operations();
    let missing: BTreeSet<&String> = operations
        .iter()
        .filter(|(_, (method, template))| {
            !asked.iter().any(|ask| {
                let (of, path) = ask.ask.split_once(' ').expect("a method and a path");
                of == method.as_str() && fits(path.split('?').next().unwrap_or(path), template)
            })
        })
        .map(|(id, _)| id)
        .collect();
    assert!(missing.is_empty(), "operations without a case: {missing:?}");
}

#[test]
fn every_frame_of_a_client_has_a_case() {
    let told = inputs::<Frame>(FRAMES);
    let missing: Vec<&str> = frames()
        .into_iter()
        .filter(|op| !told.iter().any(|frame| frame.frame.contains(&format!(r#""op":"{op}""#))))
        .collect();
    assert!(missing.is_empty(), "frames without a case: {missing:?}");
}

#[tokio::test]
async fn every_setting_and_every_command_has_a_case() {
    let said = async |args: &[&str]| {
        let said = command().args(args).output().await.expect("the program runs");
        String::from_utf8(said.stdout).expect("text")
    };
    let (of_serve, of_dev) = (said(&["serve", "--help"]).await, said(&["dev", "--help"]).await);
    let settings: BTreeSet<&str> = [&of_serve, &of_dev]
        .iter()
        .flat_map(|help| help.split("[env: ").skip(1))
        .filter_map(|rest| rest.split([']', '=']).next())
        .collect();
    assert!(settings.len() > 40, "{settings:?}");
    let (starts, lines) = (inputs::<Start>(CONFIGURATION), inputs::<Start>(COMMAND_LINE));
    let missing: Vec<&&str> = settings
        .iter()
        .filter(|setting| !starts.iter().any(|start| start.env.contains_key(**setting)))
        .collect();
    assert!(missing.is_empty(), "settings without a case: {missing:?}");

    let help = said(&["--help"]).await;
    let commands =
        help.split("Commands:\n").nth(1).and_then(|rest| rest.split("\n\n").next()).expect("commands");
    let commands = commands.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    let is_tried = |command: &&str| {
        starts.iter().chain(&lines).any(|start| start.args.first().is_some_and(|first| first == command))
    };
    let missing: Vec<&str> = commands
        .filter(|command| !command.is_empty() && *command != "help")
        .filter(|command| !is_tried(command))
        .collect();
    assert!(missing.is_empty(), "commands without a case: {missing:?}");
}
