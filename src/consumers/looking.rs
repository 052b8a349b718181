//! How far consumers have come, and what they were given in vain.

use std::time::Duration;

use serde::Serialize;

use crate::{
    accounts::consumers::{self, StoredConsumer},
    consumers::{ConsumerError, ConsumerFilter, Office, adding::durables},
    domain::Time,
    log::{DeadLetter, DurableState},
};

/// A consumer that has acknowledged nothing for so long, and has something to acknowledge for so long, is stuck.
const PATIENCE: Duration = Duration::from_secs(60);
/// A consumer that was given something so recently lives.
const LATELY: Duration = Duration::from_secs(30);

/// What a consumer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ConsumerActivity {
    /// It asks for events, or was given some lately.
    Live,
    /// It has asked for events before.
    Idle,
    /// Events wait for it, and it acknowledges none.
    Stuck,
    /// It has never asked for events.
    NeverConnected,
}

/// A consumer in the list.
#[derive(Debug, Serialize)]
pub(crate) struct ListedConsumer {
    pub(crate) name: String,
    pub(crate) lanes: Vec<String>,
    pub(crate) conversations: Vec<String>,
    pub(crate) types: Vec<String>,
    pub(crate) reads_audit: bool,
    /// Events that it has not acknowledged.
    pub(crate) lag_events: u64,
    /// The age of the oldest of them; 0 if there is none.
    pub(crate) lag_seconds: u64,
    pub(crate) parked: usize,
    pub(crate) redelivered: u64,
    pub(crate) last_active: Option<Time>,
    pub(crate) state: ConsumerActivity,
    pub(crate) created_at: Time,
    pub(crate) expires_at: Option<Time>,
    /// Whether credentials of it should have been revoked by now.
    pub(crate) overdue: bool,
}

/// All consumers.
pub(crate) async fn list(office: &Office<'_>) -> Result<Vec<ListedConsumer>, ConsumerError> {
    let overdue = consumers::overdue(office.pool, office.clock.now()).await?;
    let mut listed = Vec::new();
    for consumer in consumers::all(office.pool).await? {
        let is_overdue = overdue.iter().any(|credentials| credentials.name == consumer.name);
        listed.push(look(office, consumer, is_overdue).await?);
    }
    Ok(listed)
}

/// The events that a consumer was given in vain.
pub(crate) async fn parked(office: &Office<'_>, name: &str) -> Result<Vec<DeadLetter>, ConsumerError> {
    office.named(name).await?;
    Ok(office.log.parked(name).await?)
}

async fn look(
    office: &Office<'_>,
    consumer: StoredConsumer,
    overdue: bool,
) -> Result<ListedConsumer, ConsumerError> {
    let states = states(office, &consumer).await?;
    let now = office.clock.now();
    let oldest = states.iter().filter_map(|state| state.waits_since).min();
    Ok(ListedConsumer {
        lag_events: states.iter().map(|state| state.lag).sum(),
        lag_seconds: oldest.map_or(0, |since| now.since(since).as_secs()),
        parked: office.log.parked(&consumer.name).await?.len(),
        redelivered: states.iter().map(|state| state.redelivered).sum(),
        last_active: states.iter().filter_map(|state| state.last_active).max(),
        state: activity(&states, now),
        conversations: consumer.conversations.iter().map(ToString::to_string).collect(),
        created_at: Time::of(consumer.created_at),
        expires_at: consumer.expires_at.map(Time::of),
        name: consumer.name,
        lanes: consumer.lanes,
        types: consumer.types,
        reads_audit: consumer.reads_audit,
        overdue,
    })
}

/// How far the durables of a consumer have come.
pub(super) async fn states(
    office: &Office<'_>,
    consumer: &StoredConsumer,
) -> Result<Vec<DurableState>, ConsumerError> {
    let filter = ConsumerFilter::of(consumer).map_err(ConsumerError::Refused)?;
    let mut states = Vec::new();
    for durable in durables(office, &consumer.name, &filter) {
        states.extend(office.log.durable_state(&consumer.name, &durable.stream).await?);
    }
    Ok(states)
}

pub(super) fn activity(states: &[DurableState], now: Time) -> ConsumerActivity {
    let is_old = |time: Time| now.since(time) > PATIENCE;
    let is_stuck = |state: &DurableState| {
        state.waits_since.is_some_and(is_old) && is_old(state.acknowledged.unwrap_or(state.made))
    };
    let last = states.iter().filter_map(|state| state.last_active).max();
    let is_asking = states.iter().any(|state| state.waiting > 0);
    match last {
        None if !is_asking => ConsumerActivity::NeverConnected,
        _ if states.iter().any(is_stuck) => ConsumerActivity::Stuck,
        Some(last) if is_asking || now.since(last) < LATELY => ConsumerActivity::Live,
        None => ConsumerActivity::Live,
        Some(_) => ConsumerActivity::Idle,
    }
}
