//! The cost of erasing: to overwrite a message on disk, nats-server rewrites its block of up to 8 MB. Measures the time
//! of a deletion among full blocks, and the latency of sends meanwhile. The same sends without deletions alternate with
//! this.

#![allow(clippy::disallowed_methods, reason = "a client has the clock and the ids of its own machine")]

mod stage;

use std::{
    cell::{Cell, RefCell},
    time::{Duration, Instant},
};

use async_nats::jetstream::{self, stream::Stream};
use stage::{
    Stage, Talk,
    figures::{Figure, full},
    message, part,
    process::{cpu, run},
    talk::paced,
};
use tokio::time::{MissedTickBehavior, interval};
use verbatim::{clock::Clock, dev::NatsUser};

/// Enough messages to fill several blocks.
const FILLED: usize = 100_000;
/// Messages a second during a measurement, and its duration.
const RATE: u32 = 200;
const LASTING: Duration = Duration::from_secs(15);
/// Deletions a second: the minimum and the maximum of `VERBATIM_ERASE_RATE`.
const ERASED: [u32; 2] = [1, 5];
/// The distance between two deletions: a prime that does not divide [`FILLED`]. So the deletions are spread over the
/// whole log, and no message is deleted twice.
const APART: usize = 7_919;

fn main() {
    run(benchmark);
}

async fn benchmark(stage: &Stage) {
    let (talks, _) = stage.fill(FILLED).await;
    let operator = jetstream::new(stage.nats.connect(NatsUser::Operator).await.expect("NATS"));
    let log = operator.get_stream("CHAT_0").await.expect("the stream");
    let erased = Cell::new(0);
    for rate in ERASED {
        let figure = |what: &str, unit| Figure::new("erasures", format!("{rate} a second: {what}"), unit);
        let mut took = [(figure("one deletion, p50", "ms"), 0.5), (figure("one deletion, p99", "ms"), 0.99)];
        let beside = |what| figure(what, "ms").beside("the same without deletions");
        let mut felt = [(beside("p50 of a send"), 0.5), (beside("p99 of a send").goal("at most 2 x"), 0.99)];
        let mut spent = figure("CPU time of nats-server for a deletion", "ms");
        for _ in 0..if full() { 5 } else { 3 } {
            let before = cpu(stage.nats.pid());
            let calm = sends(stage, &talks).await;
            let calm_spent = cpu(stage.nats.pid()) - before;
            let deletions = RefCell::default();
            let before = cpu(stage.nats.pid());
            let busy = tokio::select! {
                busy = sends(stage, &talks) => busy,
                () = erases(&log, rate, &erased, &deletions) => unreachable!("it erases for as long as somebody sends"),
            };
            let busy_spent = cpu(stage.nats.pid()) - before;
            let mut deletions = deletions.into_inner();
            deletions.sort_unstable();
            for (figure, p) in &mut took {
                figure.round(part(&deletions, *p), None);
            }
            for (figure, p) in &mut felt {
                figure.round(part(&busy, *p), Some(part(&calm, *p)));
            }
            let more = busy_spent.saturating_sub(calm_spent).as_secs_f64() * 1e3;
            spent.round(more / deletions.len() as f64, None);
        }
        took.into_iter().chain(felt).for_each(|(figure, _)| figure.note());
        spent.note();
    }
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

/// Erases for ever like the eraser, and records how long each deletion took.
async fn erases(log: &Stream, rate: u32, erased: &Cell<usize>, took: &RefCell<Vec<Duration>>) {
    let mut next = interval(Duration::from_secs(1) / rate);
    next.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        next.tick().await;
        let position = (erased.get() + 1) * APART % FILLED + 1;
        erased.set(erased.get() + 1);
        let begun = Instant::now();
        assert!(log.delete_message(position as u64).await.expect("erased"), "it was there");
        took.borrow_mut().push(begun.elapsed());
    }
}
