//! The speed of archiving and restoring the log with the program, as an operator runs it: `backup create` into an empty
//! folder, and `restore` into empty servers. The benchmark starts its own servers:
//!
//! ```sh
//! VERBATIM_BENCH_MESSAGES=1000000 cargo bench --bench archive
//! ```

#![allow(clippy::disallowed_methods, reason = "a client has the clock and the ids of its own machine")]

mod stage;

use std::{
    fs,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use async_nats::{
    HeaderMap,
    jetstream::{self, Context, consumer, stream::Stream},
};
use bytes::Bytes;
use futures_util::StreamExt as _;
use stage::{
    Stage,
    figures::{Figure, full},
    process::{measured, run},
};
use tokio::process::{Child, Command};
use verbatim::dev::NatsUser;

/// The number of records that are published for the floor of a restore.
const PUBLISHED: usize = 50_000;
/// The number of records in an atomic batch, as in a restore.
const BATCH: usize = 500;
/// The interval at which the restored log is polled.
const LOOK: Duration = Duration::from_millis(20);

/// A message as it is stored in the log.
type Lying = (String, HeaderMap, Bytes);

fn main() {
    run(benchmark);
}

async fn benchmark(stage: &Stage) {
    stage.fill(stage::messages()).await;
    let log = jetstream::new(stage.nats.connect(NatsUser::Operator).await.expect("NATS"));
    let state = log.get_stream("CHAT_0").await.expect("the stream").cached_info().state.clone();
    let figure = |what, unit| Figure::new("archive", what, unit);
    let mut archived = figure("archived: records", "1/s")
        .goal("at least 30,000/s")
        .beside("reading the stream with a plain consumer");
    let mut smaller = figure("bytes of the stream for each of the archive", "x").goal("at least 5");
    let mut restored = figure("restored: records", "1/s").beside("bare batched publishes");
    let mut whole = figure("restored with the views: a million records", "s").goal("at most 60 s");
    for round in 0..if full() { 3 } else { 1 } {
        let (lying, read) = reads(&log, state.messages).await;
        let folder = stage.dir().join(format!("archive-{round}"));
        let place = format!("dir:{}", folder.display());
        let begun = Instant::now();
        ends(program(stage, &["backup", "create", "--to", &place])).await;
        archived.round(rate(state.messages, begun), Some(read));
        smaller.round(state.bytes as f64 / size(&folder.join("log")) as f64, None);

        let empty = Stage::set().await;
        let target = jetstream::new(empty.nats.connect(NatsUser::Operator).await.expect("NATS"));
        let published = publishes(&target, &lying).await;
        let begun = Instant::now();
        let restoring = program(&empty, &["restore", "--from", &place]);
        let restoring = tokio::spawn(ends(restoring));
        while last_of(&target).await < state.last_sequence {
            assert!(!restoring.is_finished(), "the restore ends behind the last record");
            tokio::time::sleep(LOOK).await;
        }
        restored.round(rate(state.messages, begun), Some(published));
        restoring.await.expect("restored");
        whole.round(begun.elapsed().as_secs_f64() * 1e6 / state.messages as f64, None);
        empty.clear().await;
    }
    [archived, smaller, restored, whole].into_iter().for_each(Figure::note);
}

/// Runs the program with the servers of a stage.
fn program(stage: &Stage, arguments: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_verbatim"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("VERBATIM_")) {
        command.env_remove(name);
    }
    command
        .args(arguments)
        .env("VERBATIM_NATS_URL", stage.nats.url())
        .env("VERBATIM_NATS_OPERATOR_URL", stage.nats.url_of(NatsUser::Operator))
        .env("VERBATIM_DATABASE_URL", stage.postgres.url())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true);
    measured(|| command.spawn()).expect("the program runs")
}

async fn ends(mut program: Child) {
    assert!(program.wait().await.expect("wait").success(), "the program ends well");
}

fn rate(records: u64, begun: Instant) -> f64 {
    records as f64 / begun.elapsed().as_secs_f64()
}

/// Reads the whole stream, and keeps the first messages. This is the minimum work of an archiver.
async fn reads(log: &Context, count: u64) -> (Vec<Lying>, f64) {
    let stream = log.get_stream("CHAT_0").await.expect("the stream");
    let config =
        consumer::push::OrderedConfig { deliver_subject: log.client().new_inbox(), ..Default::default() };
    let mut messages =
        stream.create_consumer(config).await.expect("a consumer").messages().await.expect("messages");
    let (begun, mut lying) = (Instant::now(), Vec::with_capacity(PUBLISHED));
    for _ in 0..count {
        let message = messages.next().await.expect("a message").expect("a message").message;
        if lying.len() < PUBLISHED {
            lying.push((message.subject.to_string(), message.headers.unwrap_or_default(), message.payload));
        }
    }
    (lying, rate(count, begun))
}

/// Publishes messages in atomic batches, one batch after the other, to a stream like that of the log.
async fn publishes(target: &Context, lying: &[Lying]) -> f64 {
    let log = target.get_stream("CHAT_0").await.expect("the stream");
    let config = log.cached_info().config.clone();
    let config = jetstream::stream::Config {
        name: "FLOOR".into(),
        subjects: vec!["floor.>".into()],
        allow_atomic_publish: true,
        republish: None,
        ..config
    };
    target.create_stream(config).await.expect("a stream");
    let begun = Instant::now();
    for (number, batch) in lying.chunks(BATCH).enumerate() {
        for (at, (subject, headers, payload)) in (1..).zip(batch) {
            let mut headers = lasting(headers);
            headers.insert("Nats-Batch-Id", number.to_string());
            headers.insert("Nats-Batch-Sequence", at.to_string());
            let subject = format!("floor.{subject}");
            if at < batch.len() {
                target
                    .client()
                    .publish_with_headers(subject, headers, payload.clone())
                    .await
                    .expect("published");
            } else {
                headers.insert("Nats-Batch-Commit", "1");
                let stored = target.client().request_with_headers(subject, headers, payload.clone()).await;
                let answer = String::from_utf8_lossy(&stored.expect("an answer").payload).into_owned();
                assert!(!answer.contains("\"error\""), "{answer}");
            }
        }
    }
    let published = rate(lying.len() as u64, begun);
    target.delete_stream("FLOOR").await.expect("deleted");
    published
}

/// The headers that are still relevant once the message is stored.
fn lasting(headers: &HeaderMap) -> HeaderMap {
    let mut lasting = HeaderMap::new();
    for (name, values) in headers.iter() {
        let text: &str = name.as_ref();
        if !text.starts_with("Nats-Expected-") && !text.starts_with("Nats-Batch-") {
            values.iter().for_each(|value| lasting.append(name.clone(), value.clone()));
        }
    }
    lasting
}

/// The position of the last message of the log; 0 while there is none.
async fn last_of(target: &Context) -> u64 {
    let stream: Option<Stream> = target.get_stream("CHAT_0").await.ok();
    stream.map_or(0, |stream| stream.cached_info().state.last_sequence)
}

/// The bytes of all files below a folder.
fn size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry"));
    entries
        .map(|entry| match entry.metadata().expect("a file") {
            found if found.is_dir() => size(&entry.path()),
            found => found.len(),
        })
        .sum()
}
