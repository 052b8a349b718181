//! Sending a message: answered when it is stored, stored once however often it is tried.

use crate::{
    commands::{earlier::has_key, needs::Commands, refused::Refused},
    domain::{
        self, ClientId, Command, ConversationId, Event, Json, MessageId, MessageSent, Metadata, Position,
        Text, Time, UserId,
    },
    log::{Appended, Recorded, Unavailable},
};

/// A message that shall be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMessage {
    /// By which a retry is known.
    pub client_id: ClientId,
    /// As typed.
    pub text: Text,
    /// The message that it answers.
    pub reply_to: Option<MessageId>,
    /// What programs added.
    pub metadata: Option<Metadata>,
}

/// A message that is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Where it stands.
    pub position: Position,
    /// When it was sent.
    pub time: Time,
    /// As the log keeps it.
    pub message: MessageSent,
}

impl Commands {
    /// Sends a message. A retry with the same key answers what the first attempt did, however long
    /// ago that was, and whatever has become of the message since.
    pub async fn send(
        &self,
        by: UserId,
        conversation: ConversationId,
        new: NewMessage,
    ) -> Result<Sent, Refused> {
        let tracked = self.of_member(by, conversation).await?;
        if let Some(first) = self.earlier.done((conversation, by, new.client_id.clone())).await? {
            return the_same(first, &new);
        }
        let blocked = self.is_blocked(by, &tracked.conversation()).await?;
        let send = |reply_to| {
            let NewMessage { client_id, text, metadata, .. } = new.clone();
            let message_id = self.clock.id(MessageId::known);
            let new = domain::NewMessage { message_id, client_id, text, reply_to, metadata };
            Command::Send { new: Box::new(new), blocked }
        };
        let decided = match new.reply_to {
            None => tracked.conversation().decide(by, send(None))?,
            Some(quoted) => {
                self.decide_on(&tracked, by, conversation, quoted, |quoted| send(Some(quoted))).await?
            }
        };
        let Some(event) = decided else { unreachable!("a message is always something new") };
        let draft = self.draft(conversation, by, event, Some(new.client_id.clone()));
        let Appended { position, duplicate } = self.log.append(&draft).await?;
        if let (false, Event::MessageSent(message)) = (duplicate, draft.event) {
            return Ok(Sent { position, time: draft.time, message });
        }
        the_same(self.appended_before(by, conversation, position, &new.client_id).await?, &new)
    }

    /// What JetStream has stored with this key within its window.
    pub(super) async fn appended_before(
        &self,
        by: UserId,
        conversation: ConversationId,
        position: Position,
        key: &ClientId,
    ) -> Result<Recorded, Refused> {
        let first = self.log.at(conversation, position).await?.filter(|first| has_key(first, by, key));
        // Two keys with one hash: nobody can tell them apart within the window.
        Ok(first.ok_or_else(|| Unavailable::because("another event has the same message id"))?)
    }
}

/// The first answer again, unless the key was used for something else.
fn the_same(first: Recorded, new: &NewMessage) -> Result<Sent, Refused> {
    match first.event {
        Some(Event::MessageSent(message))
            if (message.text.as_str(), message.reply_to) == (new.text.as_str(), new.reply_to)
                && mean_the_same(message.metadata.as_ref(), new.metadata.as_ref()) =>
        {
            Ok(Sent { position: first.position, time: first.time, message })
        }
        _ => Err(Refused::Mismatch),
    }
}

fn mean_the_same(first: Option<&Json>, new: Option<&Metadata>) -> bool {
    match (first, new) {
        (Some(first), Some(new)) => first.means(new.json()),
        (first, new) => first.is_none() && new.is_none(),
    }
}
