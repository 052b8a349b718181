//! Consumers: somebody else's programs, added by one command.

use std::{
    collections::BTreeSet, fs, os::unix::fs::PermissionsExt as _, path::Path, process::Stdio, time::Duration,
};

use async_nats::{
    Client, ConnectOptions, Event, ServerError,
    jetstream::{
        self, AckKind,
        consumer::{Consumer, pull},
    },
};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
    sync::{OnceCell, watch},
    time::timeout,
};
use verbatim::{clock::Clock, dev::NatsUser};

use crate::{
    command_line::dev,
    world::{
        ALL_SCOPES, Inside, NatsReply, PATIENCE, Person, Program, World,
        clients::{node, node_with, output_of},
        command, eventually, key, signal,
    },
};

/// The program in Rust is only compiled: it is a template whose gaps are strings and comments.
#[path = "../../src/consumers/snippets/consumer.rs.txt"]
#[allow(dead_code, reason = "nothing runs it here")]
mod consumer;

/// A Python with the packages that the hint of the command names.
pub async fn python() -> &'static Path {
    static PYTHON: OnceCell<tempfile::TempDir> = OnceCell::const_new();
    let made = PYTHON
        .get_or_init(|| async {
            let dir = tempfile::tempdir().expect("a folder");
            let run = async |program: &str, arguments: &[&str]| {
                let ended = Command::new(program).args(arguments).output().await.expect("it runs");
                assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
            };
            let at = dir.path().to_str().expect("text");
            run("python3", &["-m", "venv", at]).await;
            run(&format!("{at}/bin/pip"), &["install", "-q", "nats-py[nkeys]==2.16.0"]).await;
            dir
        })
        .await;
    Box::leak(made.path().join("bin/python3").into_boxed_path())
}

/// A folder with a program in Go as a binary, built with nats.go as Debian has it; nothing where that cannot be had.
async fn built_by_go(program: &str) -> Option<tempfile::TempDir> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/go.sh");
    let found = Command::new("sh").arg(script).stderr(Stdio::inherit()).output().await.expect("sh runs");
    assert!(found.status.success(), "tests/clients/go.sh failed: {}", found.status);
    let found = String::from_utf8(found.stdout).expect("text");
    let line = |key: &str| found.lines().find_map(|line| line.strip_prefix(key));
    let (go, gopath) = (line("go=")?, line("gopath=")?);
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join("main.go"), program).expect("a program");
    // The compiler does no more than it has to: most of what it compiles is the library of Go itself.
    let mut building = Command::new(go);
    building.args(["build", "-gcflags=all=-N -l", "-ldflags=-s -w", "-o", "reader", "main.go"]);
    building.envs([("GO111MODULE", "off"), ("GOTOOLCHAIN", "local"), ("CGO_ENABLED", "0"), ("GOFLAGS", "")]);
    building.env("GOPATH", gopath).env("GOCACHE", Path::new(gopath).with_file_name("cache"));
    let built = building.current_dir(dir.path()).output().await.expect("go runs");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    Some(dir)
}

/// A consumer's connection, which keeps what it was refused.
pub struct Tried {
    pub client: Client,
    refused: watch::Receiver<BTreeSet<String>>,
    pub cut: watch::Receiver<bool>,
}

impl Tried {
    pub async fn with(url: &str, creds: &Path, name: &str) -> Self {
        let (told, refused) = watch::channel(BTreeSet::new());
        let (cuts, cut) = watch::channel(false);
        let creds = fs::read_to_string(creds).expect("credentials");
        let options = ConnectOptions::with_credentials(&creds)
            .expect("credentials")
            .custom_inbox_prefix(format!("_INBOX_{name}"))
            .event_callback(move |event| {
                match event {
                    Event::ServerError(ServerError::Other(said)) => {
                        told.send_modify(|all| _ = all.insert(said));
                    }
                    Event::Disconnected => _ = cuts.send_replace(true),
                    _ => {}
                }
                std::future::ready(())
            });
        Self { client: options.connect(url).await.expect("the consumer gets in"), refused, cut }
    }

    pub async fn durable(&self, stream: &str, name: &str) -> Consumer<pull::Config> {
        let log = jetstream::with_prefix(self.client.clone(), "log.api");
        let stream = log.get_stream_no_info(stream).await.expect("no question is asked");
        stream.get_consumer(name).await.expect("its own durable")
    }

    /// Takes some events and does not keep them: they come again in 4 seconds, behind those that follow them. It is what
    /// happens to the events of a process that is killed.
    pub async fn loses_the_first(&self, streams: &[&str], name: &str) {
        for stream in streams {
            let durable = self.durable(stream, name).await;
            let mut events = durable.fetch().max_messages(8).messages().await.expect("events");
            while let Some(event) = events.next().await {
                let again = AckKind::Nak(Some(Duration::from_secs(4)));
                event.expect("an event").ack_with(again).await.expect("sent");
            }
        }
        self.client.flush().await.expect("heard");
    }

    async fn is_told(&self, what: &str) {
        let mut refused = self.refused.clone();
        let told =
            timeout(PATIENCE, refused.wait_for(|all| all.iter().any(|said| said.contains(what)))).await;
        assert!(told.is_ok(), "{what} is not refused: {:?}", self.refused.borrow());
    }

    async fn may_not_publish(&self, subject: &str, payload: &str) {
        let inbox = self.client.new_inbox();
        let sent = self.client.publish_with_reply(subject.to_owned(), inbox, payload.to_owned().into());
        sent.await.expect("sent");
        self.is_told(&format!("Permissions Violation for Publish to \"{subject}\"")).await;
    }

    async fn may_not_subscribe(&self, subject: &str) {
        let _messages = self.client.subscribe(subject.to_owned()).await.expect("sent");
        self.is_told(&format!("Permissions Violation for Subscription to \"{subject}\"")).await;
    }
}

pub async fn added(world: &World, name: &str, arguments: &[&str]) -> std::path::PathBuf {
    let file = world.dir().join(format!("{name}.creds"));
    let file_name = file.to_str().expect("text");
    let ran = world.runs(&[&["consumers", "add", name, "--out", file_name][..], arguments].concat()).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    file
}

pub async fn listed(world: &World, name: &str) -> Value {
    let ran = world.runs(&["consumers", "show", name]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    serde_json::from_str(&ran.stdout).expect("JSON")
}

pub async fn next(durable: &Consumer<pull::Config>) -> jetstream::Message {
    let mut events = durable.messages().await.expect("events");
    timeout(PATIENCE, events.next()).await.expect("in time").expect("one").expect("an event")
}

#[tokio::test]
async fn the_program_of_a_new_consumer_runs_unchanged() {
    let folder = crate::world::folder();
    let mut dev = dev(folder.path()).await;
    let ana = Person::registers(dev.address, "ana").await;
    let notes = ana.starts_group("Notes", &[]).await;
    ana.says(&notes, "read me").await;
    let pid = fs::read_to_string(folder.path().join("nats/pid")).expect("the process of nats-server");
    let programs = [("t1", "python"), ("t2", "ts"), ("t3", "go")].into_iter();
    let programs = programs.flat_map(|(name, language)| {
        [(name.to_owned(), language, None), (format!("{name}-alone"), language, Some("--exclusive"))]
    });
    let (mut said, mut folders) = (1, Vec::new());
    for (name, language, exclusive) in programs {
        let add = || async {
            let ended = command()
                .args(["consumers", "add", &name, "--from", "start", "--lang", language])
                .args(exclusive)
                .env("VERBATIM_DATA_DIR", folder.path())
                .current_dir(folder.path())
                .output();
            let ended = ended.await.expect("it runs");
            assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
            String::from_utf8(ended.stdout).expect("text")
        };
        let program = add().await;
        let creds = fs::metadata(folder.path().join(format!("{name}.creds"))).expect("credentials");
        assert_eq!(creds.permissions().mode() & 0o777, 0o600);
        assert_eq!(add().await, "", "the same again is no change, and shows no program");

        let mut program = match language {
            "python" => {
                fs::write(folder.path().join("program.py"), program).expect("a program");
                let mut command = Command::new(python().await);
                command.arg("program.py").current_dir(folder.path());
                command
            }
            "go" => {
                let Some(built) = built_by_go(&program).await else { continue };
                folders.push(built);
                Command::new(folders[folders.len() - 1].path().join("reader"))
            }
            _ => node_with(&output_of(node("transpile.mjs", &[]).await, &program).await, &[]).await,
        };
        let mut running = program.stdout(Stdio::piped()).kill_on_drop(true).spawn().expect("it runs");
        let mut lines = BufReader::new(running.stdout.take().expect("piped")).lines();
        let mut kind = async || {
            let line =
                timeout(PATIENCE, lines.next_line()).await.expect("in time").expect("read").expect("a line");
            line.split(' ').nth(2).expect("a type").to_owned()
        };
        assert_eq!(kind().await, "conversation.created", "{language}");
        for _ in 0..said {
            assert_eq!(kind().await, "message.sent", "{language}");
        }
        ana.says(&notes, "and me").await;
        assert_eq!(kind().await, "message.sent", "{language} goes on");
        said += 1;
    }
    let now = fs::read_to_string(folder.path().join("nats/pid")).expect("the process of nats-server");
    assert_eq!(now, pid, "nats-server was not started again");
    signal(dev.child.id().expect("pid"), "INT").await;
    assert!(dev.child.wait().await.expect("wait").success());
}

#[tokio::test]
async fn a_consumer_gets_its_events_and_may_do_nothing_else() {
    let mut world = World::in_operator_mode(4).await;
    world.add_node("api,gateway,projector").await;
    let ana = world.person("ana").await;
    let notes = ana.starts_group("Notes", &[]).await;
    ana.says(&notes, "one").await;
    let stream = format!("CHAT_{}", usize::from_str_radix(&notes.id[34..], 16).expect("hex") * 4 / 256);
    let whole = added(&world, "whole", &["--from", "start"]).await;
    let some = added(&world, "some", &["--from", "start", "--conversations", &notes.id]).await;
    let url = world.nats.url().to_owned();
    let operator = jetstream::new(world.nats.connect(NatsUser::Operator).await.expect("NATS"));
    let head =
        async || operator.get_stream(&stream).await.expect("the stream").cached_info().state.last_sequence;
    let before = head().await;

    for (name, file) in [("whole", &whole), ("some", &some)] {
        let tried = Tried::with(&url, file, name).await;
        let durable = tried.durable(&stream, name).await;
        let event = next(&durable).await;
        assert_eq!(event.info().expect("info").stream_sequence, 1);
        // Both forms of an acknowledgement.
        let reply = event.reply.clone().expect("a reply subject");
        let tokens = reply.strip_prefix("$JS.ACK.").expect("an acknowledgement");
        tried.client.publish(format!("$JS.ACK._.ABCDEF.{tokens}.random"), "+ACK".into()).await.expect("sent");
        event.double_ack().await.expect("acknowledged");
        assert!(tried.refused.borrow().is_empty(), "{:?}", tried.refused.borrow());
        let other = if name == "whole" { "some" } else { "whole" };
        for subject in [
            format!("chat.00.{}.timeline", notes.id),
            "audit.account.x".into(),
            "$JS.API.STREAM.NAMES".into(),
            "$JS.API.STREAM.DELETE.CHAT_0".into(),
            format!("verbatim.commands.{other}.send"),
            format!("verbatim.commands.{name}.send"),
            format!("log.api.CONSUMER.MSG.NEXT.{stream}.{other}"),
            format!("log.api.CONSUMER.INFO.{stream}.{other}"),
            format!("$JS.ACK.{stream}.{other}.1.1.1.1.0"),
            format!("$JS.ACK._.ABCDEF.{stream}.{other}.1.1.1.1.0.random"),
        ] {
            tried.may_not_publish(&subject, "{}").await;
        }
        for subject in [">", "_INBOX.>", "chat.>", "$SYS.>", &format!("_INBOX_{other}.>")] {
            tried.may_not_subscribe(subject).await;
        }
        let ask = format!("log.api.STREAM.INFO.{stream}");
        match name {
            // One that reads everything may know the subjects of everything.
            "whole" => {
                _ = tried.client.request(ask, r#"{"subjects_filter":">"}"#.into()).await.expect("an answer");
            }
            _ => tried.may_not_publish(&ask, r#"{"subjects_filter":">"}"#).await,
        }
    }
    assert_eq!(head().await, before, "the log is as it was");

    // The same name with another filter says what differs, and changes nothing.
    let ran = world.runs(&["consumers", "add", "whole", "--lanes", "timeline"]).await;
    assert!(
        ran.code == Some(1)
            && ran.stderr.contains("lanes is roster,timeline,receipts,control and not timeline"),
        "{ran:?}"
    );
    world.finish().await;
}

#[tokio::test]
async fn credentials_are_replaced_and_end_and_a_consumer_goes() {
    let mut world = World::in_operator_mode(2).await;
    world.add_node("api,gateway,projector").await;
    let url = world.nats.url().to_owned();
    let first = added(&world, "t4", &["--from", "start"]).await;
    let old = Tried::with(&url, &first, "t4").await;
    let second = world.dir().join("second.creds");
    let out = second.to_str().expect("text");
    let ran = world.runs(&["consumers", "rotate", "t4", "--overlap", "2s", "--out", out]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let new = Tried::with(&url, &second, "t4").await;
    new.durable("CHAT_0", "t4").await;
    old.durable("CHAT_0", "t4").await;
    assert!(!*old.cut.borrow(), "both work within the overlap");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(world.runs(&["consumers", "sweep"]).await.code, Some(0));
    let mut cut = old.cut.clone();
    timeout(Duration::from_secs(1), cut.wait_for(|cut| *cut)).await.expect("in a second").expect("cut");
    new.durable("CHAT_1", "t4").await;
    assert!(!*new.cut.borrow(), "the new credentials go on");

    let ran = world.runs(&["consumers", "remove", "t4"]).await;
    assert!(ran.code == Some(1) && ran.stderr.contains("say --yes"), "{ran:?}");
    let ran = world.runs(&["consumers", "remove", "t4", "--yes"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let mut cut = new.cut.clone();
    timeout(Duration::from_secs(1), cut.wait_for(|cut| *cut)).await.expect("in a second").expect("cut");
    let operator = jetstream::new(world.nats.connect(NatsUser::Operator).await.expect("NATS"));
    for stream in ["CHAT_0", "CHAT_1", "REPLAY"] {
        let stream = operator.get_stream(stream).await.expect("the stream");
        assert!(stream.consumer_info("t4").await.is_err(), "the durable is gone");
    }
    // What was cut stays out, also when the server begins anew.
    world.nats.start_again().await.expect("nats-server starts again");
    let creds = fs::read_to_string(&second).expect("credentials");
    let again =
        ConnectOptions::with_credentials(&creds).expect("credentials").connect(world.nats.url()).await;
    assert!(again.is_err(), "it stays out");
    assert_eq!(world.runs(&["consumers", "list"]).await.stdout, "none\n");
    world.finish().await;
}

#[tokio::test]
async fn what_a_consumer_cannot_take_is_parked_and_given_again() {
    let mut world = World::in_operator_mode(1).await;
    world.add_node("api,gateway,projector").await;
    let ana = world.person("ana").await;
    let notes = ana.starts_group("Notes", &[]).await;
    let bad = ana.says(&notes, "indigestible").await["position"].as_u64().expect("a position");
    let file = added(&world, "t5", &["--from", "start", "--lanes", "timeline"]).await;
    assert_eq!(listed(&world, "t5").await["state"], "never_connected");
    let tried = Tried::with(world.nats.url(), &file, "t5").await;
    let durable = tried.durable("CHAT_0", "t5").await;
    {
        let mut events = durable.messages().await.expect("events");
        for _ in 0..10 {
            let event =
                timeout(PATIENCE, events.next()).await.expect("in time").expect("one").expect("an event");
            assert_eq!(event.info().expect("info").stream_sequence, bad);
            event.ack_with(AckKind::Nak(None)).await.expect("sent");
        }
    }
    eventually("it is parked", || async { listed(&world, "t5").await["parked"] == 1 }).await;
    let after = ana.says(&notes, "easy").await["position"].as_u64().expect("a position");
    let event = next(&durable).await;
    assert_eq!(event.info().expect("info").stream_sequence, after, "the log goes on");
    event.double_ack().await.expect("acknowledged");
    let ran = world.runs(&["consumers", "parked", "t5", "--json"]).await;
    let parked: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(
        (&parked["items"][0]["position"], &parked["items"][0]["deliveries"]),
        (&bad.into(), &10.into()),
        "{parked}"
    );
    assert_eq!(parked["items"][0]["reason"], "max_deliveries");

    let ran = world.runs(&["consumers", "replay", "t5", "--parked"]).await;
    assert!(ran.stdout.starts_with("1 events"), "{ran:?}");
    let copies = tried.durable("REPLAY", "t5").await;
    let copy = next(&copies).await;
    let header = |name: &str| copy.headers.as_ref().and_then(|all| all.get(name)).map(ToString::to_string);
    assert_eq!(header("verbatim-position"), Some(bad.to_string()));
    assert_eq!(header("ce-type").as_deref(), Some("verbatim.message.sent.v1"));
    assert!(String::from_utf8_lossy(&copy.payload).contains("indigestible"));
    copy.double_ack().await.expect("acknowledged");
    assert_eq!(listed(&world, "t5").await["parked"], 0);
    let ran = world.runs(&["consumers", "replay", "t5", "--parked"]).await;
    assert!(ran.stdout.starts_with("0 events"), "each is given once: {ran:?}");

    // The age of what waits, and everything anew.
    let waits = ana.says(&notes, "waits").await["position"].as_u64().expect("a position");
    let operator = jetstream::new(world.nats.connect(NatsUser::Operator).await.expect("NATS"));
    let stream = operator.get_stream("CHAT_0").await.expect("the stream");
    let stored = stream.get_raw_message(waits).await.expect("the event").time;
    let age = || (time::OffsetDateTime::now_utc() - stored).as_seconds_f64();
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        // However long the command takes, it measures while it runs.
        let asked = age();
        let state = listed(&world, "t5").await;
        let answered = age();
        assert_eq!(state["lag_events"], 1, "{state}");
        let told = state["lag_seconds"].as_f64().expect("seconds");
        assert!((asked - 2.0..=answered + 2.0).contains(&told), "{told} is not within {asked} to {answered}");
    }
    assert_ne!(listed(&world, "t5").await["state"], "stuck", "it waits for less than a minute");
    // A node whose clock is a minute ahead sees what all will see then.
    let key = world.nats.folder().join("consumers.key");
    let ahead = Clock::new(|| time::OffsetDateTime::now_utc() + Duration::from_secs(62));
    let servers = world.nats.servers_of(NatsUser::Verbatim);
    let keys = format!("--consumers-key-file={}", key.display());
    let node = Inside::start_with(&world, servers, ahead, &[&keys]).await;
    let operator = Program::bootstraps(&world).await.person.at(node.at.public);
    let state = operator.get("/v1/admin/consumers/t5").await.expect(200);
    assert_eq!((&state["state"], &state["lag_events"]), (&json!("stuck"), &json!(1)), "{state}");
    node.stops().await;

    let ran = world.runs(&["consumers", "replay", "t5", "--from", "start", "--yes"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let event = next(&tried.durable("CHAT_0", "t5").await).await;
    assert_eq!(event.info().expect("info").stream_sequence, bad);
    world.finish().await;
}

#[tokio::test]
async fn a_consumer_with_a_bot_gives_commands_under_its_own_name_only() {
    let mut world = World::in_operator_mode(1).await;
    world.add_node("api,gateway,projector").await;
    let robot = Program::bootstraps(&world).await.makes("robot", ALL_SCOPES).await.person;
    let creds = added(&world, "robot1", &["--bot", &robot.id]).await;
    let tried = Tried::with(world.nats.url(), &creds, "robot1").await;
    let start = json!({ "kind": "group", "title": "Bots", "members": [], "client_id": key() }).to_string();
    let subject = "verbatim.commands.robot1.start_conversation";
    let reply = tried.client.request(subject, start.clone().into()).await.expect("a reply");
    let group = NatsReply::of(&reply).expect(201);
    let found = robot.get(&format!("/v1/conversations/{}", group["id"].as_str().expect("an id"))).await;
    assert_eq!(found.expect(200)["title"], "Bots");
    let pinged = tried.client.request("$SRV.PING.verbatim", "".into()).await.expect("a reply");
    assert!(String::from_utf8_lossy(&pinged.payload).contains("verbatim"), "{pinged:?}");
    tried.may_not_publish("verbatim.commands.reader.start_conversation", &start).await;
    let nobody = uuid::Uuid::now_v7().to_string();
    let unknown = world.runs(&["consumers", "add", "robot2", "--bot", &nobody]).await;
    assert!(unknown.code == Some(1) && unknown.stderr.contains("nothing here"), "{unknown:?}");
    world.finish_without_views().await;
}
