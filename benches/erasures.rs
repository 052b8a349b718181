//! The cost of erasing: to overwrite a message on disk, nats-server rewrites its block of up to 8 MB, and appends nothing
//! meanwhile. Measures the time of a deletion among full blocks, and the latency of sends beside deletions without a pause
//! and beside the eraser, which pauses while others append. The same sends without deletions alternate with both.

#![allow(clippy::disallowed_methods, reason = "a client has the clock and the ids of its own machine")]

mod stage;

use std::{
    cell::RefCell,
    process::Stdio,
    time::{Duration, Instant},
};

use async_nats::jetstream::{self, Context};
use stage::{
    Said, Stage, Talk, draft,
    figures::{Figure, full},
    message, part,
    process::{cpu, run},
    talk::paced,
};
use tokio::{
    process::{Child, Command},
    time::{MissedTickBehavior, interval, sleep},
};
use uuid::Uuid;
use verbatim::{
    clock::Clock,
    dev::NatsUser,
    domain::{ContentErased, ErasedEntry, Event, EventId},
};

/// Enough messages to fill several blocks.
const FILLED: usize = 100_000;
/// Messages a second during a measurement, and its duration.
const RATE: u32 = 200;
const LASTING: Duration = Duration::from_secs(15);
/// Deletions a second: the default and maximum of `VERBATIM_ERASE_RATE`.
const ERASED: u32 = 5;
/// The distance of two deletions in the log, in messages.
const APART: usize = 97;
/// The interval at which the eraser is polled for its first deletion.
const LOOK: Duration = Duration::from_millis(20);

fn main() {
    run(benchmark);
}

async fn benchmark(stage: &Stage) {
    let (talks, said) = stage.fill(FILLED).await;
    let log = jetstream::new(stage.nats.connect(NatsUser::Operator).await.expect("NATS"));
    let (by_eraser, by_hand) = said.split_at(FILLED / 2);
    list(stage, &log, by_eraser.iter().step_by(APART)).await;
    let mut by_hand = by_hand.iter().step_by(APART);

    let figure = |what: &str, unit| Figure::new("erasures", what, unit);
    let beside = |what| figure(what, "ms").beside("the same without deletions");
    let mut took = [(figure("one deletion, p50", "ms"), 0.5), (figure("one deletion, p99", "ms"), 0.99)];
    let mut spent = figure("CPU time of nats-server for a deletion", "ms");
    let mut hurried = [
        (beside("5 a second without a pause: p50 of a send"), 0.5),
        (beside("5 a second without a pause: p99 of a send"), 0.99),
    ];
    let mut felt = [
        (beside("the eraser: p50 of a send"), 0.5),
        (beside("the eraser: p99 of a send").goal("at most 2 x"), 0.99),
    ];
    let mut done = figure("the eraser: deletions", "1/s");
    for _ in 0..if full() { 5 } else { 3 } {
        let before = cpu(stage.nats.pid());
        let calm = sends(stage, &talks).await;
        let calm_spent = cpu(stage.nats.pid()) - before;
        let deletions = RefCell::default();
        let before = cpu(stage.nats.pid());
        let busy = tokio::select! {
            busy = sends(stage, &talks) => busy,
            () = deletes(&log, &mut by_hand, &deletions) => unreachable!("there is more to delete"),
        };
        let busy_spent = cpu(stage.nats.pid()) - before;
        let mut deletions = deletions.into_inner();
        deletions.sort_unstable();
        for (figure, p) in &mut took {
            figure.round(part(&deletions, *p), None);
        }
        for (figure, p) in &mut hurried {
            figure.round(part(&busy, *p), Some(part(&calm, *p)));
        }
        let more = busy_spent.saturating_sub(calm_spent).as_secs_f64() * 1e3;
        spent.round(more / deletions.len() as f64, None);

        let calm = sends(stage, &talks).await;
        let before = deleted(&log).await;
        let mut eraser = eraser(stage);
        while deleted(&log).await == before {
            sleep(LOOK).await;
        }
        let (before, begun) = (deleted(&log).await, Instant::now());
        let busy = sends(stage, &talks).await;
        done.round((deleted(&log).await - before) as f64 / begun.elapsed().as_secs_f64(), None);
        eraser.kill().await.expect("it runs");
        for (figure, p) in &mut felt {
            figure.round(part(&busy, *p), Some(part(&calm, *p)));
        }
    }
    took.into_iter().chain(hurried).chain(felt).for_each(|(figure, _)| figure.note());
    [spent, done].into_iter().for_each(Figure::note);
}

/// The times until each message was stored, sorted.
async fn sends(stage: &Stage, talks: &[Talk]) -> Vec<Duration> {
    let (clock, times) = (Clock::system(), RefCell::new(Vec::new()));
    paced(RATE, LASTING, async |n| {
        let (draft, _) = message(&clock, talks, n);
        let begun = Instant::now();
        stage.log.append(&draft).await.expect("stored");
        times.borrow_mut().push(begun.elapsed());
    })
    .await;
    let mut times = times.into_inner();
    times.sort_unstable();
    times
}

/// Deletes at the rate of the eraser, without a pause for the sends, and records how long each deletion took.
async fn deletes(log: &Context, some: &mut impl Iterator<Item = &Said>, took: &RefCell<Vec<Duration>>) {
    let stream = log.get_stream("CHAT_0").await.expect("the stream");
    let mut next = interval(Duration::from_secs(1) / ERASED);
    next.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for said in some {
        next.tick().await;
        let begun = Instant::now();
        assert!(stream.delete_message(said.position.0).await.expect("deleted"), "it was there");
        took.borrow_mut().push(begun.elapsed());
    }
}

/// Lists messages as erased, as a node does.
async fn list(stage: &Stage, log: &Context, some: impl Iterator<Item = &Said>) {
    let (clock, stream) = (Clock::system(), log.get_stream("CHAT_0").await.expect("the stream"));
    for said in some {
        let stored = stream.get_raw_message(said.position.0).await.expect("the message");
        let id = stored.headers.get("ce-id").and_then(|id| id.as_str().parse().ok()).expect("an id");
        let entry = ErasedEntry {
            position: said.position,
            id: EventId::known(id),
            kind: "message.sent".into(),
            lane: "timeline".into(),
            actor: said.sender,
            time: said.time,
            message_id: Some(said.message.message_id),
            message_position: None,
            client_hash: None,
            counts: true,
            data: None,
        };
        let erased =
            ContentErased { request_id: Uuid::now_v7(), reason: "request".into(), erased: vec![entry] };
        let event = Event::ContentErased(erased);
        let draft = draft(&clock, said.conversation, said.sender, event, None);
        stage.log.append(&draft).await.expect("stored");
    }
}

/// The eraser, as an operator runs it.
fn eraser(stage: &Stage) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_verbatim"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("VERBATIM_")) {
        command.env_remove(name);
    }
    command
        .arg("eraser")
        .env("VERBATIM_NATS_ERASER_URL", stage.nats.url_of(NatsUser::Eraser))
        .env("VERBATIM_DATABASE_URL", stage.postgres.url())
        .env("VERBATIM_ERASE_RATE", ERASED.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("the program runs")
}

/// The number of messages that were deleted from the log.
async fn deleted(log: &Context) -> u64 {
    let stream = log.get_stream("CHAT_0").await.expect("the stream");
    stream.cached_info().state.deleted_count.unwrap_or_default()
}
