//! The metrics of consumers on a node.
//!
//! Each node with the role `api` measures them itself, so every node exposes them and no leader has to be elected. A
//! round sends the servers one request for each consumer and stream, and one more where events wait, one request at a
//! time. The parked events are read again only if their number has changed, and one request returns that number for all
//! consumers.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use tokio::time::{Instant, sleep, sleep_until};

use crate::{
    accounts::consumers::{self, StoredConsumer},
    consumers::{ConsumerError, ConsumerFilter, Office, adding::durables, looking::figures},
    log::{DeadLetter, OpenError},
    telemetry::METRICS,
};

/// The minimum interval between the starts of two rounds.
const ROUND: Duration = Duration::from_secs(5);
/// The pause after each request about a stream, so that a node sends at most 200 a second.
const REST: Duration = Duration::from_millis(5);
/// The maximum number of consumers that are measured.
const WATCHED: i64 = 1_000;

/// The known parked events of each consumer: their number as the servers count them, and the events.
type KnownParked = HashMap<String, (u64, Vec<DeadLetter>)>;

/// What a round leaves to the next one.
#[derive(Default)]
struct Seen {
    parked: KnownParked,
    /// The consumers whose metrics are exposed.
    shown: HashSet<String>,
    /// The consumers that could not be measured. An outage is one line for each, not one each round.
    failing: HashSet<String>,
}

/// Keeps the metrics of consumers current, for the life of the process.
pub(crate) async fn watch(office: Office) {
    let (mut seen, mut was_measured) = (Seen::default(), true);
    loop {
        let next = Instant::now() + ROUND;
        let measured = round(&office, &mut seen).await;
        if let Err(error) = &measured {
            // Otherwise stale values would be exposed as current ones.
            seen.shown.drain().for_each(|name| forget(&name));
            if was_measured {
                tracing::warn!(%error, "could not measure the lag of consumers; retrying");
            }
        }
        was_measured = measured.is_ok();
        sleep_until(next).await;
    }
}

async fn round(office: &Office, seen: &mut Seen) -> Result<(), ConsumerError> {
    let all = consumers::all(&office.pool, None, WATCHED).await?;
    let names: HashSet<String> = all.iter().map(|consumer| consumer.name.clone()).collect();
    for gone in seen.shown.difference(&names) {
        forget(gone);
    }
    seen.shown.retain(|name| names.contains(name));
    seen.failing.retain(|name| names.contains(name));
    seen.parked.retain(|name, _| names.contains(name));
    if all.is_empty() {
        return Ok(());
    }
    let counts = office.log.given_up().await?;
    // A stream without a leader costs a whole time limit, so it is not asked again for each of its consumers.
    let mut silent = HashSet::new();
    for consumer in all {
        let count = counts.get(&consumer.name).copied().unwrap_or(0);
        let streams = match measure(office, &consumer, count, &mut seen.parked, &silent).await {
            Ok(streams) => {
                seen.failing.remove(&consumer.name);
                seen.shown.insert(consumer.name);
                streams
            }
            Err(error) => {
                // The other consumers are measured nevertheless: the stream without a leader may be this one's alone.
                find_silent(office, &consumer, &mut silent).await;
                if seen.failing.insert(consumer.name.clone()) {
                    tracing::warn!(
                        consumer = consumer.name,
                        %error,
                        "could not measure the lag of a consumer; retrying"
                    );
                }
                seen.shown.remove(&consumer.name);
                forget(&consumer.name);
                1
            }
        };
        sleep(REST * u32::try_from(streams).unwrap_or(1)).await;
    }
    Ok(())
}

/// Finds out which streams of a consumer do not answer.
async fn find_silent(office: &Office, consumer: &StoredConsumer, silent: &mut HashSet<String>) {
    let Ok(filter) = ConsumerFilter::of(consumer) else { return };
    for durable in durables(office, &consumer.name, &filter) {
        if !silent.contains(&durable.stream) && !office.log.answers_for(&durable.stream).await {
            silent.insert(durable.stream);
        }
    }
}

/// Updates the metrics of one consumer, for which the servers count `count` parked events. Returns the number of its
/// streams.
async fn measure(
    office: &Office,
    consumer: &StoredConsumer,
    count: u64,
    known: &mut KnownParked,
    silent: &HashSet<String>,
) -> Result<usize, ConsumerError> {
    let name = &consumer.name;
    let reads = durables(office, name, &ConsumerFilter::of(consumer)?);
    if let Some(durable) = reads.iter().find(|durable| silent.contains(&durable.stream)) {
        return Err(OpenError::Streams(format!("{} does not answer", durable.stream)).into());
    }
    if known.get(name).is_none_or(|(before, _)| *before != count) {
        let parked = if count == 0 { Vec::new() } else { office.log.parked(name).await? };
        known.insert(name.clone(), (count, parked));
    }
    let parked = known.get(name).map_or(&[][..], |(_, parked)| parked);
    let measured = figures(office, consumer, parked).await?;
    let label = [("name", name.clone())];
    let gauge = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    METRICS.consumer_lag_events.get_or_create(&label).set(gauge(measured.lag_events));
    METRICS.consumer_lag_seconds.get_or_create(&label).set(gauge(measured.lag_seconds));
    METRICS.consumer_parked.get_or_create(&label).set(gauge(parked.len() as u64));
    Ok(measured.states.len())
}

fn forget(name: &str) {
    let label = [("name", name.to_owned())];
    METRICS.consumer_lag_events.remove(&label);
    METRICS.consumer_lag_seconds.remove(&label);
    METRICS.consumer_parked.remove(&label);
}
