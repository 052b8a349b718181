//! Changing a message: the views supply the facts about the message, and the rules decide.

use std::sync::Arc;

use crate::{
    commands::{deadlines::OWN_EVENT, needs::Commands, refused::Refused},
    domain::{
        Act, ClientId, Command, ConversationId, Event, FoundMessage, MessageId, Position, Recorded, Time,
        UserId,
    },
    live::Tracked,
    log::Appended,
    views::Sending,
};

/// The result of an act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acted {
    /// The position of the event; if nothing changed, the head of the conversation.
    pub position: Position,
    /// The event and its time; `None` if the act changed nothing.
    pub event: Option<(Time, Event)>,
}

/// The decision on a command about a message.
pub(super) enum Decided {
    /// This event has to be stored.
    New(Event),
    /// Nothing changes.
    Nothing,
    /// An earlier command with the same key has stored this event.
    Before(Recorded),
}

impl Commands {
    /// Changes a message. Returns when the event is stored and this process has followed the event, or has
    /// waited two seconds for that. A retry with the same key gets the answer of the first attempt. Without a
    /// key, a retry is decided like a new act; an act that changes nothing stores no event.
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
            && let Some(first) =
                self.earlier.done(Sending { conversation: id, user: by, key: key.clone() }).await?
        {
            return the_same(first, message, &act);
        }
        let mut cost = self.charge_change(by, id)?;
        let blocked = self.is_blocked(by, &tracked.conversation()).await?;
        let command = |found| Command::Act {
            message: Box::new(found),
            act: act.clone(),
            client_id: key.clone(),
            blocked,
        };
        let event = match self.decide_on(&tracked, by, id, message, key.as_ref(), command).await? {
            Decided::New(event) => event,
            Decided::Nothing => return Ok(Acted { position: tracked.head(), event: None }),
            Decided::Before(first) => return the_same(first, message, &act),
        };
        let draft = self.draft(id, by, event, key.clone());
        let Appended { position, duplicate } =
            cost.of(self.log.append(&draft), |appended| !appended.duplicate).await?;
        // The wait for the act's own event lets the caller's next act be decided on the result of this one.
        self.conversations.reached(id, position, OWN_EVENT).await;
        match key.filter(|_| duplicate) {
            Some(key) => the_same(self.appended_before(by, id, position, &key).await?, message, &act),
            None => Ok(Acted { position, event: Some((draft.time, draft.event)) }),
        }
    }

    /// Decides on a message as the views have it, once the views are as far as this process has followed the
    /// conversation. That is enough for an event. A refusal, and the answer that nothing changes, are given
    /// only after this process and the views have caught up with the log, because another node may have made
    /// a change on which the decision depends. That change may be the first attempt of this command, which the views
    /// did not have yet when its key was looked up, so the key is looked up again.
    pub(super) async fn decide_on(
        &self,
        tracked: &Arc<Tracked>,
        by: UserId,
        id: ConversationId,
        message: MessageId,
        key: Option<&ClientId>,
        command: impl Fn(FoundMessage) -> Command,
    ) -> Result<Decided, Refused> {
        let stream = self.log.stream_of(id);
        let mut is_latest = false;
        loop {
            let retention = self.retention.of(tracked.conversation().retention());
            let found = self.messages.found(stream, id, message, by, retention, tracked.head()).await?;
            let found = found.unwrap_or_else(|| FoundMessage::nowhere(message, by));
            match tracked.conversation().decide(by, command(found)) {
                Ok(Some(event)) => return Ok(Decided::New(event)),
                no if is_latest => {
                    if let Some(key) = key
                        && let Some(first) = self
                            .earlier
                            .followed(Sending { conversation: id, user: by, key: key.clone() })
                            .await?
                    {
                        return Ok(Decided::Before(first));
                    }
                    no?;
                    return Ok(Decided::Nothing);
                }
                _ => self.conversations.catch_up(id).await?,
            }
            is_latest = true;
        }
    }
}

/// The answer of the first attempt, unless the key was used for another act.
fn the_same(first: Recorded, message: MessageId, act: &Act) -> Result<Acted, Refused> {
    if first.erased.is_some() {
        return Err(Refused::Erased);
    }
    match first.event {
        Some(event) if act.made(message, &event) => {
            Ok(Acted { position: first.position, event: Some((first.time, event)) })
        }
        _ => Err(Refused::Mismatch),
    }
}
