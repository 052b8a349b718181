//! Looking one conversation up, by direct gets: never a consumer for it. Any replica may answer, also
//! one that lags behind, so each answer has to prove that nothing is missing from it; one that does
//! not is asked for again.

use std::time::Duration;

use async_nats::{Message, StatusCode};
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    domain::{ConversationId, Lane, Position, Recorded},
    log::{Log, NotRead, Unavailable, streams::layout, subject},
};

/// Events of a roster that are asked for at once: few enough not to hold the stream's writers up.
const ROSTER_PAGE: usize = 64;
/// How long the first message of an answer is waited for, and each one after it.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// How long an answer that proves itself is tried for.
const DEADLINE: Duration = Duration::from_secs(5);
/// How long to wait before asking again.
const PAUSE: Duration = Duration::from_millis(20);
/// From then on another replica is asked beside the one that is silent: it may hang.
const HEDGE: Duration = Duration::from_millis(250);
/// The most that are asked side by side.
const AT_ONCE: usize = 4;

impl Log {
    /// The next events of a conversation's roster from a position on, some of those up to and with the one at
    /// `last`. Whether one is missing in between is for the caller to ask.
    pub(in crate::log) async fn roster_page(
        &self,
        conversation: ConversationId,
        from: Position,
        last: Position,
    ) -> Result<Vec<Recorded>, NotRead> {
        let roster = subject::of(conversation, Lane::Roster);
        let request = json!({ "seq": from.0, "next_by_subj": roster, "batch": ROSTER_PAGE });
        let page = proven(|| async {
            let page = self.direct(self.stream_of(conversation), &request).await?;
            let complete = page.len() == ROSTER_PAGE || page.last().is_some_and(|e| e.position >= last);
            Ok(complete.then_some(page))
        });
        let mut page = page.await?;
        page.retain(|event| event.position <= last);
        Ok(page)
    }

    /// The last event of each lane of a conversation that its stream takes, up to and with `up_to`: also of lanes
    /// that only a newer version knows, for its events are part of the chain. Whether one is missing behind it is
    /// for the caller to ask.
    pub(in crate::log) async fn heads(
        &self,
        conversation: ConversationId,
        up_to: Position,
    ) -> Result<Vec<Recorded>, NotRead> {
        match up_to {
            Position::START => Ok(Vec::new()),
            limit => proven(|| self.heads_then(conversation, limit)).await,
        }
    }

    /// The last event of each lane of conversations of one stream, in one look-up. Whether one is missing behind
    /// it is for the caller to ask.
    pub(in crate::log) async fn heads_of(
        &self,
        conversations: &[ConversationId],
    ) -> Result<Vec<Recorded>, NotRead> {
        proven(|| self.heads_now(conversations)).await
    }

    async fn heads_now(&self, conversations: &[ConversationId]) -> Result<Option<Vec<Recorded>>, NotRead> {
        let Some(first) = conversations.first() else { return Ok(Some(Vec::new())) };
        // Who has the latest event that is known has all before it.
        let latest = self.known(*first).latest();
        let last = latest.map(|latest| latest.conversation).filter(|id| !conversations.contains(id));
        let subjects: Vec<String> =
            conversations.iter().chain(&last).copied().map(subject::all_lanes).collect();
        let mut found = self.direct(self.stream_of(*first), &json!({ "multi_last": subjects })).await?;
        let newest = found.iter().map(|recorded| recorded.position).max().unwrap_or_default();
        found.retain(|recorded| conversations.contains(&recorded.conversation));
        match latest.filter(|latest| newest < latest.position) {
            None => Ok(Some(found)),
            Some(latest) => {
                self.is_there(self.stream_of(*first), latest.position).await?;
                Ok(None)
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
            // None is missing before the limit if the next one is behind it, or if this is the end.
            Some(next) => Ok((next.position > limit).then_some(found)),
            None => {
                self.learn(stream, limit).await?;
                let now = self.heads_now(&[conversation]).await?;
                Ok(now.filter(|now| now.iter().all(|recorded| recorded.position <= limit)))
            }
        }
    }

    /// The event at a position that is stored, if it is of that conversation.
    pub async fn at(
        &self,
        conversation: ConversationId,
        position: Position,
    ) -> Result<Option<Recorded>, Unavailable> {
        let found = self.stored(self.stream_of(conversation), position).await?;
        Ok(Some(found).filter(|recorded| recorded.conversation == conversation))
    }

    /// The first event of a roster after a position, where there has to be one; `None` if none
    /// comes.
    pub async fn next_in_roster(
        &self,
        conversation: ConversationId,
        after: Position,
    ) -> Result<Option<Recorded>, Unavailable> {
        let stream = self.stream_of(conversation);
        let roster = subject::of(conversation, Lane::Roster);
        let request = json!({ "seq": after.0 + 1, "next_by_subj": roster, "batch": 1 });
        let deadline = Instant::now() + ANSWER_WITHIN;
        let next = loop {
            let next = self.direct(stream, &request).await.map(|found| found.into_iter().next());
            match next {
                Ok(None) | Err(_) if Instant::now() < deadline => sleep(PAUSE).await,
                settled => break settled?,
            }
        };
        // Nothing of a conversation stands before its beginning.
        if let Some(next) = next.as_ref().filter(|next| !next.begins())
            && let Some(damaged) = self.damage(stream, after, next.position).await?
        {
            return Err(Unavailable::because(damaged));
        }
        Ok(next)
    }

    /// Takes note of the event at a position that is stored.
    pub(in crate::log) async fn learn(&self, stream: usize, position: Position) -> Result<(), NotRead> {
        let known = &self.known[stream];
        if known.latest().map_or(Position::START, |latest| latest.position) < position {
            let found = self.stored(stream, position).await?;
            if found.has_conversation() {
                known.note(position, found.conversation);
            }
        }
        Ok(())
    }

    async fn stored(&self, stream: usize, position: Position) -> Result<Recorded, NotRead> {
        let request = json!({ "seq": position.0 });
        let stored = proven(|| async {
            let found = self.direct(stream, &request).await?.into_iter().next();
            if found.is_none() {
                self.is_there(stream, position).await?;
            }
            Ok(found)
        });
        stored.await
    }

    /// Refuses an event that is missing everywhere: it is of no use to ask another replica.
    async fn is_there(&self, stream: usize, position: Position) -> Result<(), NotRead> {
        match self.damage(stream, Position(position.0 - 1), position).await? {
            None => Ok(()),
            Some(damaged) => Err(damaged.into()),
        }
    }

    /// One direct get of one or many messages of a stream.
    async fn direct(&self, stream: usize, request: &Value) -> Result<Vec<Recorded>, Unavailable> {
        let stream = layout::name(stream);
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
                // The end of many, or nothing there.
                Some(status) if status.as_u16() == 204 => break,
                Some(StatusCode::NOT_FOUND) if found.is_empty() => break,
                Some(status) if status != StatusCode::OK => {
                    return Err(Unavailable::because(format!("a direct get was answered with {status}")));
                }
                _ => found.push(recorded(answer)?),
            }
            if !many {
                break;
            }
        }
        Ok(found)
    }
}

/// Asks until the answer proves itself: a replica that lags behind catches up, or another one
/// answers.
async fn proven<T, F>(ask: impl Fn() -> F) -> Result<T, NotRead>
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
        tracing::debug!(%lagging, "a direct get is asked again");
        sleep(PAUSE).await;
    }
}

/// Asks again beside what has not been answered for so long, a few times; what comes first counts.
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

/// A direct get names subject and position in headers.
fn recorded(message: Message) -> Result<Recorded, Unavailable> {
    let headers = message.headers.as_ref();
    let header = |name: &str| {
        headers.and_then(|all| all.get(name)).map(|value| value.as_str().to_owned()).unwrap_or_default()
    };
    let position = header("Nats-Sequence").parse().map_err(Unavailable::because)?;
    Ok(Recorded::read_or_poison(position, &header("Nats-Subject"), headers, message.payload))
}
