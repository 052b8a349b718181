//! Following the conversations of the caller without a socket: page by page, or as a stream. The events and cursors
//! are the same as on a socket.

use std::{future::ready, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use poem::{Body, IntoResponse, Response};
use poem_openapi::{
    ApiResponse, Object, OpenApi,
    param::{Header, Query},
    registry::{MetaMediaType, MetaResponse, MetaResponses, Registry},
    types::{Example, Type},
};
use serde::Serialize;
use tokio::time::Instant;

use crate::{
    api::{
        Caller, Followed, Limit, Problem, Reply, Wait,
        http::{
            accept::{STREAM, WantsStream},
            examples,
        },
        operations::tag::Tag,
    },
    domain::{ConversationId, EventId, Json, MessageSent, Position, Time, UserId},
    reading::{EventReader, Events, Shown},
};

/// The time between two heartbeats of a stream without events.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

/// An event. `type` determines the fields of `data`. Later versions of the server add types: a client follows the
/// chain (`previous`) through an event of an unknown type, and ignores its data
#[derive(Serialize, Object)]
#[oai(example)]
struct Event {
    /// The conversation of the event
    conversation_id: ConversationId,
    /// The position of the event
    position: Position,
    /// The position of the previous event in the same conversation; 0 for the first event
    previous: Position,
    /// The type of the event, such as `message.sent`, or `message.sent.v2` for a later version of the type
    #[serde(rename = "type")]
    #[oai(rename = "type")]
    kind: String,
    /// The id of the event
    id: EventId,
    /// The user who caused the event
    actor: UserId,
    /// When the event happened, for display only; the position gives the order
    time: Time,
    /// The data of the event, as stored. The schema is at `/schemas/verbatim.<type>.v1.json`. An erased event has
    /// only `{"message_id": …, "erased": true}`
    data: Json,
}

impl From<&Shown> for Event {
    fn from(shown: &Shown) -> Self {
        let recorded = &shown.recorded;
        Self {
            conversation_id: recorded.conversation,
            position: recorded.position,
            previous: shown.previous,
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
            client_id: examples::KEY.into(),
            text: examples::TEXT.into(),
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
            data: serde_json::value::to_raw_value(&data).map(Json::from).expect("an example is JSON"),
        }
    }
}

/// The events after a cursor
#[derive(Serialize, Object)]
#[oai(example)]
struct EventPage {
    /// The events in the order of the log, without a gap in any conversation
    items: Vec<Event>,
    /// The cursor for `after` of the next request; present even if there was no event
    next_cursor: String,
}

impl Example for EventPage {
    fn example() -> Self {
        Self { items: vec![Event::example()], next_cursor: "AYxP1l0rW0aYAZMPPFp7fD2OTwEjRWeJq6oI".into() }
    }
}

/// A page, or a stream that does not end by itself
enum Told {
    Page(Reply<EventPage>),
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
            description: "A page; or, with `Accept: text/event-stream`, a stream of server-sent events. Each has an \
                          event as `data` and the cursor after that event as `id`. At the beginning, and then as a \
                          heartbeat, the stream has `event: cursor` without data, whose `id` is the current \
                          cursor. It ends with `event: end`, whose `data` has the `code` and `detail` of a problem",
            status: Some(200),
            status_range: None,
            content: vec![
                media("application/json", EventPage::schema_ref()),
                media(STREAM, String::schema_ref()),
            ],
            headers: Vec::new(),
        };
        MetaResponses { responses: vec![told] }
    }

    fn register(registry: &mut Registry) {
        EventPage::register(registry);
    }
}

pub(in crate::api) struct Following {
    pub(in crate::api) events: Events,
}

#[OpenApi(tag = "Tag::Events")]
impl Following {
    /// Follow my conversations
    ///
    /// Returns the events of all conversations of the caller after a cursor. REST and the socket use the same
    /// cursors. Without a cursor the response begins at the present moment.
    ///
    /// With `wait` the server holds the response back until there is an event (long polling). With `Accept:
    /// text/event-stream` the response is a stream that ends when the access token expires; `Last-Event-ID` then
    /// replaces `after`. A cursor from which the server cannot continue gets 410: load the state that you need and
    /// begin without a cursor. The server limits how many requests of one user wait or stream at once: another one
    /// gets 429 `too_many_followers`.
    #[oai(path = "/events", method = "get", operation_id = "follow_events")]
    async fn follow(
        &self,
        caller: Caller,
        /// The cursor after which the response begins
        after: Query<Option<String>>,
        limit: Query<Limit>,
        /// Seconds to wait for the first event, 0 to 60. The default is 0
        wait: Query<Wait>,
        WantsStream(is_stream): WantsStream,
        /// The cursor after which the stream begins. Browsers send it when they reconnect
        #[oai(name = "Last-Event-ID")]
        last: Header<Option<String>>,
    ) -> Result<Told, Followed> {
        let waits = is_stream || !wait.0.0.is_zero();
        // A browser reconnects with the original URL, and sends the cursor to continue from in a header. So
        // the header wins.
        let cursor = last.0.filter(|last| !last.is_empty()).or(after.0);
        let mut reader = self.events.follow(*caller, cursor, waits).await?;
        if is_stream {
            reader.must_be_whole().await?;
            return Ok(Told::Stream(told(reader)));
        }
        let until = Instant::now() + wait.0.0;
        let events = reader.next(limit.0.get(), until).await?;
        let items = events.iter().map(|(shown, _)| shown.into()).collect();
        Ok(Told::Page(Reply(EventPage { items, next_cursor: reader.cursor() })))
    }
}

/// A stream that lasts until the token expires, the log or the views do not answer, or this node stops. It begins with
/// a cursor, so that a client misses nothing if the stream breaks before the first event. The last part says why the
/// stream ends, and the client reconnects with the last id.
fn told(reader: EventReader) -> Response {
    let begin = format!("retry: {}\n{}", reader.retry(), place(&reader));
    let events = stream::unfold(Some(reader), |reader| async move {
        let mut reader = reader?;
        let (text, reader) = match part(&mut reader).await {
            Ok(text) => (text, Some(reader)),
            Err(why) => (ending(&why), None),
        };
        Some((text, reader))
    });
    let texts = stream::once(ready(begin)).chain(events);
    let bytes = texts.map(|text| Ok::<_, std::io::Error>(Bytes::from(text)));
    // A proxy that buffers responses would hold events back.
    Response::builder()
        .content_type(STREAM)
        .header("x-accel-buffering", "no")
        .body(Body::from_bytes_stream(bytes))
}

/// The next part of a stream.
async fn part(reader: &mut EventReader) -> Result<String, Problem> {
    let events = reader.next(Limit::MAX.into(), Instant::now() + SIGN_OF_LIFE).await?;
    if events.is_empty() && reader.is_stopping() {
        let detail = "This node is shutting down: reconnect with the last id.";
        return Err(Problem::unavailable("stopping", detail, Duration::from_secs(1)));
    }
    if events.is_empty() {
        return Ok(place(reader));
    }
    let mut text = String::new();
    for (shown, at) in &events {
        let data = serde_json::to_string(&Event::from(shown)).map_err(|_| Problem::internal())?;
        // In JSON a line break is only whitespace between tokens. Here it would end the line `data`.
        let data = data.replace(['\n', '\r'], " ");
        text.push_str(&format!("id: {}\ndata: {data}\n\n", reader.cursor_at(at)));
    }
    Ok(text)
}

/// The cursor of a stream, sent at its beginning and as a heartbeat. It is an event of its own kind without data,
/// because many clients ignore an id without an event.
fn place(reader: &EventReader) -> String {
    format!("event: cursor\nid: {}\ndata:\n\n", reader.cursor())
}

/// The last event of a stream.
fn ending(why: &Problem) -> String {
    let data = serde_json::json!({ "code": why.code, "detail": why.detail });
    format!("event: end\ndata: {data}\n\n")
}
