//! Endpoints to which this node cannot send, because its key or its settings do not fit them. No owner reports how far
//! such an endpoint lags, so the node that finds it does, and the alert for late webhooks fires.

use std::{collections::HashMap, time::Duration};

use sqlx::PgPool;
use tokio::time::{Instant, timeout};

use crate::{
    domain::{Position, WebhookId},
    hooks::figures::figures,
    log::{CLAIM, Log},
    telemetry::METRICS,
};

/// An endpoint that was not found again for this long has an owner: each claim on it ends after [`CLAIM`].
const FORGET: Duration = Duration::from_secs(CLAIM.as_secs() * 3);
/// How long the servers may take for all figures.
const ANSWER: Duration = Duration::from_secs(3);

/// The endpoints to which this node cannot send.
#[derive(Default)]
pub(super) struct StuckEndpoints {
    known: HashMap<WebhookId, Stuck>,
    has_news: bool,
}

struct Stuck {
    /// When the endpoint was last found.
    found: Instant,
    /// Since when it has lacked events.
    lags_since: Option<Instant>,
}

impl StuckEndpoints {
    /// Notes that this node cannot send to an endpoint. Returns whether this is news.
    pub(super) fn find(&mut self, id: WebhookId) -> bool {
        let found = Instant::now();
        if let Some(stuck) = self.known.get_mut(&id) {
            stuck.found = found;
            return false;
        }
        self.known.insert(id, Stuck { found, lags_since: None });
        self.has_news = true;
        true
    }

    /// Forgets an endpoint, and what was reported about it.
    pub(super) fn forget(&mut self, id: WebhookId) {
        if self.known.remove(&id).is_some() {
            let label = [("webhook", id.to_string())];
            METRICS.webhook_lag_events.remove(&label);
            METRICS.webhook_lag_seconds.remove(&label);
        }
    }

    /// Forgets the endpoints that are no longer wanted, and those that another node has by now.
    pub(super) fn forget_others(&mut self, is_wanted: impl Fn(WebhookId) -> bool) {
        let is_over = |(id, stuck): (&WebhookId, &Stuck)| {
            (stuck.found.elapsed() > FORGET || !is_wanted(*id)).then_some(*id)
        };
        let over: Vec<_> = self.known.iter().filter_map(is_over).collect();
        over.into_iter().for_each(|id| self.forget(id));
    }

    /// Whether an endpoint has been found whose lag was not reported yet.
    pub(super) fn has_news(&self) -> bool {
        self.has_news
    }

    /// Reports how far the endpoints lag. If the servers do not answer, the last report stands.
    pub(super) async fn tell(&mut self, log: &Log, pool: &PgPool) {
        let ids: Vec<_> = self.known.keys().copied().collect();
        if ids.is_empty() {
            return;
        }
        let asked = async { Some((log.ends().await.ok()?, figures(pool, &ids).await.ok()?)) };
        let Ok(Some((ends, figures))) = timeout(ANSWER, asked).await else { return };
        self.has_news = false;
        for (id, stuck) in &mut self.known {
            let cursors = figures.get(id).map_or(&[][..], |figures| &figures.cursors);
            let events: u64 = cursors.iter().map(|cursor| missing(&ends, cursor)).sum();
            stuck.lags_since = (events > 0).then(|| stuck.lags_since.unwrap_or_else(Instant::now));
            let seconds = stuck.lags_since.map_or(0, |since| since.elapsed().as_secs());
            let label = [("webhook", id.to_string())];
            METRICS.webhook_lag_events.get_or_create(&label).set(events.cast_signed());
            METRICS.webhook_lag_seconds.get_or_create(&label).set(seconds.cast_signed());
        }
    }
}

/// How many events of a stream are after a cursor.
pub(super) fn missing(ends: &[Position], (stream, at): &(usize, Position)) -> u64 {
    ends.get(*stream).map_or(0, |end| end.0.saturating_sub(at.0))
}
