//! What operators do with webhooks: add, change, test, replay and inspect them.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use sqlx::PgPool;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use crate::{
    accounts::{By, Stamp},
    credentials::{MasterKey, SignatureKind, WebhookSecret},
    domain::{ConversationId, EventId, Position, ReplayId, WebhookId},
    hooks::{
        Delivery, DeliveryState, Figures, HookError, ReplayWanted, StoredEndpoint, deliveries, endpoints,
        figures::figures, replays,
    },
    log::Log,
    outbound::Target,
    webhooks::{
        endpoint::{Endpoint, Shape, put_secret, seal_secret},
        not_done::{Bound, WebhookError},
        range::{Range, Since},
        request::{Outcome, Request, deliver},
        sender::Sender,
        stuck::missing,
    },
};

/// How long a replaced secret also signs, unless the request says otherwise.
pub(crate) const ROTATION: Duration = Duration::from_secs(86_400);
/// The longest time for which both secrets sign.
pub(crate) const MAX_ROTATION: Duration = Duration::from_secs(604_800);
/// The requests in flight at once for an endpoint, unless its settings say otherwise.
const CONCURRENCY: u16 = 16;
/// The most tests of endpoints that this node sends at once.
const TESTS: usize = 4;

/// The webhooks of this installation, as operators see them. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Webhooks {
    pool: PgPool,
    log: Log,
    sender: Sender,
    tests: Arc<Semaphore>,
}

/// An endpoint whose secret was replaced.
pub(crate) struct RotatedEndpoint {
    /// The endpoint, and its new secret.
    pub added: AddedEndpoint,
    /// The headers that are no longer sent, because another master key has sealed them.
    pub lost_headers: Vec<String>,
}

/// An endpoint that was added, or whose secret was replaced.
pub(crate) struct AddedEndpoint {
    /// The endpoint.
    pub seen: SeenEndpoint,
    /// Its secret, which is shown this once; `None` if a key pair signs.
    pub secret: Option<Zeroizing<String>>,
}

/// An endpoint as operators see it.
#[derive(Debug)]
pub(crate) struct SeenEndpoint {
    /// The settings.
    pub stored: StoredEndpoint,
    /// The key for verifying signatures, if the endpoint signs with a key pair and the master key is configured.
    pub public_key: Option<String>,
    /// Why this process cannot send to the endpoint with its own key and settings.
    pub unusable_reason: Option<String>,
    /// The figures.
    pub figures: Figures,
    /// The stored events that the endpoint has still to receive or to skip.
    pub lag_events: u64,
}

/// A replay that was begun.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Replayed {
    /// The id, as in the header `verbatim-replay`.
    pub id: ReplayId,
    /// The number of events, if it is known.
    pub events: Option<u64>,
}

/// The result of a test.
pub(crate) type Tested = Outcome;

impl Webhooks {
    /// The webhooks of an installation.
    pub(crate) fn new(pool: PgPool, log: Log, sender: Sender) -> Self {
        Self { pool, log, sender, tests: Arc::new(Semaphore::new(TESTS)) }
    }

    fn master(&self) -> Result<&MasterKey, WebhookError> {
        self.sender.master.as_deref().ok_or(WebhookError::NotConfigured)
    }

    fn stamp(&self, by: By) -> Stamp {
        Stamp::now(&self.sender.clock, by)
    }

    /// The host is resolved now, so that a mistake shows here and not only in the delivery log. Each delivery checks
    /// again.
    async fn judge(&self, target: &Target) -> Result<(), WebhookError> {
        self.sender.outbound.judge(target).await.map_err(|_| WebhookError::Address)
    }

    /// Adds an endpoint.
    pub(crate) async fn add(
        &self,
        shape: Shape,
        kind: SignatureKind,
        from: Since,
        by: By,
    ) -> Result<AddedEndpoint, WebhookError> {
        let master = self.master()?;
        let target = shape.check(self.sender.schemes)?;
        if let Some(target) = &target {
            self.judge(target).await?;
        }
        let cursors = self.cursors(&from).await?;
        let (id, stamp) = (self.sender.clock.id(WebhookId::known), self.stamp(by));
        let secret = WebhookSecret::draw(kind);
        let mut new = StoredEndpoint {
            id,
            url: String::new(),
            types: Vec::new(),
            lanes: Vec::new(),
            conversations: Vec::new(),
            services: Vec::new(),
            is_ordered: true,
            is_thin: false,
            concurrency: CONCURRENCY,
            signature: kind.word().to_owned(),
            description: String::new(),
            secret: seal_secret(id, &secret, master),
            old_secret: None,
            headers: Vec::new(),
            header_names: Vec::new(),
            created_at: stamp.at,
            disabled: None,
            failing_since: None,
            failures: 0,
            fence: 0,
            version: 0,
        };
        let headers = Some(shape.headers.clone().unwrap_or_default());
        Shape { headers, ..shape }.put_into(&mut new, master);
        endpoints::add(&self.pool, &new, &cursors, stamp).await?;
        Ok(AddedEndpoint { seen: self.seen(vec![new]).await?.remove(0), secret: secret.text() })
    }

    /// Changes the settings of an endpoint.
    pub(crate) async fn change(
        &self,
        id: WebhookId,
        shape: Shape,
        by: By,
    ) -> Result<SeenEndpoint, WebhookError> {
        let master = self.master()?;
        if let Some(target) = shape.check(self.sender.schemes)? {
            self.judge(&target).await?;
        }
        let put = |endpoint: &mut StoredEndpoint| shape.put_into(endpoint, master);
        let changed = endpoints::change(&self.pool, id, put, self.stamp(by)).await?;
        self.one(changed).await
    }

    /// Replaces the secret. Both secrets sign until the overlap is over. Also repairs an endpoint whose values another
    /// master key has sealed.
    pub(crate) async fn rotate(
        &self,
        id: WebhookId,
        overlap: Duration,
        by: By,
    ) -> Result<RotatedEndpoint, WebhookError> {
        let master = self.master()?;
        let stored = endpoints::find(&self.pool, id).await?.ok_or(HookError::NotFound)?;
        let kind = SignatureKind::named(&stored.signature).unwrap_or(SignatureKind::V1);
        let (secret, stamp) = (WebhookSecret::draw(kind), self.stamp(by));
        let (until, mut lost_headers) = (stamp.at.plus(overlap), Vec::new());
        let put = |endpoint: &mut StoredEndpoint| {
            lost_headers = put_secret(endpoint, &secret, until, master);
        };
        let rotated = endpoints::rotate(&self.pool, id, put, stamp).await?;
        let added = AddedEndpoint { seen: self.one(rotated).await?, secret: secret.text() };
        Ok(RotatedEndpoint { added, lost_headers })
    }

    /// The endpoint of this id.
    pub(crate) async fn find(&self, id: WebhookId) -> Result<SeenEndpoint, WebhookError> {
        let stored = endpoints::find(&self.pool, id).await?.ok_or(HookError::NotFound)?;
        self.one(stored).await
    }

    /// The endpoints, the latest first, after the endpoint `after`.
    pub(crate) async fn list(
        &self,
        after: Option<WebhookId>,
        limit: i64,
    ) -> Result<Vec<SeenEndpoint>, WebhookError> {
        self.seen(endpoints::list(&self.pool, after, limit).await?).await
    }

    async fn one(&self, stored: StoredEndpoint) -> Result<SeenEndpoint, WebhookError> {
        Ok(self.seen(vec![stored]).await?.remove(0))
    }

    async fn seen(&self, stored: Vec<StoredEndpoint>) -> Result<Vec<SeenEndpoint>, WebhookError> {
        let ids: Vec<_> = stored.iter().map(|stored| stored.id).collect();
        let mut found = figures(&self.pool, &ids).await?;
        let ends = if ids.is_empty() { Vec::new() } else { self.log.ends().await? };
        let seen = |stored: StoredEndpoint| {
            let figures = found.remove(&stored.id).unwrap_or_default();
            let lag_events = figures.cursors.iter().map(|cursor| missing(&ends, cursor)).sum();
            let (public_key, unusable_reason) = match Endpoint::open(&stored, &self.sender) {
                Ok(endpoint) => (endpoint.public_key(), None),
                Err(why) => (None, Some(why.to_string())),
            };
            SeenEndpoint { stored, public_key, unusable_reason, figures, lag_events }
        };
        Ok(stored.into_iter().map(seen).collect())
    }

    /// Stops sending to an endpoint. It misses nothing, because its cursor stays.
    pub(crate) async fn disable(&self, id: WebhookId, by: By) -> Result<SeenEndpoint, WebhookError> {
        let disabled = endpoints::disable(&self.pool, id, "operator", None, self.stamp(by)).await?;
        self.one(disabled).await
    }

    /// Sends to an endpoint again, from where it was or from the next event on. Events that wait for a retry are due at
    /// once.
    pub(crate) async fn enable(
        &self,
        id: WebhookId,
        is_from_now: bool,
        by: By,
    ) -> Result<SeenEndpoint, WebhookError> {
        let from = if is_from_now { Some(self.cursors(&Since::Now).await?) } else { None };
        let enabled = endpoints::enable(&self.pool, id, from.as_deref(), self.stamp(by)).await?;
        self.one(enabled).await
    }

    /// Removes an endpoint.
    pub(crate) async fn remove(&self, id: WebhookId, by: By) -> Result<(), WebhookError> {
        match endpoints::remove(&self.pool, id, self.stamp(by)).await? {
            true => Ok(()),
            false => Err(HookError::NotFound.into()),
        }
    }

    /// Sends a test event without meaning to an endpoint, and reports its answer.
    pub(crate) async fn test(&self, id: WebhookId) -> Result<Tested, WebhookError> {
        let stored = endpoints::find(&self.pool, id).await?.ok_or(HookError::NotFound)?;
        let endpoint = Endpoint::open(&stored, &self.sender)?;
        let _place = self.tests.try_acquire().map_err(|_| WebhookError::Busy)?;
        let (event, now) = (self.sender.clock.id(EventId::known), self.sender.clock.now());
        let body = json!({
            "specversion": "1.0", "id": event, "type": "verbatim.webhook.test.v1", "source": format!("/webhooks/{id}"),
            "time": now, "datacontenttype": "application/json", "data": {},
        });
        let body = body.to_string().into();
        let request = Request { id: event.to_string(), body, attempt: 1, replay: None, parked: 0 };
        Ok(deliver(&self.sender, &endpoint, request).await)
    }

    /// The latest attempts of an endpoint, older than the attempt `before`.
    pub(crate) async fn deliveries(
        &self,
        id: WebhookId,
        state: Option<DeliveryState>,
        conversation: Option<ConversationId>,
        before: Option<i64>,
        limit: i64,
    ) -> Result<Vec<Delivery>, WebhookError> {
        endpoints::find(&self.pool, id).await?.ok_or(HookError::NotFound)?;
        Ok(deliveries::list(&self.pool, id, state, conversation, before, limit).await?)
    }

    /// Begins a replay.
    pub(crate) async fn replay(&self, id: WebhookId, range: Range) -> Result<Replayed, WebhookError> {
        let wanted = match range {
            Range::Deliveries(ids) => ReplayWanted::Deliveries(ids),
            Range::Parked => ReplayWanted::Parked,
            Range::Log { from, conversation: Some(conversation), until } => {
                let streams = self.log.layout().streams;
                from.is_within(Bound::From, streams)?;
                until.iter().try_for_each(|until| until.is_within(Bound::Until, streams))?;
                let stream = self.log.stream_of(conversation);
                let end = self.log.last(stream).await?;
                let after = self.before(stream, &from, end).await?;
                let until = match until {
                    Some(until) => self.upto(stream, &until, end).await?,
                    None => end,
                };
                ReplayWanted::Conversation(conversation, after, until)
            }
            Range::Log { from, conversation: None, until } => {
                let count = self.log.layout().streams;
                until.iter().try_for_each(|until| until.is_of_all(Bound::Until, count))?;
                let mut streams = Vec::new();
                for (stream, after) in self.cursors(&from).await? {
                    let end = self.log.last(stream).await?;
                    let until = match &until {
                        Some(until) => self.upto(stream, until, end).await?,
                        None => end,
                    };
                    streams.push((stream, after, until));
                }
                ReplayWanted::Streams(streams)
            }
        };
        let (replay, now) = (self.sender.clock.id(ReplayId::known), self.sender.clock.now());
        let events = replays::begin(&self.pool, id, replay, &wanted, now).await?;
        Ok(Replayed { id: replay, events })
    }

    /// The position before the first wanted event of each stream.
    async fn cursors(&self, from: &Since) -> Result<Vec<(usize, Position)>, WebhookError> {
        let streams = self.log.layout().streams;
        from.is_of_all(Bound::From, streams)?;
        let mut cursors = Vec::with_capacity(streams);
        for stream in 0..streams {
            let end = self.log.last(stream).await?;
            cursors.push((stream, self.before(stream, from, end).await?));
        }
        Ok(cursors)
    }

    async fn before(&self, stream: usize, from: &Since, end: Position) -> Result<Position, WebhookError> {
        let before = |first: Position| Position(first.0.saturating_sub(1)).min(end);
        Ok(match from {
            Since::Now => end,
            Since::Start => Position::START,
            Since::Time(time) => self.log.before(stream, *time).await?,
            Since::Position(first) => before(*first),
            Since::Streams(map) => map.get(&stream).map_or(end, |first| before(*first)),
        })
    }

    /// The last wanted position of a stream.
    async fn upto(&self, stream: usize, until: &Since, end: Position) -> Result<Position, WebhookError> {
        Ok(match until {
            Since::Position(last) => (*last).min(end),
            Since::Streams(map) => map.get(&stream).map_or(end, |last| (*last).min(end)),
            other => self.before(stream, other, end).await?,
        })
    }
}
