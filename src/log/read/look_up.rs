//! Looking a conversation up, by direct gets and never with a consumer. Any replica may answer, even one that lags. So
//! each answer has to prove that it is complete; without the proof, the request is repeated.

use std::time::Duration;

use async_nats::{Message, StatusCode};
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    domain::{ConversationId, Event, Lane, Position, Recorded},
    log::{Log, NotRead, Unavailable, absent::if_there, read::explained::spliced, streams::layout, subject},
};

/// The events of one page of a roster: few enough not to hold up the writers of the stream.
const ROSTER_PAGE: usize = 64;
/// The longest wait for the first message of an answer, and for each one after it.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// How long to ask for an answer that proves itself.
const DEADLINE: Duration = Duration::from_secs(5);
/// How long to wait before asking again.
const PAUSE: Duration = Duration::from_millis(20);
/// A replica that is silent for this long may hang, and another one is asked too.
const HEDGE: Duration = Duration::from_millis(250);
/// The most requests for one answer at the same time.
const AT_ONCE: usize = 4;

impl Log {
    /// A page of a conversation's roster: the events from `from` on, up to and including `last`. The caller checks for
    /// holes afterwards.
    pub(in crate::log) async fn roster_page(
        &self,
        conversation: ConversationId,
        from: Position,
        last: Position,
    ) -> Result<Vec<Recorded>, NotRead> {
        let (stream, roster) = (self.stream_of(conversation), subject::of(conversation, Lane::Roster));
        let request = json!({ "seq": from.0, "next_by_subj": roster, "batch": ROSTER_PAGE });
        let page = proven(|| async {
            let page = self.direct(stream, &request).await?;
            let end = page.last().map_or(Position::START, |event| event.position);
            let complete = page.len() == ROSTER_PAGE
                || end >= last
                || (self.erased(stream).at(last).is_some()
                    && self.has_roster_to(stream, &roster, end).await?);
            Ok(complete.then_some((page, end)))
        });
        let (page, end) = page.await?;
        let upto = if page.len() == ROSTER_PAGE { end } else { last };
        let mut page = spliced(page, self.erased(stream).of_roster(conversation, Position(from.0 - 1), upto));
        page.retain(|event| event.position <= last);
        Ok(page)
    }

    /// The position of the first event of a kind in a roster after `after`, up to and including its event at `last`.
    pub(crate) async fn first_in_roster(
        &self,
        conversation: ConversationId,
        after: Position,
        last: Position,
        is: impl Fn(&Event) -> bool,
    ) -> Result<Option<Position>, NotRead> {
        let mut read = after;
        while read < last {
            let page = self.roster_page(conversation, Position(read.0 + 1), last).await?;
            if let Some(first) = page.iter().find(|recorded| recorded.event.as_ref().is_some_and(&is)) {
                return Ok(Some(first.position));
            }
            read = page.last().map_or(last, |end| end.position);
        }
        match self.damage(self.stream_of(conversation), after, last).await? {
            Some(damaged) => Err(damaged.into()),
            None => Ok(None),
        }
    }

    /// Whether the leader has no event of a roster after a position.
    async fn has_roster_to(&self, stream: usize, roster: &str, end: Position) -> Result<bool, Unavailable> {
        let of = self.jetstream.get_stream_no_info(layout::name(stream)).await;
        let next =
            of.map_err(Unavailable::because)?.get_first_raw_message_by_subject(roster, end.0 + 1).await;
        Ok(if_there(next).map_err(Unavailable::because)?.is_none())
    }

    /// The last event of each lane of a conversation, up to and including `up_to`. Lanes that only a newer version
    /// knows are included, because their events are part of the chain. The caller checks for holes afterwards.
    pub(in crate::log) async fn heads(
        &self,
        conversation: ConversationId,
        up_to: Position,
    ) -> Result<Vec<Recorded>, NotRead> {
        match up_to {
            Position::START => Ok(Vec::new()),
            limit => {
                let found = proven(|| self.heads_then(conversation, limit)).await?;
                Ok(self.with_erased(self.stream_of(conversation), &[conversation], limit, found))
            }
        }
    }

    async fn heads_then(
        &self,
        conversation: ConversationId,
        limit: Position,
    ) -> Result<Option<Vec<Recorded>>, NotRead> {
        let stream = self.stream_of(conversation);
        let all = subject::all_lanes(conversation);
        let found = self.direct(stream, &json!({ "multi_last": [all], "up_to_seq": limit.0 })).await?;
        let last = found.iter().map(|recorded| recorded.position.0).max().unwrap_or_default();
        let next = json!({ "seq": last + 1, "next_by_subj": all, "batch": 1 });
        match self.direct(stream, &next).await?.first() {
            // The answer is complete up to the limit if the next event is after the limit, or if this is the end.
            Some(next) => Ok((next.position > limit).then_some(found)),
            None => {
                self.learn(stream, limit).await?;
                let now = self.heads_now(&[conversation]).await?;
                Ok(now.filter(|now| now.iter().all(|recorded| recorded.position <= limit)))
            }
        }
    }

    /// The event at a position, if it is of that conversation. The position must be known to be stored.
    pub async fn at(
        &self,
        conversation: ConversationId,
        position: Position,
    ) -> Result<Option<Recorded>, Unavailable> {
        let found = self.stored(self.stream_of(conversation), position).await?;
        Ok(Some(found).filter(|recorded| recorded.conversation == conversation))
    }

    /// The first event of a roster after a position, where there has to be one. `None` if no replica has it in time.
    pub async fn next_in_roster(
        &self,
        conversation: ConversationId,
        after: Position,
    ) -> Result<Option<Recorded>, Unavailable> {
        let stream = self.stream_of(conversation);
        let roster = subject::of(conversation, Lane::Roster);
        let request = json!({ "seq": after.0 + 1, "next_by_subj": roster, "batch": 1 });
        let deadline = Instant::now() + ANSWER_WITHIN;
        loop {
            let explained = self.erased(stream).count();
            let next = loop {
                let next = self.direct(stream, &request).await.map(|found| found.into_iter().next());
                match next {
                    Ok(None) | Err(_) if Instant::now() < deadline => sleep(PAUSE).await,
                    settled => break settled?,
                }
            };
            let erased = self.erased(stream).of_roster(conversation, after, Position::MAX);
            let next = spliced(next.into_iter().collect(), erased).into_iter().next();
            // A conversation has no event before its beginning, so holes there do not matter.
            if let Some(next) = next.as_ref().filter(|next| !next.begins())
                && let Some(damaged) = self.damage(stream, after, next.position).await?
            {
                return Err(Unavailable::because(damaged));
            }
            // If a hole was explained in the meantime, the skeleton of its event may come first.
            if self.erased(stream).count() == explained {
                return Ok(next);
            }
        }
    }

    /// Notes a position that is known to be stored, with the conversation of its event.
    pub(in crate::log) async fn learn(&self, stream: usize, position: Position) -> Result<(), NotRead> {
        let known = &self.known[stream];
        if known.latest().map_or(Position::START, |latest| latest.position) < position {
            let found = self.stored(stream, position).await?;
            if found.has_conversation() {
                // A replica may lack an erased event, so the later event that lists it is noted instead.
                let there = found.erased.as_ref().map_or(position, |erasure| erasure.told_at);
                known.note(there, found.conversation);
            }
        }
        Ok(())
    }

    async fn stored(&self, stream: usize, position: Position) -> Result<Recorded, NotRead> {
        let request = json!({ "seq": position.0 });
        let stored = proven(|| async {
            self.know_erasures(stream).await?;
            if let Some(skeleton) = self.erased(stream).at(position) {
                return Ok(Some(skeleton));
            }
            let found = self.direct(stream, &request).await?.into_iter().next();
            if found.is_none() {
                self.is_there(stream, position).await?;
            }
            Ok(found.or_else(|| self.erased(stream).at(position)))
        });
        stored.await
    }

    /// Fails if an event is missing at the leader: asking another replica is pointless then.
    pub(in crate::log) async fn is_there(&self, stream: usize, position: Position) -> Result<(), NotRead> {
        match self.damage(stream, Position(position.0 - 1), position).await? {
            None => Ok(()),
            Some(damaged) => Err(damaged.into()),
        }
    }

    /// One direct get of one or many messages of a stream.
    pub(in crate::log) async fn direct(
        &self,
        stream: usize,
        request: &Value,
    ) -> Result<Vec<Recorded>, Unavailable> {
        self.know_erasures(stream).await?;
        let found = self.direct_of(&layout::name(stream), request).await?;
        let recorded = |Found { subject, position, message }: Found| {
            let headers = message.headers.as_ref();
            let recorded = Recorded::read_or_poison(position.0, &subject, headers, message.payload);
            self.heard(stream, &recorded);
            self.erased(stream).told(recorded)
        };
        Ok(found.into_iter().map(recorded).collect())
    }

    /// The same for any stream.
    pub(in crate::log) async fn direct_of(
        &self,
        stream: &str,
        request: &Value,
    ) -> Result<Vec<Found>, Unavailable> {
        let many = request.get("batch").is_some() || request.get("multi_last").is_some();
        let inbox = self.client.new_inbox();
        let mut answers = self.client.subscribe(inbox.clone()).await.map_err(Unavailable::because)?;
        self.client
            .publish_with_reply(format!("$JS.API.DIRECT.GET.{stream}"), inbox, request.to_string().into())
            .await
            .map_err(Unavailable::because)?;
        let mut found = Vec::new();
        loop {
            let answer = timeout(ANSWER_WITHIN, answers.next())
                .await
                .map_err(|_| Unavailable::because("no answer to a direct get"))?
                .ok_or_else(|| Unavailable::because("the connection is closing"))?;
            match answer.status {
                // The end of a batch, or there is no such message.
                Some(status) if status.as_u16() == 204 => break,
                Some(StatusCode::NOT_FOUND) if found.is_empty() => break,
                Some(status) if status != StatusCode::OK => {
                    return Err(Unavailable::because(format!("a direct get was answered with {status}")));
                }
                _ => found.push(Found::of(answer)?),
            }
            if !many {
                break;
            }
        }
        Ok(found)
    }
}

/// Asks until an answer proves itself: a lagging replica catches up, or another replica answers.
pub(in crate::log) async fn proven<T, F>(ask: impl Fn() -> F) -> Result<T, NotRead>
where
    F: Future<Output = Result<Option<T>, NotRead>>,
{
    let deadline = Instant::now() + DEADLINE;
    loop {
        let lagging = match hedged(HEDGE, &ask).await {
            Ok(Some(answer)) => return Ok(answer),
            Ok(None) => Unavailable::because("the servers that answer lag behind"),
            Err(NotRead::Unavailable(e)) => e,
            Err(damaged) => return Err(damaged),
        };
        if Instant::now() + PAUSE > deadline {
            return Err(lagging.into());
        }
        tracing::debug!(%lagging, "retrying a direct get");
        sleep(PAUSE).await;
    }
}

/// Asks again, a few times, whenever there is no answer within `patience`. The first answer counts.
pub(in crate::log) async fn hedged<F: Future>(patience: Duration, ask: impl Fn() -> F) -> F::Output {
    let mut asked = FuturesUnordered::from_iter([ask()]);
    for _ in 1..AT_ONCE {
        tokio::select! {
            Some(answer) = asked.next() => return answer,
            () = sleep(patience) => asked.push(ask()),
        }
    }
    asked.next().await.expect("something was asked")
}

/// A message as a direct get returns it.
pub(in crate::log) struct Found {
    pub(in crate::log) subject: String,
    pub(in crate::log) position: Position,
    pub(in crate::log) message: Message,
}

impl Found {
    /// A direct get names subject and position in headers.
    fn of(message: Message) -> Result<Self, Unavailable> {
        let headers = message.headers.as_ref();
        let header = |name: &str| {
            headers.and_then(|all| all.get(name)).map(|value| value.as_str().to_owned()).unwrap_or_default()
        };
        let position = Position(header("Nats-Sequence").parse().map_err(Unavailable::because)?);
        Ok(Self { subject: header("Nats-Subject"), position, message })
    }
}
