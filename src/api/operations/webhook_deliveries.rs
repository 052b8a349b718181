//! The delivery log of a webhook, and replays.

use poem_openapi::{
    Object, OpenApi,
    param::{Path, Query},
    types::Example,
};
use serde::{Deserialize, Serialize};

use crate::{
    api::{
        Body, Caller, Cursor, Few, Found, Limit, Page, Problem, Reply, Ruled, given,
        http::{examples, or_null::OrNull, since::SinceValue, values::words},
        operations::tag::Tag,
    },
    domain::{ConversationId, EventId, Position, ReplayId, Time, WebhookId},
    webhooks::{self, Range, Since, Webhooks},
};

/// The maximum number of deliveries in one replay.
const MOST: usize = 100;

/// The outcome of an attempt
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum DeliveryState {
    Ok,
    Failed,
    Parked,
}

words! {
    /// `ok`: the receiver accepted the event; `failed`: the attempt failed, and the event will be retried; `parked`:
    /// the last attempt failed, and the event was parked
    DeliveryState as "DeliveryState": "ok" "failed" "parked";
}

impl From<DeliveryState> for webhooks::DeliveryState {
    fn from(state: DeliveryState) -> Self {
        match state {
            DeliveryState::Ok => Self::Ok,
            DeliveryState::Failed => Self::Failed,
            DeliveryState::Parked => Self::Parked,
        }
    }
}

impl From<webhooks::DeliveryState> for DeliveryState {
    fn from(state: webhooks::DeliveryState) -> Self {
        match state {
            webhooks::DeliveryState::Ok => Self::Ok,
            webhooks::DeliveryState::Failed => Self::Failed,
            webhooks::DeliveryState::Parked => Self::Parked,
        }
    }
}

/// One attempt to send an event
#[derive(Serialize, Object)]
#[oai(example)]
struct Delivery {
    /// The number of the attempt in the delivery log of the server
    id: u64,
    /// The id of the event, which is also the `webhook-id` of the request
    event_id: EventId,
    /// The conversation of the event
    conversation_id: ConversationId,
    /// The position of the event
    position: Position,
    /// The replay that sent the event; null if it was sent by the ordinary delivery
    replay_id: OrNull<ReplayId>,
    /// The number of the attempt for this event, starting at 1
    attempt: u32,
    /// When the attempt began
    at: Time,
    /// The duration of the request, in milliseconds
    took_ms: u32,
    /// The HTTP status of the response; null if there was no response
    status: OrNull<u16>,
    /// Why the attempt failed: `address_not_allowed`, `not_connected`, `timeout`, `broken_answer`, `redirect` or
    /// `http_status`; null if the receiver accepted the event
    error: OrNull<String>,
    /// The beginning of the response: at most 1,024 bytes
    response: String,
    /// The outcome of the attempt
    state: DeliveryState,
}

impl From<webhooks::Delivery> for Delivery {
    fn from(delivery: webhooks::Delivery) -> Self {
        let webhooks::Delivery { id, made } = delivery;
        Self {
            id: id.unsigned_abs(),
            event_id: made.event,
            conversation_id: made.conversation,
            position: made.position,
            replay_id: OrNull(made.replay),
            attempt: made.attempt,
            at: made.at,
            took_ms: made.took_ms,
            status: OrNull(made.status),
            error: OrNull(made.error),
            response: made.response,
            state: made.state.into(),
        }
    }
}

impl Example for Delivery {
    fn example() -> Self {
        Self {
            id: 4_711,
            event_id: examples::event(),
            conversation_id: examples::conversation(),
            position: examples::position(),
            replay_id: OrNull(Some(examples::replay())),
            attempt: 2,
            at: examples::time(),
            took_ms: 31,
            status: OrNull(Some(503)),
            error: OrNull(Some("http_status".into())),
            response: "try later".into(),
            state: DeliveryState::Failed,
        }
    }
}

/// The events to send again: all from a point of the log on, those of some deliveries, or the parked ones
#[derive(Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(example)]
struct Replay {
    /// Where the events begin. A position alone needs `conversation_id`, unless the log has one stream
    #[serde(default, deserialize_with = "given")]
    from: Option<SinceValue>,
    /// The conversation of the events. The default is all
    #[serde(default, deserialize_with = "given")]
    conversation_id: Option<ConversationId>,
    /// Where the events end: a position, whose event is included, a position for each stream, or a time. The default
    /// is the current end of the log
    #[serde(default, deserialize_with = "given")]
    until: Option<SinceValue>,
    /// The deliveries to repeat, by their numbers in the delivery log
    #[serde(default, deserialize_with = "given")]
    deliveries: Option<Few<u64, MOST>>,
    /// Whether to send parked events again, the oldest 1,000 at once
    #[serde(default, deserialize_with = "given")]
    parked: Option<bool>,
}

impl Replay {
    fn range(self) -> Result<Range, Problem> {
        let Self { from, conversation_id, until, deliveries, parked } = self;
        let rest = conversation_id.is_none() && until.is_none();
        match (from, deliveries, parked.unwrap_or(false)) {
            (Some(SinceValue(from)), None, false) => Ok(Range::Log {
                from,
                conversation: conversation_id,
                until: until.map(|SinceValue(until)| until),
            }),
            (None, Some(ids), false) if rest => {
                let ids = ids.into_vec().into_iter().map(u64::cast_signed).collect();
                Ok(Range::Deliveries(ids))
            }
            (None, None, true) if rest => Ok(Range::Parked),
            _ => {
                let detail = "send exactly one of `from`, `deliveries` and `parked`";
                Err(Problem::invalid("", "ambiguous", detail))
            }
        }
    }
}

impl Example for Replay {
    fn example() -> Self {
        Self {
            from: Some(SinceValue(Since::Time(examples::time()))),
            conversation_id: None,
            until: None,
            deliveries: None,
            parked: None,
        }
    }
}

/// A replay that has started
#[derive(Serialize, Object)]
#[oai(example)]
struct BegunReplay {
    /// The id of the replay. Its requests carry it in the header `verbatim-replay`
    id: ReplayId,
    /// The number of events to send; null for a range of the log
    events: OrNull<u64>,
}

impl Example for BegunReplay {
    fn example() -> Self {
        Self { id: examples::replay(), events: OrNull(Some(12)) }
    }
}

pub(in crate::api) struct WebhookDeliveries {
    pub(in crate::api) webhooks: Webhooks,
}

#[OpenApi(tag = "Tag::Webhooks")]
impl WebhookDeliveries {
    /// List the deliveries of a webhook
    ///
    /// Lists attempts, newest first: failures of the last 7 days (at most 10,000), the last 1,000 successes, and
    /// parked events (at most 10,000). An attempt appears within a second or two. Needs the scope `admin:webhooks`.
    #[oai(path = "/admin/webhooks/:id/deliveries", method = "get", operation_id = "list_webhook_deliveries")]
    async fn list(
        &self,
        _caller: Caller,
        id: Path<WebhookId>,
        /// Only attempts with this outcome
        state: Query<Option<DeliveryState>>,
        /// Only attempts to send events of this conversation
        conversation_id: Query<Option<ConversationId>>,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor<i64>>>,
    ) -> Result<Reply<Page<Delivery>>, Found> {
        let (state, before) = (state.0.map(Into::into), cursor.0.map(|cursor| cursor.0));
        let found =
            self.webhooks.deliveries(id.0, state, conversation_id.0, before, limit.0.and_one()).await?;
        let page = Page::cut(found, limit.0, |last| last.id);
        Ok(Reply(page.map(Delivery::from)))
    }

    /// Replay events to a webhook
    ///
    /// Starts a replay, which runs beside the ordinary delivery and follows the same rules: in order within each
    /// conversation, with the same ids, and with the header `verbatim-replay`. A webhook can have four replays in
    /// progress. Needs the scope `admin:webhooks`.
    #[oai(path = "/admin/webhooks/:id/replay", method = "post", operation_id = "replay_webhook")]
    async fn replay(
        &self,
        _caller: Caller,
        id: Path<WebhookId>,
        body: Body<Replay>,
    ) -> Result<Reply<BegunReplay>, Ruled> {
        let begun = self.webhooks.replay(id.0, body.0.range()?).await?;
        Ok(Reply(BegunReplay { id: begun.id, events: OrNull(begun.events) }))
    }
}
