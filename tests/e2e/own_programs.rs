//! The example programs that read the log, each run without changes and killed while it works.

use std::{path::PathBuf, process::Stdio, time::Duration};

use reqwest::Method;
use serde_json::json;
use tokio::{process::Command, time::sleep};

use crate::{
    consuming::{Tried, python},
    world::{ALL_SCOPES, Program, World, clients::packages, eventually, key},
};

/// The binary of an example. `cargo test` has already built it; a run of only this story builds it here.
async fn example(name: &str) -> PathBuf {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let mut building = Command::new(cargo);
    building.args(["build", "--quiet", "--locked", "--example", name]);
    assert!(building.status().await.expect("cargo runs").success());
    std::path::Path::new(env!("CARGO_BIN_EXE_verbatim")).with_file_name("examples").join(name)
}

async fn adds(world: &World, name: &str, more: &[&str]) -> String {
    let creds = world.dir().join(format!("{name}.creds")).to_str().expect("text").to_owned();
    let ran = world.runs(&[&["consumers", "add", name, "--out", &creds][..], more].concat()).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    creds
}

#[tokio::test]
async fn the_search_index_in_python_survives_its_own_kill() {
    let mut world = World::in_operator_mode(2).await;
    world.add_node("api,gateway,projector").await;
    let creds = adds(&world, "index", &["--from", "start"]).await;
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/index.py");
    let (python, packages) = (python().await, packages().await.join("python"));
    let runs = |arguments: &[&str]| {
        let mut command = Command::new(python);
        command.arg(&script).args(arguments).env("PYTHONPATH", &packages).env("PYTHONDONTWRITEBYTECODE", "1");
        command.current_dir(world.dir()).kill_on_drop(true);
        command
    };
    let starts = || {
        let mut command = runs(&["index", &creds, world.nats.url(), "CHAT_0", "CHAT_1", "REPLAY"]);
        command.stdout(Stdio::null()).spawn().expect("python runs")
    };
    let finds = async |words: &str| {
        let found = runs(&["--find", words]).output().await.expect("it runs");
        assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
        let mut texts: Vec<String> = String::from_utf8(found.stdout)
            .expect("text")
            .lines()
            .map(|line| line.rsplit('\t').next().expect("a text").to_owned())
            .collect();
        texts.sort();
        texts
    };
    let ana = world.person("ana").await;
    let groups = [ana.starts_group("One", &[]).await, ana.starts_group("Two", &[]).await];
    let mut wanted = Vec::new();
    for n in 60..70 {
        ana.says(&groups[0], &format!("word number{n}")).await;
        wanted.push(format!("word number{n}"));
    }
    let lost = Tried::with(world.nats.url(), std::path::Path::new(&creds), "index").await;
    lost.loses_the_first(&["CHAT_0", "CHAT_1"], "index").await;
    let mut indexing = starts();
    for n in 0..60 {
        for group in &groups {
            ana.says(group, &format!("word number{n:02}")).await;
            wanted.push(format!("word number{n:02}"));
        }
        if n % 20 == 10 {
            eventually("it has begun", || async { !finds("word").await.is_empty() }).await;
            indexing.kill().await.expect("kill");
            indexing = starts();
        }
    }
    wanted.sort();
    eventually("all is in the index", || async { finds("word").await.len() >= wanted.len() }).await;
    assert_eq!(finds("word").await, wanted, "each once");
    let said = ana.says(&groups[0], "a typo").await;
    let path = format!("/v1/conversations/{}/messages/{}", groups[0].id, said["id"].as_str().expect("an id"));
    ana.patch(&path, json!({ "text": "a topic" })).await.expect(200);
    eventually("the edit is there", || async { finds("topic").await.len() == 1 }).await;
    assert!(finds("typo").await.is_empty());
    ana.send(Method::DELETE, &path, None).await.expect(204);
    eventually("the message is gone", || async { finds("topic").await.is_empty() }).await;
    indexing.kill().await.expect("kill");
    world.finish().await;
}

#[tokio::test]
async fn the_moderation_bot_deletes_once_and_survives_its_own_kill() {
    let mut world = World::in_operator_mode(1).await;
    world.add_node("api,gateway,projector").await;
    let operator = Program::bootstraps(&world).await;
    let guard = operator.makes("guard", ALL_SCOPES).await;
    let creds = adds(&world, "guard", &["--lanes", "timeline", "--bot", &guard.person.id]).await;
    let moderate = example("moderate").await;
    let starts = || {
        let mut command = Command::new(&moderate);
        command.args(["guard", &creds, world.nats.url(), "heck"]).stdout(Stdio::null()).kill_on_drop(true);
        command.spawn().expect("the example runs")
    };
    let ana = world.person("ana").await;
    let lunch = ana.starts_group("Lunch", &[]).await;
    ana.invites(&lunch, &guard.person).await.expect(201);
    let role = format!("/v1/conversations/{}/members/{}", lunch.id, guard.person.id);
    ana.patch(&role, json!({ "role": "admin" })).await.expect(200);
    let mut moderating = starts();
    let mut last = 0;
    for n in 0..20 {
        let text = if n % 2 == 0 { format!("oh HECK, {n}") } else { format!("oh well, {n}") };
        let said = ana.sends(&lunch, &key(), &text).await.expect(201);
        last = said["position"].as_u64().expect("a position");
        if n % 7 == 6 {
            moderating.kill().await.expect("kill");
            sleep(Duration::from_millis(100)).await;
            moderating = starts();
        }
    }
    let polite: Vec<_> = (0..20).filter(|n| n % 2 == 1).map(|n| format!("oh well, {n}")).collect();
    eventually("what is forbidden is gone", || async {
        let texts = ana.history(&lunch, last).await;
        !texts.iter().any(|text| text.contains("HECK"))
    })
    .await;
    let texts = ana.history(&lunch, last).await;
    assert_eq!(texts.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>(), polite);
    moderating.kill().await.expect("kill");
    world.finish().await;
}
