//! Appending: an event counts once JetStream has acknowledged that it is stored, not before.

use std::{pin::pin, time::Duration};

use tokio::time::{Instant, sleep, timeout};

use crate::{
    domain::{Lane, Position, Recorded},
    log::{
        Log,
        connect::note,
        envelope::{Draft, TRACE},
        errors::{Conflict, NotAppended, Unavailable},
        limits::{APPEND_DEADLINE, REQUEST_TIMEOUT},
        write::publish::{Appended, Outgoing, RETRY_PAUSE, Refused, attempt, publish},
    },
    telemetry::traces::{self, OpenSpan, SpanKind},
};

/// An append that takes longer than this is a sign that the log is not healthy.
const SLOW: Duration = Duration::from_secs(2);

impl Log {
    /// The message to publish. If spans are recorded, it names the span of its publication as the parent for the
    /// event's readers.
    fn outgoing(&self, draft: &Draft, span: Option<&OpenSpan>) -> Outgoing {
        let mut headers = draft.headers(self.public_url.as_deref());
        if let Some(span) = span {
            headers.insert(TRACE.clone(), span.parent_of_more().as_str());
        }
        Outgoing {
            conversation: draft.conversation,
            subject: draft.subject(),
            headers,
            payload: draft.payload(),
        }
    }
}

impl Log {
    /// Appends to the timeline or the receipts. Returns when the event is stored; retries for up to
    /// [`APPEND_DEADLINE`].
    pub async fn append(&self, draft: &Draft) -> Result<Appended, NotAppended> {
        let span = traces::of_part(draft.trace.as_ref(), SpanKind::Producer);
        let out = self.outgoing(draft, span.as_deref());
        let mut append = pin!(self.queues[self.stream_of(draft.conversation)].append(out));
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
        self.published(span, draft, appended.as_ref().ok().map(|appended| appended.position));
        appended
    }

    /// Appends to the roster, provided that its last event is still the event at `expected`
    /// ([`Position::START`]: the roster has no event yet). If JetStream has an event with this key within its window,
    /// the answer is that event, of whatever lane.
    pub async fn append_roster(&self, draft: &Draft, expected: Position) -> Result<Appended, Conflict> {
        let span = traces::of_part(draft.trace.as_ref(), SpanKind::Producer);
        let stored = self.store_roster(draft, expected, span.as_deref()).await;
        self.published(span, draft, stored.as_ref().ok().map(|stored| stored.position));
        stored
    }

    fn published(&self, span: Option<Box<OpenSpan>>, draft: &Draft, position: Option<Position>) {
        if let Some(span) = span {
            let stream = self.stream_name(self.stream_of(draft.conversation));
            let (lane, event) = (draft.event.lane(), draft.id.to_string());
            traces::end(span.published(stream, lane.word(), event, position.map(|position| position.0)));
        }
    }

    async fn store_roster(
        &self,
        draft: &Draft,
        expected: Position,
        span: Option<&OpenSpan>,
    ) -> Result<Appended, Conflict> {
        let begun = Instant::now();
        let deadline = begun + APPEND_DEADLINE;
        loop {
            let mut out = self.outgoing(draft, span);
            out.headers.insert("Nats-Expected-Last-Subject-Sequence", expected.to_string());
            match publish(&self.client, out, attempt(deadline)).await {
                Ok(answer) => {
                    let position = Position(answer.seq);
                    self.outcomes.stored();
                    self.known(draft.conversation).note(position, draft.conversation);
                    self.queues[self.stream_of(draft.conversation)].took(begun.elapsed());
                    return Ok(Appended { position, duplicate: answer.duplicate });
                }
                // The event that got in first may be this one, from an attempt whose answer was lost.
                Err(Refused::WrongLast) => {
                    let next = self.next_in_roster(draft.conversation, expected).await?;
                    return match next {
                        Some(Recorded { id, position, .. }) if id == draft.id => {
                            Ok(Appended { position, duplicate: false })
                        }
                        Some(recorded) => Err(Conflict::Changed(recorded.position)),
                        None => Err(Conflict::Changed(expected)),
                    };
                }
                Err(Refused::TooLarge) => return Err(NotAppended::too_large().into()),
                Err(Refused::Other(why)) => {
                    self.outcomes.refused(&why);
                    if Instant::now() + RETRY_PAUSE >= deadline {
                        return Err(Unavailable::because(why).into());
                    }
                    tracing::debug!(why, "retrying a roster append");
                    sleep(RETRY_PAUSE).await;
                }
            }
        }
    }

    /// Appends a presence change to a conversation. It is not kept for ever, so one attempt is enough.
    pub async fn append_presence(&self, draft: &Draft) -> Result<(), Unavailable> {
        debug_assert_eq!(draft.event.lane(), Lane::Presence, "presence has a stream of its own");
        match publish(&self.client, self.outgoing(draft, None), Instant::now() + REQUEST_TIMEOUT).await {
            Ok(_) => Ok(()),
            Err(refused) => Err(Unavailable::because(format!("{refused:?}"))),
        }
    }
}
