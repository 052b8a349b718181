//! Power loss: the file system under nats-server loses everything that was not synced, as when the plug is
//! pulled. Acknowledged messages survive; without `sync_interval: always` they do not.
//!
//! This needs a loop device with ext4 and the permission to mount it. Without them, the tests say so.

use std::{
    collections::HashMap,
    path::PathBuf,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use verbatim::{
    app,
    dev::{self, NatsUser},
    domain::Event,
};

use crate::{
    evidence,
    servers::{Nats, NatsOptions, PostgresOptions, start_nats, start_postgres},
    world::{Node, Plan, folder, make_log},
};

/// Sends in flight.
const SENDERS: usize = 64;
/// The time limit until the wanted number of sends is acknowledged.
const PATIENCE: Duration = Duration::from_secs(120);
/// The pause before a refused message is sent again.
const PAUSE: Duration = Duration::from_millis(100);
/// Tells ext4 to stop at once without writing its journal (`EXT4_IOC_SHUTDOWN`, `NOLOGFLUSH`).
const CUT: &str = "import fcntl, os, struct, sys
fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, struct.pack('I', 2))";

/// A disk that can lose its power.
struct Disk {
    dir: tempfile::TempDir,
}

impl Disk {
    fn new() -> Result<Self, String> {
        let disk = Self { dir: folder() };
        std::fs::File::create(disk.image())
            .and_then(|file| file.set_len(1 << 30))
            .map_err(|e| e.to_string())?;
        std::fs::create_dir_all(disk.place()).map_err(|e| e.to_string())?;
        run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(disk.image()))?;
        disk.mount()?;
        Ok(disk)
    }

    fn image(&self) -> PathBuf {
        self.dir.path().join("image")
    }

    /// The folder of the server. It stays open, so it is not on the disk.
    fn server(&self) -> PathBuf {
        self.dir.path().join("nats")
    }

    /// The data of the server, which are on the disk.
    fn place(&self) -> PathBuf {
        self.server().join("data")
    }

    fn mount(&self) -> Result<(), String> {
        run(Command::new("mount").args(["-o", "loop"]).arg(self.image()).arg(self.place()))
    }

    /// Syncs all data that were written until now.
    fn settle(&self) {
        run(Command::new("sync").arg("-f").arg(self.place())).expect("sync");
    }

    /// Cuts the power.
    fn cut(&self) {
        run(Command::new("python3").args(["-c", CUT]).arg(self.place())).expect("the file system stops");
    }

    /// Brings the disk back, with the synced data.
    fn comes_back(&self) {
        run(Command::new("umount").arg(self.place())).expect("umount");
        self.mount().expect("mount");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = run(Command::new("umount").arg(self.place()));
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|e| format!("{name}: {e}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}

/// Creates a disk, and a nats-server on it.
async fn nats_on_a_disk(options: NatsOptions) -> Option<(Disk, Nats)> {
    let disk = match Disk::new() {
        Ok(disk) => disk,
        Err(why) => {
            println!("power loss cannot be tried on this machine: {why}");
            return None;
        }
    };
    let tools = dev::tools().expect("nats-server and Postgres are found or fetched");
    let nats = start_nats(&tools, &disk.server(), options).await.expect("nats-server starts");
    Some((disk, nats))
}

/// Pulls the plug under load, and plugs it in again.
///
/// The server is stopped before its disk. A machine without power answers nothing, but a running nats-server
/// whose disk begins to fail acknowledges the write in flight although its sync failed. Without the stop, that
/// one write (or batch) counts as lost in about one run of seven.
async fn fail(disk: &Disk, nats: &mut Nats) {
    nats.freeze();
    disk.cut();
    nats.kill9();
    disk.comes_back();
    nats.start_again().await.expect("nats-server starts again");
}

/// The state of the senders in this test.
struct Sending {
    http: reqwest::Client,
    messages: String,
    token: String,
    /// The keys and positions of acknowledged messages.
    acknowledged: Mutex<HashMap<String, u64>>,
    begun: AtomicUsize,
}

impl Sending {
    async fn begins(node: &Node) -> Arc<Self> {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(15)).build().expect("a client");
        let base = format!("http://{}/v1", node.address);
        let post = async |path: &str, token: &str, body: Value| -> Value {
            let request = http.post(format!("{base}/{path}")).bearer_auth(token).json(&body);
            request.send().await.expect("an answer").json().await.expect("JSON")
        };
        let account = json!({ "username": "ana", "password": "correct horse battery" });
        post("accounts", "", account.clone()).await;
        let login = post("logins", "", account).await;
        let token = login["access_token"].as_str().expect("a token").to_owned();
        let group = json!({ "kind": "group", "title": "Lights", "members": [] });
        let group = post("conversations", &token, group).await;
        let messages =
            format!("{base}/conversations/{}/messages", group["id"].as_str().expect("a conversation"));
        Arc::new(Self { http, messages, token, acknowledged: Mutex::default(), begun: AtomicUsize::new(0) })
    }

    /// Sends a message, and returns its position if it was acknowledged.
    async fn send(&self, key: &str) -> Option<u64> {
        let body = json!({ "client_id": key, "text": format!("the text of {key}") });
        let request = self.http.post(&self.messages).bearer_auth(&self.token).json(&body);
        let answer = request.send().await.ok()?;
        if answer.status() != StatusCode::CREATED {
            return None;
        }
        answer.json::<Value>().await.ok()?["position"].as_u64()
    }

    /// The same, with retries until it succeeds.
    async fn send_at_last(&self, key: &str) -> u64 {
        let sent = async {
            loop {
                match self.send(key).await {
                    Some(position) => return position,
                    None => sleep(PAUSE).await,
                }
            }
        };
        timeout(PATIENCE, sent).await.expect("acknowledged at last")
    }

    async fn goes_on(self: Arc<Self>) {
        loop {
            let key = format!("message-{}", self.begun.fetch_add(1, Ordering::Relaxed));
            match self.send(&key).await {
                Some(position) => drop(self.acknowledged.lock().expect("lock").insert(key, position)),
                // A node that does not reach the log refuses at once.
                None => sleep(PAUSE).await,
            }
        }
    }

    fn count(&self) -> usize {
        self.acknowledged.lock().expect("lock").len()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_after_a_power_failure() {
    let wanted = std::env::var("VERBATIM_FAULTS_ACKNOWLEDGED")
        .map_or(2_000, |text| text.parse().unwrap_or_else(|_| panic!("a number of messages: {text}")));
    let Some((disk, mut nats)) = nats_on_a_disk(NatsOptions::default()).await else { return };
    let dir = folder();
    let tools = dev::tools().expect("nats-server and Postgres are found or fetched");
    let (place, options) =
        (dir.path().join("postgres"), PostgresOptions { fsync_off: true, ..Default::default() });
    let postgres = start_postgres(&tools, &place, options).await.expect("Postgres starts");
    let database = postgres.url().to_owned();
    app::migrate(&database).await.expect("migrations");
    make_log(nats.url_of(NatsUser::Operator), &database, 1).await;
    let nats_url = nats.url().to_owned();
    let plan = Plan { roles: "api,projector", nats: nats_url, eraser: None, database, replicas: 1 };
    let mut node = Node::start(plan).await;
    let sending = Sending::begins(&node).await;
    disk.settle();

    let mut senders = JoinSet::new();
    for _ in 0..SENDERS {
        senders.spawn(sending.clone().goes_on());
    }
    let enough = async {
        while sending.count() < wanted {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, enough).await.expect("so many are acknowledged");
    fail(&disk, &mut nats).await;
    senders.shutdown().await;

    let client = nats.connect(NatsUser::Verbatim).await.expect("NATS");
    let mut stored: HashMap<String, Vec<u64>> = HashMap::new();
    for recorded in evidence::stored(&client).await.into_iter().flatten() {
        if let Some(Event::MessageSent(message)) = recorded.event {
            stored.entry(message.client_id).or_default().push(recorded.position.0);
        }
    }
    let acknowledged = sending.acknowledged.lock().expect("lock").clone();
    let lost = acknowledged.iter().filter(|(key, position)| stored.get(*key) != Some(&vec![**position]));
    let (lost, unanswered) = (lost.count(), sending.begun.load(Ordering::Relaxed) - acknowledged.len());
    println!("{} acknowledged, {lost} of them lost; {unanswered} without answer", acknowledged.len());
    assert_eq!(lost, 0, "of {} acknowledged", acknowledged.len());

    // A message without an answer is sent again and is stored once, and a retry gets the first answer.
    for number in 0..sending.begun.load(Ordering::Relaxed) {
        let key = format!("message-{number}");
        let expected = stored.get(&key).map(|positions| positions[0]);
        if !acknowledged.contains_key(&key) || number % 50 == 0 {
            let position = sending.send_at_last(&key).await;
            assert_eq!(Some(position), expected.or(Some(position)), "{key}");
        }
    }
    assert!(node.stop().await, "the node ends in good order");
    drop(client);
    nats.stop().await;
    postgres.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_syncing_a_power_failure_loses_what_was_acknowledged() {
    const PUBLISHED: u64 = 500;
    let Some((disk, mut nats)) = nats_on_a_disk(NatsOptions { weak_sync: true, ..Default::default() }).await
    else {
        return;
    };
    let client = nats.connect(NatsUser::Operator).await.expect("NATS");
    let jetstream = async_nats::jetstream::new(client.clone());
    let config = async_nats::jetstream::stream::Config {
        name: "CONTROL".into(),
        subjects: vec!["control".into()],
        ..Default::default()
    };
    jetstream.create_stream(config).await.expect("a stream");
    disk.settle();
    for _ in 0..PUBLISHED {
        let published = jetstream.publish("control", "a word".into()).await.expect("published");
        published.await.expect("acknowledged");
    }
    fail(&disk, &mut nats).await;
    let client = nats.connect(NatsUser::Operator).await.expect("NATS");
    let stream = async_nats::jetstream::new(client).get_stream("CONTROL").await.expect("the stream");
    let left = stream.cached_info().state.messages;
    println!("{left} of {PUBLISHED} acknowledged are left without syncing");
    assert!(left < PUBLISHED, "the disk forgets what is not synced, or these tests prove nothing");
    nats.stop().await;
}
