//! Doing something with a message: the views say what it is, the rules whether it may be done.

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

/// What became of an act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acted {
    /// The position that was reached.
    pub position: Position,
    /// What happened and when; `None` if it was so already.
    pub event: Option<(Time, Event)>,
}

impl Commands {
    /// Does something with a message; answers when it is stored and this process has followed it. A
    /// retry with the same key answers what the first attempt did; without a key, what is so already
    /// is not done again.
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
        // What comes next from here is decided on what this has made.
        self.conversations.reached(id, position, OWN_EVENT).await;
        match key.filter(|_| duplicate) {
            Some(key) => the_same(self.appended_before(by, id, position, &key).await?, message, &act),
            None => Ok(Acted { position, event: Some((draft.time, draft.event)) }),
        }
    }

    /// Decides on a message as the views have it. They are asked as far as this process has followed
    /// the conversation. A no, or that it is so already, is given only once this process and the views
    /// have all of the conversation that the log had by then, on whatever node it was done.
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

/// The first answer again, unless the key was used for something else.
fn the_same(first: Recorded, message: MessageId, act: &Act) -> Result<Acted, Refused> {
    match first.event {
        Some(event) if act.made(message, &event) => {
            Ok(Acted { position: first.position, event: Some((first.time, event)) })
        }
        _ => Err(Refused::Mismatch),
    }
}
