//! Looking one conversation up, by direct gets: never a consumer for it.

use std::time::Duration;

use async_nats::{Message, StatusCode};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{Log, REQUEST_TIMEOUT, Recorded, Unavailable, streams, subject};
use crate::domain::{ConversationId, Lane, Position};

/// Events of a roster that are asked for at once: few enough not to hold the stream's writers up.
const ROSTER_PAGE: usize = 64;
/// The longest wait between two messages of one answer.
const BETWEEN: Duration = Duration::from_secs(2);

impl Log {
    /// The events of a conversation's roster in order, up to and with `up_to`.
    pub async fn roster(
        &self,
        conversation: ConversationId,
        up_to: Option<Position>,
    ) -> Result<Vec<Recorded>, Unavailable> {
        let roster = subject::of(conversation, Lane::Roster);
        let mut events: Vec<Recorded> = Vec::new();
        loop {
            let from = events.last().map_or(1, |last| last.position.0 + 1);
            let page = json!({ "seq": from, "next_by_subj": roster, "batch": ROSTER_PAGE });
            let page = self.direct(conversation, page).await?;
            let complete = page.len() < ROSTER_PAGE;
            let beyond = |recorded: &Recorded| up_to.is_some_and(|limit| recorded.position > limit);
            let passed = page.last().is_some_and(beyond);
            events.extend(page.into_iter().filter(|recorded| !beyond(recorded)));
            if complete || passed {
                return Ok(events);
            }
        }
    }

    /// The last event of each durable lane of a conversation, up to and with `up_to`.
    pub async fn heads(
        &self,
        conversation: ConversationId,
        up_to: Option<Position>,
    ) -> Result<Vec<Recorded>, Unavailable> {
        let lanes = Lane::DURABLE.map(|lane| subject::of(conversation, lane));
        let mut request = json!({ "multi_last": lanes });
        if let Some(limit) = up_to {
            if limit == Position::START {
                return Ok(Vec::new());
            }
            request["up_to_seq"] = limit.0.into();
        }
        self.direct(conversation, request).await
    }

    /// The event at a position, if it is of that conversation.
    pub async fn at(
        &self,
        conversation: ConversationId,
        position: Position,
    ) -> Result<Option<Recorded>, Unavailable> {
        let found = self.direct(conversation, json!({ "seq": position.0 })).await?;
        Ok(found.into_iter().find(|recorded| recorded.conversation == conversation))
    }

    /// The first event of a roster after a position.
    pub async fn next_in_roster(
        &self,
        conversation: ConversationId,
        after: Position,
    ) -> Result<Option<Recorded>, Unavailable> {
        let roster = subject::of(conversation, Lane::Roster);
        let request = json!({ "seq": after.0 + 1, "next_by_subj": roster, "batch": 1 });
        Ok(self.direct(conversation, request).await?.into_iter().next())
    }

    /// One direct get of one or many messages of the stream in which the conversation lives.
    async fn direct(
        &self,
        conversation: ConversationId,
        request: Value,
    ) -> Result<Vec<Recorded>, Unavailable> {
        let stream = streams::name(self.stream_of(conversation));
        let many = request.get("batch").is_some() || request.get("multi_last").is_some();
        let inbox = self.client.new_inbox();
        let mut answers = self.client.subscribe(inbox.clone()).await.map_err(Unavailable::because)?;
        self.client
            .publish_with_reply(format!("$JS.API.DIRECT.GET.{stream}"), inbox, request.to_string().into())
            .await
            .map_err(Unavailable::because)?;
        let mut found = Vec::new();
        let mut patience = REQUEST_TIMEOUT;
        loop {
            let answer = timeout(patience, answers.next())
                .await
                .map_err(|_| Unavailable::because("no answer to a direct get"))?
                .ok_or_else(|| Unavailable::because("the connection is closing"))?;
            patience = BETWEEN;
            match answer.status {
                // The end of many, or nothing there.
                Some(status) if status.as_u16() == 204 || status == StatusCode::NOT_FOUND => break,
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

/// A direct get names subject and position in headers.
fn recorded(message: Message) -> Result<Recorded, Unavailable> {
    let headers = message.headers.as_ref();
    let header = |name: &str| {
        headers.and_then(|all| all.get(name)).map(|value| value.as_str().to_owned()).unwrap_or_default()
    };
    let position = header("Nats-Sequence").parse().map_err(Unavailable::because)?;
    Recorded::read(position, &header("Nats-Subject"), headers, message.payload).map_err(Unavailable::because)
}
