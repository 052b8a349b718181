//! Following one's conversations without a socket: a page at a time, waiting for the next, or as a
//! stream. The same events and cursors as the socket's.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use poem::{Body, IntoResponse, Response};
use poem_openapi::{
    ApiResponse, Object, OpenApi,
    param::{Header, Query},
    registry::{MetaMediaType, MetaResponse, MetaResponses, Registry},
    types::{Example, Type},
};
use serde::Serialize;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::{Below, Caller, Followed, Limit, Problem, Reply, Tag, Wait, examples};
use crate::{
    auth::{self, BadToken, LEEWAY},
    domain::{ConversationId, EventId, MessageSent, Point, Position, Time, UserId},
    feed::{self, Behind, Reset, Shown},
    telemetry::METRICS,
};

/// How often a client that waits is looked after.
const LOOK: Duration = Duration::from_millis(100);
/// The media type of a stream.
const STREAM: &str = "text/event-stream";
/// A stream says so often that it lives.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

/// Something that has happened
#[derive(Serialize, Object)]
#[oai(example)]
struct Event {
    /// Where
    conversation_id: ConversationId,
    /// Its position
    position: Position,
    /// The position of the conversation's event before it; 0 for the first
    previous: Position,
    /// What: `message.sent`
    #[serde(rename = "type")]
    #[oai(rename = "type")]
    kind: String,
    /// The event's id
    id: EventId,
    /// Who
    actor: UserId,
    /// When, for people to read
    time: Time,
    /// The event's data; its schema is at `/schemas/verbatim.<type>.v1.json`
    data: Value,
}

impl From<&Shown> for Event {
    fn from(Shown { recorded, previous }: &Shown) -> Self {
        Self {
            conversation_id: recorded.conversation,
            position: recorded.position,
            previous: *previous,
            kind: recorded.word.clone(),
            id: recorded.id,
            actor: recorded.actor,
            time: recorded.time,
            data: serde_json::from_slice(&recorded.data).expect(
                "data that is not JSON makes an event poison, and what is poison is void: nobody is shown it",
            ),
        }
    }
}

impl Example for Event {
    fn example() -> Self {
        let data = MessageSent {
            message_id: examples::message(),
            client_id: examples::key(),
            text: examples::text(),
            reply_to: None,
            reply_to_position: None,
            metadata: None,
            mentions: Vec::new(),
        };
        Self {
            conversation_id: examples::conversation(),
            position: examples::position(),
            previous: Position(examples::position().0 - 1),
            kind: "message.sent".into(),
            id: examples::event(),
            actor: examples::ana(),
            time: examples::time(),
            data: serde_json::to_value(data).unwrap_or_default(),
        }
    }
}

/// What has happened in my conversations since a cursor
#[derive(Serialize, Object)]
#[oai(example)]
struct Events {
    /// In the order of the log; in each conversation without a hole
    items: Vec<Event>,
    /// For `after` of the next request, also when there was nothing
    next_cursor: String,
}

impl Example for Events {
    fn example() -> Self {
        Self { items: vec![Event::example()], next_cursor: "AYxP1l0rW0aYAZMPPFp7fD2OTwEjRWeJq6oI".into() }
    }
}

/// A page, or a stream that does not end by itself
enum Told {
    Page(Reply<Events>),
    Stream(Response),
}

impl IntoResponse for Told {
    fn into_response(self) -> Response {
        match self {
            Self::Page(page) => page.into_response(),
            Self::Stream(response) => response,
        }
    }
}

impl ApiResponse for Told {
    fn meta() -> MetaResponses {
        let media = |content_type, schema| MetaMediaType { content_type, schema };
        let told = MetaResponse {
            description: "A page, or with `Accept: text/event-stream` server-sent events: `id` is the cursor \
                          behind the event, `data` the event. The last one is `event: end`, whose data say why: \
                          `code` and `detail`, as in a problem",
            status: Some(200),
            status_range: None,
            content: vec![
                media("application/json", Events::schema_ref()),
                media(STREAM, String::schema_ref()),
            ],
            headers: Vec::new(),
        };
        MetaResponses { responses: vec![told] }
    }

    fn register(registry: &mut Registry) {
        Events::register(registry);
    }
}

pub(super) struct Following(pub(super) Below);

#[OpenApi(tag = "Tag::Events")]
impl Following {
    /// Follow my conversations
    ///
    /// All events of all my conversations after a cursor, also cursors of the socket's; without one it
    /// begins now. With `wait` an answer is put off until there is something. With `Accept:
    /// text/event-stream` it goes on for as long as the access token counts; `Last-Event-ID` does what
    /// `after` does. A cursor that cannot be gone on from is answered with 410: load what you need and
    /// begin without one.
    #[oai(path = "/events", method = "get", operation_id = "follow_events")]
    async fn follow(
        &self,
        caller: Caller,
        /// The cursor to go on from
        after: Query<Option<String>>,
        limit: Query<Limit>,
        /// Wait up to so many seconds for the first event, 0 to 60; else 0
        wait: Query<Wait>,
        /// `text/event-stream` for a stream
        #[oai(name = "Accept")]
        accept: Header<Option<String>>,
        /// The cursor to go on from, as browsers send it when a stream broke off
        #[oai(name = "Last-Event-ID")]
        last: Header<Option<String>>,
    ) -> Result<Told, Followed> {
        let mut reader = Reader::begin(&self.0, *caller, after.0.or(last.0)).await?;
        if accept.0.is_some_and(|accept| accepts_stream(&accept)) {
            return Ok(Told::Stream(reader.stream()));
        }
        let until = Instant::now() + wait.0.0;
        let events = reader.next(limit.0.get(), until).await?;
        let items = events.iter().map(|(shown, _)| shown.into()).collect();
        Ok(Told::Page(Reply(Events { items, next_cursor: reader.cursor(&reader.at) })))
    }
}

/// Whether one of the media ranges is that of a stream.
fn accepts_stream(accept: &str) -> bool {
    accept.split(',').any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let is_stream = parts.next().is_some_and(|media| media.eq_ignore_ascii_case(STREAM));
        let mut weights = parts.filter_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
        is_stream && weights.all(|weight| weight.parse() != Ok(0.0))
    })
}

/// Somebody who follows their conversations.
struct Reader {
    below: Below,
    caller: auth::Caller,
    at: Vec<Point>,
}

impl Drop for Reader {
    fn drop(&mut self) {
        METRICS.followers.dec();
    }
}

impl Reader {
    async fn begin(below: &Below, caller: auth::Caller, cursor: Option<String>) -> Result<Self, Problem> {
        let now = below.commands.conversations.points();
        let at = match cursor {
            None => now,
            Some(cursor) => below.feed.points(caller.user, &cursor, &now).await??,
        };
        METRICS.followers.inc();
        Ok(Self { below: below.clone(), caller, at })
    }

    fn cursor(&self, at: &[Point]) -> String {
        self.below.feed.cursor(self.caller.user, at)
    }

    /// The next events, each with the points behind it; none when there were none until then, or this node
    /// is being stopped.
    async fn next(&mut self, limit: usize, until: Instant) -> Result<Vec<(Shown, Vec<Point>)>, Problem> {
        loop {
            self.counts()?;
            let now = self.below.commands.conversations.points();
            // A cursor of another node may be ahead of this one for a moment.
            let farther = |(at, now): (&Point, Point)| if now.position > at.position { now } else { *at };
            let to: Vec<Point> = self.at.iter().zip(now).map(farther).collect();
            if to != self.at {
                let feed = &self.below.feed;
                let _turn = feed.turn().await?;
                let mut missed = feed.missed(self.caller.user, self.at.clone(), to).await?;
                while let Some(feed::Page { events, at }) = missed.page(limit).await? {
                    let before = std::mem::replace(&mut self.at, at);
                    if !events.is_empty() {
                        return Ok(self.placed(before, events));
                    }
                }
            }
            if Instant::now() + LOOK > until || *self.below.stopping.borrow() {
                return Ok(Vec::new());
            }
            sleep(LOOK).await;
        }
    }

    fn placed(&self, mut at: Vec<Point>, events: Vec<Shown>) -> Vec<(Shown, Vec<Point>)> {
        let placed = |shown: Shown| {
            at[self.below.commands.log.stream_of(shown.recorded.conversation)] = shown.recorded.point();
            (shown, at.clone())
        };
        events.into_iter().map(placed).collect()
    }

    /// Goes on until the token has expired or was revoked, the log or the views do not answer, or this node
    /// is being stopped. The last thing said is why, and the client comes back with the last id.
    fn stream(self) -> Response {
        let events = stream::unfold(Some(self), |reader| async move {
            let mut reader = reader?;
            let (text, reader) = match reader.told().await {
                Ok(text) => (text, Some(reader)),
                Err(why) => (ending(&why), None),
            };
            Some((Ok::<_, std::io::Error>(Bytes::from(text)), reader))
        });
        Response::builder().content_type(STREAM).body(Body::from_bytes_stream(events))
    }

    /// The next part of a stream.
    async fn told(&mut self) -> Result<String, Problem> {
        let events = self.next(Limit::MAX.into(), Instant::now() + SIGN_OF_LIFE).await?;
        if events.is_empty() && *self.below.stopping.borrow() {
            let detail = "This node is being stopped: come back with the last id.";
            return Err(Problem::unavailable("stopping", detail, Duration::from_secs(1)));
        }
        if events.is_empty() {
            return Ok(format!("id: {}\n: a sign of life\n\n", self.cursor(&self.at)));
        }
        let mut text = String::new();
        for (shown, at) in &events {
            let data = serde_json::to_string(&Event::from(shown)).map_err(|_| Problem::internal())?;
            text.push_str(&format!("id: {}\ndata: {data}\n\n", self.cursor(at)));
        }
        Ok(text)
    }

    /// Whether the caller may still be told anything.
    fn counts(&self) -> Result<(), Problem> {
        if self.below.revoked.contains(self.caller.login) {
            return Err(BadToken::Invalid.into());
        }
        match self.below.clock.now() < self.caller.expires_at.plus(LEEWAY) {
            true => Ok(()),
            false => Err(BadToken::Expired.into()),
        }
    }
}

/// The last event of a stream.
fn ending(why: &Problem) -> String {
    let data = serde_json::json!({ "code": why.code, "detail": why.detail });
    format!("event: end\ndata: {data}\n\n")
}

impl From<Reset> for Problem {
    fn from(reset: Reset) -> Self {
        Self::new(
            poem::http::StatusCode::GONE,
            reset.word(),
            "This cursor cannot be gone on from: load what you need and begin without one.",
        )
    }
}

impl From<Behind> for Problem {
    fn from(behind: Behind) -> Self {
        match behind {
            Behind::Unavailable(outage) => outage.into(),
            Behind::Damaged(_) => Reset::Incomplete.into(),
            Behind::Crowded | Behind::Lagging => {
                let detail = "This node cannot read so much of the log again now: try the same again.";
                Self::unavailable("not_yet", detail, Duration::from_secs(1))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_asked_for_by_its_media_type() {
        for accept in
            [STREAM, "application/json, text/event-stream;q=0.5", "Text/Event-Stream; charset=utf-8"]
        {
            assert!(accepts_stream(accept), "{accept}");
        }
        for accept in ["", "*/*", "text/event-streams", "text/event-stream;q=0, application/json"] {
            assert!(!accepts_stream(accept), "{accept}");
        }
    }
}
