//! Publishing one message, and the answer of JetStream.

use std::time::Duration;

use async_nats::{HeaderMap, HeaderName, client::RequestErrorKind, connection::State, jetstream::ErrorCode};
use bytes::Bytes;
use serde::Deserialize;
use tokio::time::{Instant, timeout_at};

use crate::domain::{ConversationId, Position};

static BATCH_ID: HeaderName = HeaderName::from_static("Nats-Batch-Id");
static BATCH_SEQUENCE: HeaderName = HeaderName::from_static("Nats-Batch-Sequence");
static BATCH_COMMIT: HeaderName = HeaderName::from_static("Nats-Batch-Commit");

/// The wait before a retry of an append.
pub(in crate::log) const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// How long to wait for the answer to a publication before it is sent again. JetStream recognises the repeat by its
/// id, and a server that hangs or has just handed its stream over never answers.
const ANSWER: Duration = Duration::from_secs(1);

/// An event that is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// The position of the event.
    pub position: Position,
    /// Whether the log had the event from an earlier attempt, which is the one that is stored.
    pub duplicate: bool,
}

/// A message on its way into the log.
#[derive(Debug, Clone)]
pub(in crate::log) struct Outgoing {
    pub(in crate::log) conversation: ConversationId,
    pub(in crate::log) subject: String,
    pub(in crate::log) headers: HeaderMap,
    pub(in crate::log) payload: Bytes,
}

/// Why JetStream did not accept a message.
#[derive(Debug, Clone, thiserror::Error)]
pub(in crate::log) enum Refused {
    /// The subject's last sequence was not the expected one.
    #[error("another event was stored meanwhile")]
    WrongLast,
    /// The message is larger than the server or the stream accepts.
    #[error("it is too large")]
    TooLarge,
    /// Any other reason; a retry may help.
    #[error("{0}")]
    Other(String),
}

/// The answer of JetStream to a publication.
#[derive(Debug, Deserialize)]
pub(in crate::log) struct PublishAnswer {
    #[serde(default)]
    pub(in crate::log) seq: u64,
    #[serde(default)]
    pub(in crate::log) duplicate: bool,
    #[serde(default)]
    pub(in crate::log) count: u64,
    error: Option<async_nats::jetstream::Error>,
}

/// The deadline of one attempt, so that several attempts fit before `deadline`.
pub(in crate::log) fn attempt(deadline: Instant) -> Instant {
    deadline.min(Instant::now() + ANSWER)
}

/// Publishes a message and waits for the answer that it is stored.
pub(in crate::log) async fn publish(
    client: &async_nats::Client,
    out: Outgoing,
    until: Instant,
) -> Result<PublishAnswer, Refused> {
    send(client, out.subject, out.headers, out.payload, until).await
}

/// Publishes messages as one atomic batch, all or nothing. The answer names the last position and the number of
/// messages.
pub(in crate::log) async fn publish_batch(
    client: &async_nats::Client,
    batch: impl ExactSizeIterator<Item = (String, HeaderMap, Bytes)>,
    until: Instant,
) -> Result<PublishAnswer, Refused> {
    let (id, size) = (crate::clock::name().simple().to_string(), batch.len());
    for (number, (subject, mut headers, payload)) in (1..).zip(batch) {
        headers.insert(BATCH_ID.clone(), id.as_str());
        headers.insert(BATCH_SEQUENCE.clone(), number.to_string());
        if number == size {
            headers.insert(BATCH_COMMIT.clone(), "1");
            return send(client, subject, headers, payload, until).await;
        }
        must_arrive(client, until)?;
        client
            .publish_with_headers(subject, headers, payload)
            .await
            .map_err(|e| Refused::Other(e.to_string()))?;
    }
    Err(Refused::Other("a batch is never empty".into()))
}

/// The same for a message that belongs to no conversation.
pub(in crate::log) async fn send(
    client: &async_nats::Client,
    subject: String,
    headers: HeaderMap,
    payload: Bytes,
    until: Instant,
) -> Result<PublishAnswer, Refused> {
    must_arrive(client, until)?;
    let request = async_nats::Request::new().headers(headers).payload(payload).timeout(None);
    let answer = timeout_at(until, client.send_request(subject, request))
        .await
        .map_err(|_| Refused::Other("no answer in time".into()))?
        .map_err(|e| match e.kind() {
            RequestErrorKind::MaxPayloadExceeded => Refused::TooLarge,
            _ => Refused::Other(e.to_string()),
        })?;
    let answer: PublishAnswer =
        serde_json::from_slice(&answer.payload).map_err(|e| Refused::Other(e.to_string()))?;
    match &answer.error {
        None => Ok(answer),
        Some(e) if is_wrong_last(e.error_code()) => Err(Refused::WrongLast),
        Some(e) if e.error_code() == ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM => Err(Refused::TooLarge),
        Some(e) => Err(Refused::Other(e.to_string())),
    }
}

/// Refuses to publish without a connection, or after the deadline. The client would keep the message until it connects
/// again, however long that takes. If JetStream has forgotten the id by then, because another node has stored the same
/// event long ago, the event would be stored twice.
fn must_arrive(client: &async_nats::Client, until: Instant) -> Result<(), Refused> {
    if client.connection_state() != State::Connected {
        return Err(Refused::Other("there is no connection to nats-server".into()));
    }
    if Instant::now() >= until {
        return Err(Refused::Other("no answer in time".into()));
    }
    Ok(())
}

/// nats-server 2.15 has two codes for a wrong last sequence: 10071 and 10164.
fn is_wrong_last(code: ErrorCode) -> bool {
    code == ErrorCode::STREAM_WRONG_LAST_SEQUENCE || code == ErrorCode(10164)
}
