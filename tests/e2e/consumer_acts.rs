//! The events of consumers, and their permissions. They are the same on one nats-server as on three.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Stdio, time::Duration};

use async_nats::{
    ConnectOptions,
    jetstream::{self, AckKind},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
    time::timeout,
};
use verbatim::{clock::Clock, dev::NatsUser};

use crate::{
    consuming::{Tried, added, built_by_go, listed, next, next_of, python},
    world::{
        Backbone, Conversation, Inside, PATIENCE, Person, Program, Ran, World,
        clients::{node, node_with, output_of},
        eventually, signal,
    },
};

/// A conversation that consumers read.
pub struct Read {
    pub ana: Person,
    pub notes: Conversation,
    /// The stream of its events.
    pub stream: String,
    /// The positions of its messages so far.
    said: Vec<u64>,
}

impl Read {
    pub async fn begins<B: Backbone>(world: &World<B>) -> Self {
        Self::begun_by(world.person("ana").await, world.streams).await
    }

    pub async fn begun_by(ana: Person, streams: usize) -> Self {
        let notes = ana.starts_group("Notes", &[]).await;
        let shard = usize::from_str_radix(&notes.id[34..], 16).expect("hex");
        let stream = format!("CHAT_{}", shard * streams / 256);
        let mut read = Self { ana, notes, stream, said: Vec::new() };
        read.says("one").await;
        read
    }

    pub async fn says(&mut self, text: &str) -> u64 {
        let position = self.ana.says(&self.notes, text).await["position"].as_u64().expect("a position");
        self.said.push(position);
        position
    }
}

fn position(event: &jetstream::Message) -> u64 {
    event.info().expect("info").stream_sequence
}

/// The starter program that `runs` prints for a new consumer receives every event without changes, and continues
/// after a restart. In Go only if Go is available.
pub async fn its_program_runs_unchanged(
    read: &mut Read,
    (name, language, exclusive): (&str, &str, bool),
    folder: &Path,
    runs: impl AsyncFn(&[&str]) -> Ran,
) {
    let add = async || {
        let arguments = ["consumers", "add", name, "--from", "start", "--lang", language, "--exclusive"];
        let ran = runs(&arguments[..arguments.len() - usize::from(!exclusive)]).await;
        assert_eq!(ran.code, Some(0), "{ran:?}");
        ran.stdout
    };
    let program = add().await;
    let creds = fs::metadata(folder.join(format!("{name}.creds"))).expect("credentials");
    assert_eq!(creds.permissions().mode() & 0o777, 0o600);
    assert_eq!(add().await, "", "the same again is no change, and shows no program");

    // The binary has its own folder.
    let mut built = None;
    let mut program = match language {
        "python" => {
            fs::write(folder.join("program.py"), program).expect("a program");
            let mut command = Command::new(python().await);
            command.arg("program.py").current_dir(folder);
            command
        }
        "go" => match built.insert(built_by_go(&program).await) {
            Some(built) => Command::new(built.path().join("reader")),
            None => return,
        },
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
    for _ in &read.said {
        assert_eq!(kind().await, "message.sent", "{language}");
    }
    read.says("and me").await;
    assert_eq!(kind().await, "message.sent", "{language} goes on");
}

/// A consumer gets its events. Everything else is refused and changes nothing.
pub async fn it_may_do_nothing_else<B: Backbone>(world: &World<B>, read: &Read) {
    let Read { notes, stream, .. } = read;
    let whole = added(world, "whole", &["--from", "start"]).await;
    let some = added(world, "some", &["--from", "start", "--conversations", &notes.id]).await;
    let operator = jetstream::new(world.nats.client(NatsUser::Operator).await);
    let head =
        async || operator.get_stream(stream).await.expect("the stream").cached_info().state.last_sequence;
    let before = head().await;

    for (name, file) in [("whole", &whole), ("some", &some)] {
        let tried = Tried::with(world.nats.url(), file, name).await;
        let event = next(&tried.durable(stream, name).await).await;
        assert_eq!(position(&event), 1);
        // There are two forms of an acknowledgement.
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
            // A consumer that reads everything may list all subjects.
            "whole" => {
                _ = tried.client.request(ask, r#"{"subjects_filter":">"}"#.into()).await.expect("an answer");
            }
            _ => tried.may_not_publish(&ask, r#"{"subjects_filter":">"}"#).await,
        }
    }
    assert_eq!(head().await, before, "the log is as it was");

    // Adding the same name with another filter reports the differences, and changes nothing.
    let ran = world.runs(&["consumers", "add", "whole", "--lanes", "timeline"]).await;
    assert!(
        ran.code == Some(1)
            && ran.stderr.contains("lanes is roster,timeline,receipts,control and not timeline"),
        "{ran:?}"
    );
}

/// Rotates the credentials, with an overlap, and removes the consumer. Returns its last credentials.
pub async fn it_is_rotated_and_removed<B: Backbone>(world: &World<B>) -> String {
    let url = world.nats.url();
    let last = format!("CHAT_{}", world.streams - 1);
    let first = added(world, "t4", &["--from", "start"]).await;
    let old = Tried::with(url, &first, "t4").await;
    let second = world.dir().join("replaced.creds");
    let out = second.to_str().expect("text");
    let ran = world.runs(&["consumers", "rotate", "t4", "--overlap", "2s", "--out", out]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let new = Tried::with(url, &second, "t4").await;
    new.durable("CHAT_0", "t4").await;
    old.durable("CHAT_0", "t4").await;
    assert!(!*old.cut.borrow(), "both work within the overlap");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(world.runs(&["consumers", "sweep"]).await.code, Some(0));
    let mut cut = old.cut.clone();
    timeout(Duration::from_secs(1), cut.wait_for(|cut| *cut)).await.expect("in a second").expect("cut");
    new.durable(&last, "t4").await;
    assert!(!*new.cut.borrow(), "the new credentials go on");

    let ran = world.runs(&["consumers", "remove", "t4"]).await;
    assert!(ran.code == Some(1) && ran.stderr.contains("confirm with --yes"), "{ran:?}");
    let ran = world.runs(&["consumers", "remove", "t4", "--yes"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let mut cut = new.cut.clone();
    timeout(Duration::from_secs(1), cut.wait_for(|cut| *cut)).await.expect("in a second").expect("cut");
    let operator = jetstream::new(world.nats.client(NatsUser::Operator).await);
    let chat = (0..world.streams).map(|number| format!("CHAT_{number}"));
    for stream in chat.chain(["REPLAY".to_owned()]) {
        let stream = operator.get_stream(stream).await.expect("the stream");
        assert!(stream.consumer_info("t4").await.is_err(), "the durable is gone");
    }
    let creds = fs::read_to_string(&second).expect("credentials");
    stays_out(&creds, url).await;
    assert!(!world.runs(&["consumers", "list"]).await.stdout.contains("t4"));
    creds
}

/// Asserts that no server accepts these credentials.
pub async fn stays_out(creds: &str, urls: &str) {
    for url in urls.split(',') {
        let options = ConnectOptions::with_credentials(creds).expect("credentials");
        assert!(options.connect(url).await.is_err(), "{url} lets it in");
    }
}

/// An event that is refused ten times is parked and can be replayed. A consumer that acknowledges nothing lags and is
/// stuck.
pub async fn it_is_stuck_and_parks<B: Backbone>(world: &World<B>, read: &mut Read) {
    let stream = read.stream.clone();
    let file = added(world, "t5", &["--from", "now", "--lanes", "timeline"]).await;
    assert_eq!(listed(world, "t5").await["state"], "never_connected");
    let bad = read.says("indigestible").await;
    let tried = Tried::with(world.nats.url(), &file, "t5").await;
    let mut events = tried.durable(&stream, "t5").await.messages().await.expect("events");
    for _ in 0..10 {
        let event = next_of(&mut events).await;
        assert_eq!(position(&event), bad);
        event.ack_with(AckKind::Nak(None)).await.expect("sent");
    }
    eventually("it is parked", || async { listed(world, "t5").await["parked"] == 1 }).await;
    let after = read.says("easy").await;
    let event = next_of(&mut events).await;
    assert_eq!(position(&event), after, "the log goes on");
    event.double_ack().await.expect("acknowledged");
    drop(events);
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
    // With a new request for each delivery, servers of a cluster would send some to a request whose reader is gone.
    let mut copies = tried.durable("REPLAY", "t5").await.messages().await.expect("copies");
    for _ in 0..10 {
        next_of(&mut copies).await.ack_with(AckKind::Nak(None)).await.expect("sent");
    }
    eventually("a copy that fails is parked as its event", || async {
        let ran = world.runs(&["consumers", "parked", "t5", "--json"]).await;
        let parked: Value = serde_json::from_str(&ran.stdout).expect("JSON");
        let of = |what: &str| parked["items"][0][what].clone();
        (of("stream"), of("position"), of("reason")) == (json!(stream), json!(bad), json!("max_deliveries"))
    })
    .await;
    let ran = world.runs(&["consumers", "replay", "t5", "--parked"]).await;
    assert!(ran.stdout.starts_with("1 events"), "{ran:?}");
    let copy = next_of(&mut copies).await;
    let header = |name: &str| copy.headers.as_ref().and_then(|all| all.get(name)).map(ToString::to_string);
    assert_eq!(header("verbatim-position"), Some(bad.to_string()));
    assert_eq!(header("ce-type").as_deref(), Some("verbatim.message.sent.v1"));
    assert!(String::from_utf8_lossy(&copy.payload).contains("indigestible"));
    copy.double_ack().await.expect("acknowledged");
    assert_eq!(listed(world, "t5").await["parked"], 0);
    let ran = world.runs(&["consumers", "replay", "t5", "--parked"]).await;
    assert!(ran.stdout.starts_with("0 events"), "each is given once: {ran:?}");

    // The age of waiting events, and a replay of everything.
    let waits = read.says("waits").await;
    let operator = jetstream::new(world.nats.client(NatsUser::Operator).await);
    let log = operator.get_stream(&stream).await.expect("the stream");
    let stored = log.get_raw_message(waits).await.expect("the event").time;
    let age = || (time::OffsetDateTime::now_utc() - stored).as_seconds_f64();
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        // The command measures at some moment while it runs, however long it takes.
        let asked = age();
        let state = listed(world, "t5").await;
        let answered = age();
        assert_eq!(state["lag_events"], 1, "{state}");
        let told = state["lag_seconds"].as_f64().expect("seconds");
        assert!((asked - 2.0..=answered + 2.0).contains(&told), "{told} is not within {asked} to {answered}");
    }
    assert_ne!(listed(world, "t5").await["state"], "stuck", "it waits for less than a minute");
    // A node whose clock is a minute ahead sees now what all nodes will see in a minute.
    let key = world.nats.folder().join("consumers.key");
    let ahead = Clock::new(|| time::OffsetDateTime::now_utc() + Duration::from_secs(62));
    let servers = world.nats.servers_of(NatsUser::Verbatim);
    let keys = format!("--consumers-key-file={}", key.display());
    let node = Inside::start_with(world, servers, ahead, &[&keys]).await;
    let operator = Program::bootstraps(world).await.person.at(node.at.public);
    let state = operator.get("/v1/admin/consumers/t5").await.expect(200);
    assert_eq!((&state["state"], &state["lag_events"]), (&json!("stuck"), &json!(1)), "{state}");
    // The credentials that it signs end at once, although they were signed a minute from now.
    let made = operator.post("/v1/admin/consumers", json!({ "name": "early" })).await.expect(201);
    let early = world.dir().join("early.creds");
    fs::write(&early, made["credentials"].as_str().expect("credentials")).expect("written");
    let reader = Tried::with(world.nats.url(), &early, "early").await;
    reader.durable(&stream, "early").await;
    node.stops().await;
    let ran = world.runs(&["consumers", "remove", "early", "--yes"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let mut cut = reader.cut.clone();
    timeout(Duration::from_secs(1), cut.wait_for(|cut| *cut)).await.expect("in a second").expect("cut");
    stays_out(&fs::read_to_string(&early).expect("credentials"), world.nats.url()).await;

    // What a consumer reads again is not parked any more. A new durable knows no requests of earlier readers.
    let is_parked = async |count: u64| listed(world, "t5").await["parked"] == count;
    let replayed = async |from: &str| {
        let ran = world.runs(&["consumers", "replay", "t5", "--from", from, "--yes"]).await;
        assert_eq!(ran.code, Some(0), "{ran:?}");
        tried.durable(&stream, "t5").await.messages().await.expect("events")
    };
    let event = next_of(&mut replayed(&waits.to_string()).await).await;
    assert_eq!(position(&event), waits);
    event.ack_with(AckKind::Term).await.expect("sent");
    eventually("it is parked", || is_parked(1)).await;
    drop(replayed(&(waits + 1).to_string()).await);
    assert!(is_parked(1).await, "it is before the new start");
    drop(replayed(&waits.to_string()).await);
    assert!(is_parked(0).await);
    // From a position that the log has not reached, the next event comes.
    let mut events = replayed("99999999").await;
    let next = read.says("next").await;
    assert_eq!(position(&next_of(&mut events).await), next);
    drop(events);

    // The next consumer of the name inherits neither parked events nor copies of them.
    let mut events = replayed("start").await;
    let event = next_of(&mut events).await;
    assert_eq!(position(&event), read.said[0]);
    event.ack_with(AckKind::Term).await.expect("sent");
    eventually("it is parked", || is_parked(1)).await;
    let ran = world.runs(&["consumers", "replay", "t5", "--parked"]).await;
    assert!(ran.stdout.starts_with("1 events"), "{ran:?}");
    next_of(&mut events).await.ack_with(AckKind::Term).await.expect("sent");
    eventually("the next one is parked", || is_parked(1)).await;
    let ran = world.runs(&["consumers", "remove", "t5", "--yes"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    fs::remove_file(&file).expect("the old credentials");
    let file = added(world, "t5", &["--from", "now", "--lanes", "timeline"]).await;
    assert!(is_parked(0).await);
    let tried = Tried::with(world.nats.url(), &file, "t5").await;
    assert_eq!(tried.durable("REPLAY", "t5").await.cached_info().num_pending, 0);
}

/// All nodes stop. A consumer continues to read, even while the servers reload their configuration, and a new one
/// connects.
pub async fn it_reads_on_without_any_node<B: Backbone>(world: &mut World<B>, read: &mut Read) {
    let all = ["--from", "start", "--lanes", "timeline"];
    let (first, second) = (added(world, "first", &all).await, added(world, "second", &all).await);
    for text in ["two", "three", "four"] {
        read.says(text).await;
    }
    let reader = Tried::with(world.nats.url(), &first, "first").await;
    let mut events = reader.durable(&read.stream, "first").await.messages().await.expect("events");
    for (number, wanted) in read.said.iter().enumerate() {
        let event = next_of(&mut events).await;
        event.double_ack().await.expect("acknowledged");
        assert_eq!(position(&event), *wanted, "no gap");
        if number == 0 {
            for node in &mut world.nodes {
                node.stop().await;
            }
        }
        if number == 2 {
            // A server that reloads its configuration closes no connection.
            for pid in world.nats.pids() {
                signal(pid, "HUP").await;
            }
        }
    }
    let other = Tried::with(world.nats.url(), &second, "second").await;
    let again = next(&other.durable(&read.stream, "second").await).await;
    assert_eq!(position(&again), read.said[0]);
    assert!(!*reader.cut.borrow(), "the first one is still connected");
}
