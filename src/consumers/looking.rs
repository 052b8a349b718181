//! The progress of consumers, and their parked events.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    accounts::consumers::{self, StoredConsumer},
    consumers::{
        ConsumerError, ConsumerFilter, Office,
        adding::{durables, is_there},
    },
    domain::{ConversationId, Time},
    log::{DeadLetter, DurableState},
};

/// A consumer is stuck if events have waited for it, and it has acknowledged none, for this long.
const PATIENCE: Duration = Duration::from_secs(60);
/// A consumer is live if it was given an event within this time.
const LATELY: Duration = Duration::from_secs(30);

/// The activity of a consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ConsumerActivity {
    /// It is requesting events, or was given some recently.
    Live,
    /// It has requested events before, but not recently.
    Idle,
    /// Events are waiting, and it acknowledges none.
    Stuck,
    /// It has never requested events.
    NeverConnected,
}

/// A consumer in the list.
#[derive(Debug, Serialize)]
pub(crate) struct ListedConsumer {
    pub(crate) name: String,
    pub(crate) lanes: Vec<String>,
    pub(crate) conversations: Vec<ConversationId>,
    pub(crate) types: Vec<String>,
    pub(crate) reads_audit: bool,
    /// Whether only one of its processes reads at a time.
    pub(crate) exclusive: bool,
    /// Whether it sends commands.
    pub(crate) gives_commands: bool,
    /// Events that it has not acknowledged.
    pub(crate) lag_events: u64,
    /// The age of the oldest of them; 0 if there is none.
    pub(crate) lag_seconds: u64,
    pub(crate) parked: u64,
    pub(crate) redelivered: u64,
    pub(crate) last_active: Option<Time>,
    /// Its connections to nats-server; `None` if no server reports them.
    pub(crate) connections: Option<u64>,
    pub(crate) state: ConsumerActivity,
    pub(crate) created_at: Time,
    pub(crate) expires_at: Option<Time>,
    /// Whether some of its credentials are overdue for revocation.
    pub(crate) overdue: bool,
}

/// Up to `limit` consumers in the order of their names, from after the name `behind`.
pub(crate) async fn list(
    office: &Office,
    behind: Option<&str>,
    limit: i64,
) -> Result<Vec<ListedConsumer>, ConsumerError> {
    let stored = consumers::all(&office.pool, behind, limit).await?;
    look_at_all(office, stored).await
}

/// One consumer.
pub(crate) async fn find(office: &Office, name: &str) -> Result<ListedConsumer, ConsumerError> {
    let stored = office.named(name).await?;
    look_at_all(office, vec![stored]).await?.pop().ok_or_else(|| ConsumerError::NotFound(name.to_owned()))
}

/// The names of removed consumers whose credentials are overdue for revocation.
pub(crate) async fn gone_and_overdue(office: &Office) -> Result<Vec<String>, ConsumerError> {
    let mut names = Vec::new();
    for credentials in consumers::overdue(&office.pool, office.clock.now()).await? {
        if !names.contains(&credentials.name) && !is_there(office, &credentials.name).await? {
            names.push(credentials.name);
        }
    }
    Ok(names)
}

/// The parked events of a consumer: all attempts to deliver them failed.
pub(crate) async fn parked(office: &Office, name: &str) -> Result<Vec<DeadLetter>, ConsumerError> {
    office.named(name).await?;
    Ok(office.log.parked(name).await?)
}

async fn look_at_all(
    office: &Office,
    stored: Vec<StoredConsumer>,
) -> Result<Vec<ListedConsumer>, ConsumerError> {
    if stored.is_empty() {
        return Ok(Vec::new());
    }
    let overdue = consumers::overdue(&office.pool, office.clock.now()).await?;
    let connections = office.log.connections_of_consumers().await;
    let mut listed = Vec::new();
    for consumer in stored {
        let overdue = overdue.iter().any(|credentials| credentials.name == consumer.name);
        let parked = office.log.parked(&consumer.name).await?;
        let ConsumerFigures { lag_events, lag_seconds, states } = figures(office, &consumer, &parked).await?;
        listed.push(ListedConsumer {
            lag_events,
            lag_seconds,
            parked: parked.len() as u64,
            redelivered: states.iter().map(|state| state.redelivered).sum(),
            last_active: states.iter().filter_map(|state| state.last_active).max(),
            connections: connections.as_ref().map(|all| all.get(&consumer.name).copied().unwrap_or(0)),
            state: activity(&states, office.clock.now()),
            conversations: consumer.conversations.into_iter().map(ConversationId::known).collect(),
            created_at: Time::of(consumer.created_at),
            expires_at: consumer.expires_at.map(Time::of),
            name: consumer.name,
            lanes: consumer.lanes,
            types: consumer.types,
            reads_audit: consumer.reads_audit,
            exclusive: consumer.is_exclusive,
            gives_commands: consumer.gives_commands,
            overdue,
        });
    }
    Ok(listed)
}

/// The progress of a consumer.
pub(super) struct ConsumerFigures {
    pub(super) lag_events: u64,
    pub(super) lag_seconds: u64,
    pub(super) states: Vec<DurableState>,
}

/// The progress of a consumer, in all its streams together.
pub(super) async fn figures(
    office: &Office,
    consumer: &StoredConsumer,
    parked: &[DeadLetter],
) -> Result<ConsumerFigures, ConsumerError> {
    let filter = ConsumerFilter::of(consumer)?;
    let mut states = Vec::new();
    for durable in durables(office, &consumer.name, &filter) {
        let here = parked.iter().filter(|letter| letter.stream == durable.stream);
        let parked = here.map(|letter| letter.position).collect();
        states.extend(office.log.durable_state(&consumer.name, &durable.stream, &parked).await?);
    }
    let oldest = states.iter().filter_map(|state| state.waits_since).min();
    Ok(ConsumerFigures {
        lag_events: states.iter().map(|state| state.lag).sum(),
        lag_seconds: oldest.map_or(0, |since| office.clock.now().since(since).as_secs()),
        states,
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_consumer_is_stuck_if_it_has_acknowledged_nothing_for_a_minute() {
        let noon = time::macros::datetime!(2026-11-28 12:00 UTC);
        let now = Time::of(noon);
        let ago = |seconds| Time::of(noon - Duration::from_secs(seconds));
        let state = |waits_since, acknowledged, waiting| DurableState {
            lag: u64::from(waits_since != 0),
            waits_since: (waits_since != 0).then(|| ago(waits_since)),
            redelivered: 0,
            last_active: acknowledged,
            acknowledged,
            waiting,
            made: ago(3_600),
        };
        let of = |states: &[DurableState]| activity(states, now);
        assert_eq!(of(&[state(0, None, 0)]), ConsumerActivity::NeverConnected);
        assert_eq!(of(&[state(500, None, 0)]), ConsumerActivity::NeverConnected);
        // Events have waited for more than a minute, and none was acknowledged in that time.
        assert_eq!(of(&[state(61, Some(ago(61)), 1)]), ConsumerActivity::Stuck);
        assert_eq!(of(&[state(0, Some(ago(5)), 1), state(61, None, 0)]), ConsumerActivity::Stuck);
        // It lags, but it is working.
        assert_eq!(of(&[state(3_000, Some(ago(59)), 1)]), ConsumerActivity::Live);
        assert_eq!(of(&[state(59, Some(ago(600)), 1)]), ConsumerActivity::Live);
        assert_eq!(of(&[state(0, Some(ago(31)), 0)]), ConsumerActivity::Idle);
        assert_eq!(of(&[state(0, Some(ago(29)), 0)]), ConsumerActivity::Live);
    }
}
