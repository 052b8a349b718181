//! The examples of the README and of the pages under `docs/`, run as written except for the address.

use std::{net::SocketAddr, path::Path, process::Stdio, time::Duration};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

use crate::world::{
    PASSWORD, PATIENCE, Person, Wire, World, ask,
    clients::{node_with, output_of},
    eventually,
};

/// The time limit for cargo to build an example.
const BUILD: Duration = Duration::from_secs(600);

/// The pages with examples, in the order in which a newcomer reads them.
const PAGES: [&str; 3] = ["README.md", "docs/clients.md", "docs/microservices.md"];

/// The code blocks of a language, in order, with the address of a node.
fn blocks(language: &str, address: &str) -> Vec<String> {
    let begin = format!("```{language}\n");
    let page = |name| Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    let pages = PAGES.map(|name| std::fs::read_to_string(page(name)).expect("a page")).concat();
    let blocks = pages.split(&begin).skip(1).map(|rest| rest.split("```").next().expect("an end"));
    blocks.map(|block| block.replace("127.0.0.1:8080", address)).collect()
}

/// The only code block that contains a text.
fn block(language: &str, with: &str, address: &str) -> String {
    let mut blocks = blocks(language, address);
    blocks.retain(|block| block.contains(with));
    assert_eq!(blocks.len(), 1, "blocks with {with}");
    blocks.remove(0)
}

/// A running example, and its output.
struct Example {
    _child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Example {
    fn of(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).kill_on_drop(true);
        let mut child = command.spawn().expect("it runs");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        Self { _child: child, lines }
    }

    async fn prints(&mut self, wanted: &str, within: Duration) {
        let printed = async {
            while let Some(line) = self.lines.next_line().await.expect("text") {
                if line.contains(wanted) {
                    return;
                }
            }
            panic!("it ended before it printed {wanted}");
        };
        timeout(within, printed).await.unwrap_or_else(|_| panic!("it does not print {wanted}"));
    }
}

#[tokio::test]
async fn the_examples_for_a_shell_run_in_order() {
    // A stream has no end, so it is stopped after a while.
    const PRELUDE: &str = r#"set -eu
curl() { case $1 in -N) timeout 3 curl "$@" || [ $? = 124 ] ;; *) command curl "$@" ;; esac; }
"#;
    let world = World::start().await;
    let address = world.nodes[0].address;
    let mut examples = blocks("sh", &address.to_string());
    examples.retain(|block| block.contains("say "));
    assert_eq!(examples.len(), 7, "{examples:#?}");
    let mut bash = Command::new("bash");
    bash.args(["-c", &format!("{PRELUDE}{}", examples.concat())]);
    let talking = tokio::spawn(talks_as_ben(address));
    let said = output_of(bash, "").await;
    talking.abort();
    assert!(!said.contains("/problems/"), "something was refused: {said}");
    for wanted in [
        r#""text":"Pizza?""#,
        "Here I am",
        "event: cursor",
        r#""hit":true"#,
        r#""delivered""#,
        r#""member_count":2"#,
        r#""display_name":"ben""#,
    ] {
        assert!(said.contains(wanted), "{wanted} is not in {said}");
    }
    world.finish().await;
}

/// Writes to ana now and then, once both accounts exist, because she waits for events.
async fn talks_as_ben(address: SocketAddr) {
    let login = json!({ "username": "ben", "password": PASSWORD });
    // The story ends this task, so there is no time limit here.
    while !ask(address, Method::POST, "/v1/logins", Some(login.clone())).await.status.is_success() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let ben = Person::logs_in(address, "ben", "").await;
    for number in 0.. {
        let mine = ben.get("/v1/conversations").await.expect(200);
        if let Some(id) = mine["items"][0]["id"].as_str() {
            let message = json!({ "client_id": format!("number-{number:04}"), "text": "Here I am" });
            ben.post(&format!("/v1/conversations/{id}/messages"), message).await.expect(201);
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

#[tokio::test]
async fn the_examples_that_listen_print_what_happens() {
    let mut world = World::start().await;
    let address = world.nodes[0].address;
    let (ana, ben) = (world.person("ana").await, Person::registers(address, "ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let of_page = block("js", "new WebSocket", &address.to_string()) + &block("js", "function check", "");
    let mut of_page = Example::of(node_with(&of_page, &[]).await);
    of_page.prints("ready", PATIENCE).await;

    let rust = block("sh", "--example listen", "");
    let rust = rust.trim().strip_prefix("cargo ").expect("cargo").replace('\'', "\"");
    let (program, rest) = rust.split_once(" -- ").expect("arguments");
    let (user, password) = rest.split_once(' ').expect("two");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(program.split(' ')).args(["--", user, password.trim_matches('"')]);
    cargo.current_dir(env!("CARGO_MANIFEST_DIR")).env("VERBATIM_LISTEN", address.to_string());
    let mut rust = Example::of(cargo);
    rust.prints("listening as", BUILD).await;

    let said = ana.says(&lunch, "Pizza?").await;
    of_page.prints("Pizza?", PATIENCE).await;
    rust.prints("Pizza?", PATIENCE).await;
    // Nothing is projected after the node has stopped, so the views have to be complete before.
    ana.history(&lunch, said["position"].as_u64().expect("position")).await;
    world.nodes[0].stop().await;
    of_page.prints("closed 1012 drain", PATIENCE).await;
    rust.prints("closed: 1012 drain", PATIENCE).await;
    world.finish().await;
}

#[tokio::test]
async fn the_example_that_follows_as_a_page_does_is_told_what_happens_and_why_it_ends() {
    let world = World::start().await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let module = block("js", "from 'eventsource'", &world.nodes[0].address.to_string())
        + "follow(process.argv[1], (told) => console.log(JSON.stringify(told)))";
    let mut follows = Example::of(node_with(&module, &[&ben.token]).await);
    eventually("it follows", || async { world.nodes[0].metric("verbatim_events_followed").await == 1 }).await;
    ana.says(&lunch, "Pizza?").await;
    follows.prints("Pizza?", PATIENCE).await;
    ben.delete("/v1/logins/current").await.expect(204);
    follows.prints("login_revoked", PATIENCE).await;
    world.finish().await;
}

#[tokio::test]
async fn the_example_of_a_microservice_reads_the_log() {
    let world = World::start().await;
    let ana = world.person("ana").await;
    let lunch = ana.starts_group("Lunch", &[]).await;
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join(".verbatim")).expect("a folder");
    let settings = format!("VERBATIM_NATS_URL={}\n", world.nats.url());
    std::fs::write(folder.path().join(".verbatim/dev.env"), settings).expect("a file");
    // The example runs in the folder of the checkout, which has no data of this story.
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let prelude = format!(
        "cargo() {{ shift; exec {:?} run --manifest-path {manifest:?} \"$@\"; }}\n",
        std::env::var("CARGO").unwrap_or_else(|_| "cargo".into())
    );
    let mut bash = Command::new("bash");
    bash.args(["-c", &(prelude + &block("sh", "dev.env", ""))]).current_dir(folder.path());
    let mut example = Example::of(bash);
    example.prints("verbatim.conversation.created.v1", BUILD).await;
    ana.says(&lunch, "Pizza?").await;
    example.prints("Pizza?", PATIENCE).await;
    drop(example);
    world.finish().await;
}

/// Feeds frames to the example. The error is its report of a missing event.
async fn checked(frames: &[&Value]) -> Result<(), String> {
    const LINES: &str = r#"
import { createInterface } from 'node:readline'
try {
  for await (const line of createInterface({ input: process.stdin })) check(JSON.parse(line))
  console.log('all there')
} catch ({ message }) {
  console.log(message)
}
process.exit(0)
"#;
    let module = block("js", "function check", "") + LINES;
    let input: String = frames.iter().map(|frame| format!("{frame}\n")).collect();
    match output_of(node_with(&module, &[]).await, &input).await.trim() {
        "all there" => Ok(()),
        missing => Err(missing.to_owned()),
    }
}

#[tokio::test]
async fn the_example_that_checks_sees_each_hole_also_after_a_cut_and_a_reset() {
    const ALL: &str = "api,gateway,projector";
    let mut world = World::start().await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let last = ana.says(&lunch, "one").await["position"].as_u64().expect("a position");
    ana.history(&lunch, last).await;
    world.nodes[0].stop().await;
    let copy = world.copies_the_log().await;
    world.nodes[0] = world.begins_node(ALL, &[]).await.serves().await;
    let (ana, ben) = (ana.at(world.nodes[0].address), ben.at(world.nodes[0].address));

    let mut first = ben.connects().await;
    for text in ["two", "three", "four"] {
        ana.says(&lunch, text).await;
    }
    first.sees("four").await;
    let mut second = ben.resumes(&first.cursor()).await;
    for text in ["five", "six", "seven"] {
        ana.says(&lunch, text).await;
    }
    second.sees("seven").await;
    second.gets("heartbeat").await;
    let cursor = second.cursor();

    world.nodes[0].stop().await;
    world.restores_the_log(&copy).await;
    let node = world.begins_node(ALL, &[]).await;
    assert_eq!(world.runs(&["rebuild", "all", "--force"]).await.code, Some(0));
    world.nodes[0] = node.serves().await;
    let (ana, ben) = (ana.at(world.nodes[0].address), ben.at(world.nodes[0].address));
    let mut third = ben.resumes(&cursor).await;
    third.gets("reset").await;
    for text in ["2", "3", "4"] {
        ana.says(&lunch, text).await;
    }
    third.sees("4").await;

    let frames: Vec<&Value> = [&first, &second, &third].into_iter().flat_map(|device| &device.seen).collect();
    assert_eq!(checked(&frames).await, Ok(()));
    for lost in ["two", "three", "five", "six", "2", "3"] {
        // Events that the first socket received after its cursor come again, so the lost event is removed everywhere.
        let others: Vec<&Value> =
            frames.iter().filter(|frame| frame["data"]["text"] != lost).copied().collect();
        let missing = checked(&others).await.expect_err(lost);
        assert!(missing.contains("is missing"), "{lost}: {missing}");
    }
    follows_and_is_told_of_the_reset(&ben, &cursor).await;
    world.finish_with_errors(&["the views belong to another log", "the projection has stopped"]).await;
}

/// The example that follows without a socket, from a cursor.
async fn follows(address: &str, token: &str, cursor: &str) -> Example {
    const GO: &str = "
cursor = process.argv[2]
follow(process.argv[1], (told) => console.log(JSON.stringify(told)))
";
    let module = block("js", "export function follow", address) + GO;
    Example::of(node_with(&module, &[token, cursor]).await)
}

async fn follows_and_is_told_of_the_reset(who: &Person, cursor: &str) {
    let mut example = follows(&who.address.to_string(), &who.token, cursor).await;
    example.prints(r#"{"status":410}"#, PATIENCE).await;
}

#[tokio::test]
async fn the_example_that_follows_goes_on_after_a_cut() {
    let world = World::start().await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let (wire, address) = Wire::to(&world.nodes[0].address.to_string()).await;
    let cursor = ben.get("/v1/events").await.expect(200)["next_cursor"].as_str().expect("text").to_owned();
    ana.says(&lunch, "before the cut").await;
    let mut example = follows(&address, &ben.token, &cursor).await;
    example.prints("before the cut", PATIENCE).await;
    wire.cut();
    ana.says(&lunch, "during the cut").await;
    wire.mend();
    example.prints("during the cut", PATIENCE).await;
    ben.delete("/v1/logins/current").await.expect(204);
    example.prints(r#""code":"login_revoked""#, PATIENCE).await;
    drop(example);
    world.finish().await;
}
