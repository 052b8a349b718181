//! Writing: an event counts when JetStream has answered that it is stored, not before.

use std::{pin::pin, time::Duration};

use async_nats::{HeaderMap, client::RequestErrorKind, jetstream::ErrorCode};
use bytes::Bytes;
use serde::Deserialize;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::{
    domain::{ConversationId, Lane, Position},
    log::{APPEND_DEADLINE, Draft, Log, REQUEST_TIMEOUT, note},
    telemetry::METRICS,
};

/// How long to wait before the same append is tried again.
pub(in crate::log) const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// How long the answer to a publication is awaited before it is sent again. JetStream knows it by
/// its id, and a server that hangs or has just handed over does not answer at all.
const ANSWER: Duration = Duration::from_secs(1);

/// An append that takes longer tells that the log does not work as it should.
const SLOW: Duration = Duration::from_secs(2);

/// The log cannot answer now; whether the event is stored is not known. The same event with the
/// same key may be tried again.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the log does not answer: {0}")]
pub struct Unavailable(String);

impl Unavailable {
    /// With a reason for the log lines; clients are not told it.
    pub fn because(why: impl std::fmt::Display) -> Self {
        Self(why.to_string())
    }
}

/// Why an event was not appended.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NotAppended {
    /// nats-server takes no message of its size; trying again does not help.
    #[error(
        "nats-server refuses a message of this size: raise its `max_payload`, or `max_msg_size` of the stream"
    )]
    TooLarge,
    /// The log cannot answer.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl NotAppended {
    pub(in crate::log) fn too_large() -> Self {
        METRICS.too_large.inc();
        Self::TooLarge
    }
}

/// Where an event stands now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Its position.
    pub position: Position,
    /// The log had it from an earlier attempt: what is stored there is the first one.
    pub duplicate: bool,
}

/// Why a roster event was not appended.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Conflict {
    /// Somebody else was faster: decide again on the new roster.
    #[error("the roster changed meanwhile, at {0}")]
    Changed(Position),
    /// It was not appended for another reason.
    #[error(transparent)]
    NotAppended(#[from] NotAppended),
}

impl From<Unavailable> for Conflict {
    fn from(outage: Unavailable) -> Self {
        Self::NotAppended(outage.into())
    }
}

/// A message on its way into the log.
#[derive(Debug, Clone)]
pub(in crate::log) struct Outgoing {
    pub(in crate::log) conversation: ConversationId,
    pub(in crate::log) subject: String,
    pub(in crate::log) headers: HeaderMap,
    pub(in crate::log) payload: Bytes,
}

impl Log {
    fn outgoing(&self, draft: &Draft) -> Outgoing {
        let headers = draft.headers(self.public_url.as_deref());
        Outgoing {
            conversation: draft.conversation,
            subject: draft.subject(),
            headers,
            payload: draft.payload(),
        }
    }
}

/// Why JetStream did not take a message.
#[derive(Debug, Clone, thiserror::Error)]
pub(in crate::log) enum Refused {
    /// The subject's last sequence was another than expected.
    #[error("another event was stored meanwhile")]
    WrongLast,
    /// It is larger than the server or the stream takes.
    #[error("it is too large")]
    TooLarge,
    /// Anything else; trying again may help.
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

/// Until when an attempt may last of which several have time before the deadline.
pub(in crate::log) fn attempt(deadline: Instant) -> Instant {
    deadline.min(Instant::now() + ANSWER)
}

/// Publishes and waits for the answer that it is stored.
pub(in crate::log) async fn publish(
    client: &async_nats::Client,
    out: Outgoing,
    until: Instant,
) -> Result<PublishAnswer, Refused> {
    let request = async_nats::Request::new().headers(out.headers).payload(out.payload).timeout(None);
    // Without a connection the request may have to wait even to be sent.
    let answer = timeout_at(until, client.send_request(out.subject, request))
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

/// nats-server 2.15 has two codes for it: 10071 and 10164.
fn is_wrong_last(code: ErrorCode) -> bool {
    code == ErrorCode::STREAM_WRONG_LAST_SEQUENCE || code == ErrorCode(10164)
}

impl Log {
    /// Appends to the timeline or the receipts. Answers when it is stored; retries for up to
    /// [`APPEND_DEADLINE`].
    pub async fn append(&self, draft: &Draft) -> Result<Appended, NotAppended> {
        let mut append = pin!(self.queues[self.stream_of(draft.conversation)].append(self.outgoing(draft)));
        let appended = match timeout(SLOW, &mut append).await {
            Ok(appended) => appended,
            Err(_) => {
                note(&self.works, false);
                append.await
            }
        };
        if appended.is_ok() {
            note(&self.works, true);
        }
        appended
    }

    /// Appends to the roster if its last event is still the one at `expected`
    /// ([`Position::START`]: there is none yet).
    pub async fn append_roster(&self, draft: &Draft, expected: Position) -> Result<Position, Conflict> {
        let deadline = Instant::now() + APPEND_DEADLINE;
        loop {
            let mut out = self.outgoing(draft);
            out.headers.insert("Nats-Expected-Last-Subject-Sequence", expected.to_string());
            match publish(&self.client, out, attempt(deadline)).await {
                Ok(answer) => {
                    let position = Position(answer.seq);
                    self.outcomes.stored();
                    self.known(draft.conversation).note(position, draft.conversation);
                    return Ok(position);
                }
                // After an attempt without an answer the one who was faster may be ourselves.
                Err(Refused::WrongLast) => {
                    let next = self.next_in_roster(draft.conversation, expected).await?;
                    return match next {
                        Some(recorded) if recorded.id == draft.id => Ok(recorded.position),
                        Some(recorded) => Err(Conflict::Changed(recorded.position)),
                        None => Err(Conflict::Changed(expected)),
                    };
                }
                Err(Refused::TooLarge) => return Err(NotAppended::too_large().into()),
                Err(Refused::Other(why)) => {
                    self.outcomes.refused(&why);
                    if Instant::now() + RETRY_PAUSE >= deadline {
                        return Err(Unavailable(why).into());
                    }
                    tracing::debug!(why, "a roster append is tried again");
                    sleep(RETRY_PAUSE).await;
                }
            }
        }
    }

    /// Tells a presence change to a conversation. Not kept for ever, so not waited for long.
    pub async fn append_presence(&self, draft: &Draft) -> Result<(), Unavailable> {
        debug_assert_eq!(draft.event.lane(), Lane::Presence, "presence has a stream of its own");
        match publish(&self.client, self.outgoing(draft), Instant::now() + REQUEST_TIMEOUT).await {
            Ok(_) => Ok(()),
            Err(refused) => Err(Unavailable(format!("{refused:?}"))),
        }
    }
}
