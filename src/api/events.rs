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
    auth::{self, LEEWAY},
    domain::{ConversationId, EventId, MessageSent, Point, Position, Time, UserId},
    feed::{self, Behind, Reset, Shown},
};

/// How often a client that waits is looked after.
const LOOK: Duration = Duration::from_millis(100);
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
            data: serde_json::from_slice(&recorded.data).unwrap_or_default(),
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
                          behind the event, `data` the event",
            status: Some(200),
            status_range: None,
            content: vec![
                media("application/json", Events::schema_ref()),
                media("text/event-stream", String::schema_ref()),
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
        if accept.0.is_some_and(|accept| accept.contains("text/event-stream")) {
            return Ok(Told::Stream(reader.stream()));
        }
        let until = Instant::now() + wait.0.0;
        let events = reader.next(limit.0.get(), until).await?;
        let items = events.iter().map(|(shown, _)| shown.into()).collect();
        Ok(Told::Page(Reply(Events { items, next_cursor: reader.cursor(&reader.at) })))
    }
}

/// Somebody who follows their conversations.
struct Reader {
    below: Below,
    caller: auth::Caller,
    at: Vec<Point>,
}

impl Reader {
    async fn begin(below: &Below, caller: auth::Caller, cursor: Option<String>) -> Result<Self, Problem> {
        let now = below.commands.conversations.points();
        let at = match cursor {
            None => now,
            Some(cursor) => below.feed.points(caller.user, &cursor, &now).await??,
        };
        Ok(Self { below: below.clone(), caller, at })
    }

    fn cursor(&self, at: &[Point]) -> String {
        self.below.feed.cursor(self.caller.user, at)
    }

    /// The next events, each with the points behind it; none when there were none until then.
    async fn next(&mut self, limit: usize, until: Instant) -> Result<Vec<(Shown, Vec<Point>)>, Problem> {
        loop {
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
            if Instant::now() + LOOK > until {
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

    /// Goes on until the token has expired or was revoked, or the log or the views do not answer:
    /// the client comes back with the last id.
    fn stream(self) -> Response {
        let events = stream::unfold(self, |mut reader| async move {
            if !reader.counts() {
                return None;
            }
            let events = reader.next(Limit::MAX.into(), Instant::now() + SIGN_OF_LIFE).await.ok()?;
            let mut text = String::new();
            for (shown, at) in &events {
                let data = serde_json::to_string(&Event::from(shown)).ok()?;
                text.push_str(&format!("id: {}\ndata: {data}\n\n", reader.cursor(at)));
            }
            if events.is_empty() {
                text.push_str(&format!("id: {}\n: a sign of life\n\n", reader.cursor(&reader.at)));
            }
            Some((Ok::<_, std::io::Error>(Bytes::from(text)), reader))
        });
        Response::builder().content_type("text/event-stream").body(Body::from_bytes_stream(events))
    }

    fn counts(&self) -> bool {
        let now = self.below.clock.now();
        now < self.caller.expires_at.plus(LEEWAY) && !self.below.revoked.contains(self.caller.login)
    }
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
            Behind::Crowded | Behind::Lagging => {
                let detail = "This node cannot read so much of the log again now: try the same again.";
                Self::unavailable("not_yet", detail, Duration::from_secs(1))
            }
        }
    }
}
