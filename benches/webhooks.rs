//! The cost of 200 webhooks with dead receivers: the latency of sends, the latency of deliveries to a healthy receiver,
//! and the CPU time of the node. The dead webhooks are disabled and enabled alternately. Half of their receivers refuse
//! connections, and half accept them and never answer.

#![allow(clippy::disallowed_methods, reason = "a client has the clock and the ids of its own machine")]

mod stage;

use std::{
    fs, io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, stream};
use serde_json::json;
use stage::{
    Stage,
    figures::{Figure, full},
    part,
    process::{Node, cpu, run},
    rest::{Person, Rest},
    sockets::{Heard, heard},
    talk::{micros, paced},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    process::Command,
    time::sleep,
};
use verbatim::domain::ConversationId;

const DEAD: usize = 200;
/// Messages a second, and the number of conversations that they go to in turn.
const RATE: u32 = 50;
const CONVERSATIONS: usize = 20;
/// How long the dead receivers are tried before the measurement. By then, a request has timed out at each one that
/// never answers.
const SETTLES: Duration = Duration::from_secs(20);
/// The content of a master key file.
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n";

fn main() {
    run(benchmark);
}

async fn benchmark(stage: &Stage) {
    let file = stage.dir().join("master.key");
    fs::write(&file, KEY).expect("a file");
    let settings = [
        ("VERBATIM_MASTER_KEY_FILE", file.to_str().expect("UTF-8")),
        ("VERBATIM_WEBHOOK_ALLOW_HTTP", "true"),
        ("VERBATIM_WEBHOOK_ALLOW", "127.0.0.0/8"),
    ];
    let node = Node::start(stage, "api,projector,webhooks", &settings).await;
    let (rest, key) = (Rest::to(node.address, 64), service(stage).await);
    let people = rest.people(CONVERSATIONS).await;
    let groups =
        stream::iter(&people).then(async |person| (rest.group(std::slice::from_ref(person)).await, person));
    let groups: Vec<(ConversationId, &Person)> = groups.collect().await;

    let taken = Arc::<Taken>::default();
    let well = listens(taken.clone()).await;
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let refusing = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
    adds(&rest, &key, well).await;
    let mut dead = Vec::new();
    for n in 0..DEAD {
        let address = if n % 2 == 0 { refusing } else { silent.local_addr().expect("an address") };
        dead.push(adds(&rest, &key, address).await);
    }

    let talk = async || talk(&node, &rest, &groups, &taken).await;
    let figure = |what: &str, unit| {
        Figure::new("webhooks", format!("{DEAD} of {} dead: {what}", DEAD + 1), unit)
            .beside("the same without dead webhooks")
    };
    let mut felt =
        [(figure("p50 of a send", "ms"), 0.5), (figure("p99 of a send", "ms").goal("at most 1.1 x"), 0.99)];
    let mut had = [
        (figure("p50 of a send to the healthy webhook", "ms"), 0.5),
        (figure("p99 of a send to the healthy webhook", "ms"), 0.99),
    ];
    let mut spent = figure("CPU time of the node, each second", "ms");
    for _ in 0..if full() { 3 } else { 2 } {
        let switch = async |act: &str| {
            for webhook in &dead {
                let path = format!("/v1/admin/webhooks/{webhook}/{act}");
                rest.ask("POST", &path, &key, Some(json!({}))).await;
            }
            sleep(SETTLES).await;
        };
        switch("disable").await;
        let calm = talk().await;
        switch("enable").await;
        let beside = talk().await;
        for (figure, p) in &mut felt {
            figure.round(part(&beside.sends, *p), Some(part(&calm.sends, *p)));
        }
        for (figure, p) in &mut had {
            figure.round(part(&beside.had, *p), Some(part(&calm.had, *p)));
        }
        spent.round(beside.spent, Some(calm.spent));
    }
    felt.into_iter().chain(had).for_each(|(figure, _)| figure.note());
    spent.note();
    node.stop().await;
}

/// Latencies while messages were sent, sorted.
struct Felt {
    sends: Vec<Duration>,
    /// Until the healthy receiver had the message.
    had: Vec<Duration>,
    /// CPU time of the node, in milliseconds a second.
    spent: f64,
}

async fn talk(node: &Node, rest: &Rest, groups: &[(ConversationId, &Person)], taken: &Taken) -> Felt {
    taken.forget();
    let (sends, lasting) = (Mutex::new(Vec::new()), Duration::from_secs(if full() { 20 } else { 6 }));
    let (begun, before) = (Instant::now(), cpu(node.pid()));
    let said = paced(RATE, lasting, async |n| {
        let ((group, person), begun) = (&groups[n % groups.len()], Instant::now());
        rest.say(person, *group).await;
        sends.lock().expect("no panic").push(begun.elapsed());
    });
    let said = said.await as usize;
    while taken.count() < said {
        sleep(Duration::from_millis(5)).await;
    }
    let spent = micros(cpu(node.pid()) - before) / 1e3 / begun.elapsed().as_secs_f64();
    let mut sends = sends.into_inner().expect("no panic");
    let mut had = taken.forget();
    assert!(sends.len() == said && had.len() >= said, "the receiver that is well has every message");
    sends.sort_unstable();
    had.sort_unstable();
    Felt { sends, had, spent }
}

/// The key of a service account with all scopes.
async fn service(stage: &Stage) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_verbatim"));
    command.args(["services", "bootstrap"]).env("VERBATIM_NATS_URL", stage.nats.url());
    let made =
        command.env("VERBATIM_DATABASE_URL", stage.postgres.url()).output().await.expect("the program runs");
    let told = String::from_utf8(made.stdout).expect("text");
    let key = told.split_whitespace().find(|word| word.starts_with("vbk_"));
    key.unwrap_or_else(|| panic!("no key: {told}{}", String::from_utf8_lossy(&made.stderr))).to_owned()
}

/// Adds a webhook for all messages, and returns its id.
async fn adds(rest: &Rest, key: &str, address: SocketAddr) -> String {
    let webhook = json!({ "url": format!("http://{address}/events"), "types": ["message.sent"] });
    let webhook = rest.ask("POST", "/v1/admin/webhooks", key, Some(webhook)).await;
    webhook["id"].as_str().expect("an id").to_owned()
}

/// The deliveries that the healthy receiver has accepted.
#[derive(Default)]
struct Taken(Mutex<Vec<Duration>>);

impl Taken {
    fn count(&self) -> usize {
        self.0.lock().expect("no panic").len()
    }

    /// Clears the deliveries, and returns them.
    fn forget(&self) -> Vec<Duration> {
        std::mem::take(&mut self.0.lock().expect("no panic"))
    }
}

/// Starts a receiver that accepts everything.
async fn listens(taken: Arc<Taken>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(takes(stream, taken.clone()));
        }
    });
    address
}

async fn takes(mut stream: TcpStream, taken: Arc<Taken>) -> io::Result<()> {
    let mut read = Vec::new();
    loop {
        while let Some(end) = request(&read) {
            if let Some(Heard { after, .. }) = heard(&read[..end]) {
                taken.0.lock().expect("no panic").push(after);
            }
            read.drain(..end);
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await?;
        }
        if stream.read_buf(&mut read).await? == 0 {
            return Ok(());
        }
    }
}

/// The end of the first request, if it is complete.
fn request(read: &[u8]) -> Option<usize> {
    let head = read.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&read[..head]).ok()?.to_ascii_lowercase();
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .map_or(Ok(0), |n| n.trim().parse());
    let end = head + length.unwrap_or(0);
    (read.len() >= end).then_some(end)
}
