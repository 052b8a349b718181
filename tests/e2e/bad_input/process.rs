//! Settings and command lines with which the program refuses to start.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, stream};
use serde::Deserialize;
use tokio::time::timeout;

use super::catalogue::{Case, Verdict, cases};
use crate::world::{PATIENCE, World, template::Template};

/// The number of programs that run at once.
const AT_ONCE: usize = 4;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    #[serde(default = "check")]
    pub args: Vec<String>,
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Files in the folder `${dir}`.
    #[serde(default)]
    files: BTreeMap<String, String>,
    exit: i32,
    says: Vec<String>,
}

fn check() -> Vec<String> {
    vec!["check".to_owned()]
}

/// Tries each case of a table with the servers of a world, and returns all differences.
pub async fn plays(world: &World, table: &str) -> Vec<String> {
    stream::iter(cases::<Start>(table))
        .map(async |Case { name, input, .. }| {
            tries(world, &input).await.err().map(|what| format!("{name}: {what}"))
        })
        .buffer_unordered(AT_ONCE)
        .filter_map(async |different| different)
        .collect()
        .await
}

async fn tries(world: &World, case: &Start) -> Verdict {
    let dir = tempfile::tempdir().expect("a folder");
    let template = Template::default().with("dir", dir.path().to_str().expect("a path"));
    for (name, content) in &case.files {
        std::fs::write(dir.path().join(name), template.fill_bytes(content)).expect("a file");
    }
    let args: Vec<String> = case.args.iter().map(|arg| template.fill(arg)).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let env: Vec<_> = case.env.iter().map(|(name, value)| (&**name, template.fill(value))).collect();
    let env: Vec<_> = env.iter().map(|(name, value)| (*name, &**value)).collect();
    let ran = timeout(PATIENCE, world.runs_with(&args, &env)).await.map_err(|_| "it has begun")?;
    let said = format!("{}{}", ran.stdout, ran.stderr);
    let missing: Vec<&String> =
        case.says.iter().filter(|part| !said.contains(&template.fill(part))).collect();
    if ran.code != Some(case.exit) || !missing.is_empty() || said.contains("panicked") {
        return Err(format!("it ends with {:?} and does not say {missing:?}: {said}", ran.code));
    }
    Ok(())
}

async fn holds(table: &str) {
    let world = World::empty(1).await;
    let different = plays(&world, table).await;
    assert!(different.is_empty(), "{}", different.join("\n"));
    world.finish_without_views().await;
}

#[tokio::test]
async fn settings_that_are_wrong_are_refused_at_the_start() {
    holds(include_str!("../../bad_input/configuration.toml")).await;
}

#[tokio::test]
async fn command_lines_that_are_wrong_are_refused() {
    holds(include_str!("../../bad_input/command_line.toml")).await;
}
