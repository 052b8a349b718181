//! Changing a message: the views tell the facts about the message, and the rules decide.

use std::sync::Arc;

use crate::{
    commands::{deadlines::OWN_EVENT, needs::Commands, refused::Refused},
    domain::{
        Act, ClientId, Command, ConversationId, Event, FoundMessage, MessageId, Position, Recorded, Time,
        UserId,
    },
    live::Tracked,
    log::Appended,
};

/// The result of an act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acted {
    /// The position that was reached.
    pub position: Position,
    /// The event and its time; `None` if the message was so already.
    pub event: Option<(Time, Event)>,
}

impl Commands {
    /// Changes a message. Returns when the event is stored and this process has followed it. A retry with the same key
    /// gets the answer of the first attempt. Without a key, an act that changes nothing is not repeated.
    pub async fn act(
        &self,
        by: UserId,
        id: ConversationId,
        message: MessageId,
        act: Act,
        key: Option<ClientId>,
    ) -> Result<Acted, Refused> {
        let tracked = self.of_member(by, id).await?;
        if let Some(key) = &key
            && let Some(first) = self.earlier.done((id, by, key.clone())).await?
        {
            return the_same(first, message, &act);
        }
        self.charge_change(by, id)?;
        let blocked = self.is_blocked(by, &tracked.conversation()).await?;
        let command = |found| Command::Act {
            message: Box::new(found),
            act: act.clone(),
            client_id: key.clone(),
            blocked,
        };
        let Some(event) = self.decide_on(&tracked, by, id, message, command).await? else {
            return Ok(Acted { position: tracked.head(), event: None });
        };
        let draft = self.draft(id, by, event, key.clone());
        let Appended { position, duplicate } = self.log.append(&draft).await?;
        self.settle_change(by, id, duplicate);
        // Waits for the own event, so that the caller's next act is decided on its result.
        self.conversations.reached(id, position, OWN_EVENT).await;
        match key.filter(|_| duplicate) {
            Some(key) => the_same(self.appended_before(by, id, position, &key).await?, message, &act),
            None => Ok(Acted { position, event: Some((draft.time, draft.event)) }),
        }
    }

    /// Decides on a message as the views have it, up to where this process has followed the conversation. A refusal,
    /// and the answer that nothing changes, need more: this process and the views must have all that the log had of
    /// the conversation by then, because another node may have made the change.
    pub(super) async fn decide_on(
        &self,
        tracked: &Arc<Tracked>,
        by: UserId,
        id: ConversationId,
        message: MessageId,
        command: impl Fn(FoundMessage) -> Command,
    ) -> Result<Option<Event>, Refused> {
        let stream = self.log.stream_of(id);
        let mut is_latest = false;
        loop {
            let found = self.messages.found(stream, id, message, by, tracked.head()).await?;
            let found = found.unwrap_or_else(|| FoundMessage::nowhere(message, by));
            match tracked.conversation().decide(by, command(found)) {
                Ok(Some(event)) => return Ok(Some(event)),
                no if is_latest => return Ok(no?),
                _ => self.conversations.catch_up(id).await?,
            }
            is_latest = true;
        }
    }
}

/// The answer of the first attempt, unless the key was used for another act.
fn the_same(first: Recorded, message: MessageId, act: &Act) -> Result<Acted, Refused> {
    match first.event {
        Some(event) if act.made(message, &event) => {
            Ok(Acted { position: first.position, event: Some((first.time, event)) })
        }
        _ => Err(Refused::Mismatch),
    }
}
