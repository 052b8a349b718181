//! The connection of a consumer, and the tools that its programs need.

use std::{collections::BTreeSet, fs, path::Path, process::Stdio, time::Duration};

use async_nats::{
    Client, ConnectOptions, Event, ServerError,
    jetstream::{
        self, AckKind,
        consumer::{Consumer, pull},
    },
};
use futures_util::StreamExt as _;
use serde_json::Value;
use tokio::{
    process::Command,
    sync::{OnceCell, watch},
    time::timeout,
};

use crate::world::{Backbone, PATIENCE, World};

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

/// A folder with the binary of a Go program, built with Debian's nats.go; `None` if that is not available.
pub async fn built_by_go(program: &str) -> Option<tempfile::TempDir> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/go.sh");
    let found = Command::new("sh").arg(script).stderr(Stdio::inherit()).output().await.expect("sh runs");
    assert!(found.status.success(), "tests/clients/go.sh failed: {}", found.status);
    let found = String::from_utf8(found.stdout).expect("text");
    let line = |key: &str| found.lines().find_map(|line| line.strip_prefix(key));
    let (go, gopath) = (line("go=")?, line("gopath=")?);
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join("main.go"), program).expect("a program");
    // Optimisations are off, because most of the compiled code is Go's standard library.
    let mut building = Command::new(go);
    building.args(["build", "-gcflags=all=-N -l", "-ldflags=-s -w", "-o", "reader", "main.go"]);
    building.envs([("GO111MODULE", "off"), ("GOTOOLCHAIN", "local"), ("CGO_ENABLED", "0"), ("GOFLAGS", "")]);
    building.env("GOPATH", gopath).env("GOCACHE", Path::new(gopath).with_file_name("cache"));
    let built = building.current_dir(dir.path()).output().await.expect("go runs");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    Some(dir)
}

/// A consumer's connection, which records the refusals.
pub struct Tried {
    pub client: Client,
    pub refused: watch::Receiver<BTreeSet<String>>,
    pub cut: watch::Receiver<bool>,
}

impl Tried {
    pub async fn with(urls: &str, creds: &Path, name: &str) -> Self {
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
        let servers: Vec<&str> = urls.split(',').collect();
        Self { client: options.connect(servers).await.expect("the consumer gets in"), refused, cut }
    }

    pub async fn durable(&self, stream: &str, name: &str) -> Consumer<pull::Config> {
        self.finds(stream, name).await.expect("its own durable")
    }

    pub async fn finds(&self, stream: &str, name: &str) -> Option<Consumer<pull::Config>> {
        let log = jetstream::with_prefix(self.client.clone(), "log.api");
        let stream = log.get_stream_no_info(stream).await.expect("no question is asked");
        stream.get_consumer(name).await.ok()
    }

    /// Takes some events and does not acknowledge them. They are delivered again after 4 seconds, after the events that
    /// follow them. The same happens to the events of a process that is killed.
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

    pub async fn may_not_publish(&self, subject: &str, payload: &str) {
        let inbox = self.client.new_inbox();
        let sent = self.client.publish_with_reply(subject.to_owned(), inbox, payload.to_owned().into());
        sent.await.expect("sent");
        self.is_told(&format!("Permissions Violation for Publish to \"{subject}\"")).await;
    }

    pub async fn may_not_subscribe(&self, subject: &str) {
        let _messages = self.client.subscribe(subject.to_owned()).await.expect("sent");
        self.is_told(&format!("Permissions Violation for Subscription to \"{subject}\"")).await;
    }
}

/// Adds a consumer, and returns the file with its credentials.
pub async fn added<B: Backbone>(world: &World<B>, name: &str, arguments: &[&str]) -> std::path::PathBuf {
    let file = world.dir().join(format!("{name}.creds"));
    let file_name = file.to_str().expect("text");
    let ran = world.runs(&[&["consumers", "add", name, "--out", file_name][..], arguments].concat()).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    file
}

/// A consumer as the command line shows it.
pub async fn listed<B: Backbone>(world: &World<B>, name: &str) -> Value {
    let ran = world.runs(&["consumers", "show", name]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    serde_json::from_str(&ran.stdout).expect("JSON")
}

/// Requests one event from a durable consumer.
pub async fn next(durable: &Consumer<pull::Config>) -> jetstream::Message {
    next_of(&mut durable.messages().await.expect("events")).await
}

/// The next event. In a cluster, a request may reach a server that does not know the durable yet.
pub async fn next_of(events: &mut pull::Stream) -> jetstream::Message {
    let next = async {
        loop {
            match events.next().await.expect("the events do not end") {
                Ok(event) => return event,
                Err(e) => eprintln!("asked again, because of: {e}"),
            }
        }
    };
    timeout(PATIENCE, next).await.expect("an event in time")
}
