//! Sending a message. The answer comes when the message is stored. With any number of retries, the message is
//! stored once.

use crate::{
    commands::{acts::Decided, earlier::has_key, needs::Commands, refused::Refused},
    domain::{
        ClientId, Command, ConversationId, Event, Json, MessageId, MessageSent, Metadata, NewMessage,
        Position, Recorded, Time, UserId,
    },
    log::{Appended, Unavailable},
    views::Sending,
};

/// A message that is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The position of the message.
    pub position: Position,
    /// The time at which the message was sent.
    pub time: Time,
    /// The message as the log stores it.
    pub message: MessageSent,
}

impl Commands {
    /// Sends a message. A retry with the same key gets the answer of the first attempt, however long ago that was, and
    /// even if the message was edited or deleted since.
    pub async fn send(
        &self,
        by: UserId,
        conversation: ConversationId,
        new: NewMessage,
    ) -> Result<Sent, Refused> {
        let tracked = self.of_member(by, conversation).await?;
        let sending = Sending { conversation, user: by, key: new.client_id.clone() };
        if let Some(first) = self.earlier.done(sending).await? {
            return the_same_as(first, &new);
        }
        let mut cost = self.charge_change(by, conversation)?;
        let blocked = self.is_blocked(by, &tracked.conversation()).await?;
        let (message_id, client_id) = (self.clock.id(MessageId::known), new.client_id.clone());
        let decided = match new.reply_to {
            None => {
                let command = Command::Send { message_id, new: Box::new(new), quoted: None, blocked };
                tracked.conversation().decide(by, command)?
            }
            Some(quoted) => {
                let command = |quoted| {
                    let (new, quoted) = (Box::new(new.clone()), Some(Box::new(quoted)));
                    Command::Send { message_id, new, quoted, blocked }
                };
                match self.decide_on(&tracked, by, conversation, quoted, Some(&client_id), command).await? {
                    Decided::New(event) => Some(event),
                    Decided::Nothing => None,
                    Decided::Before(first) => return the_same_as(first, &new),
                }
            }
        };
        let Some(event) = decided else { unreachable!("a message is always something new") };
        let draft = self.draft(conversation, by, event, Some(client_id.clone()));
        let Appended { position, duplicate } =
            cost.of(self.log.append(&draft), |appended| !appended.duplicate).await?;
        let Event::MessageSent(message) = draft.event else { unreachable!("a message is sent") };
        if !duplicate {
            return Ok(Sent { position, time: draft.time, message });
        }
        let first = self.appended_before(by, conversation, position, &client_id).await?;
        the_same(first, &message.text, message.reply_to, message.metadata.as_ref())
    }

    /// The event that JetStream has stored with this key within its window.
    pub(super) async fn appended_before(
        &self,
        by: UserId,
        conversation: ConversationId,
        position: Position,
        key: &ClientId,
    ) -> Result<Recorded, Refused> {
        let first = self.log.at(conversation, position).await?.filter(|first| has_key(first, by, key));
        // Two keys may have the same hash, and within the window JetStream cannot tell such keys apart.
        Ok(first.ok_or_else(|| Unavailable::because("another event has the same message id"))?)
    }
}

/// The answer of the first attempt, unless the key was used for another message than this one.
fn the_same_as(first: Recorded, new: &NewMessage) -> Result<Sent, Refused> {
    let NewMessage { text, reply_to, metadata, .. } = new;
    the_same(first, text.as_str(), *reply_to, metadata.as_ref().map(Metadata::json))
}

/// The answer of the first attempt, unless the key was used for another message.
fn the_same(
    first: Recorded,
    text: &str,
    reply_to: Option<MessageId>,
    metadata: Option<&Json>,
) -> Result<Sent, Refused> {
    if first.erased.is_some() {
        return Err(Refused::Erased);
    }
    match first.event {
        Some(Event::MessageSent(message))
            if (message.text.as_str(), message.reply_to) == (text, reply_to)
                && mean_the_same(message.metadata.as_ref(), metadata) =>
        {
            Ok(Sent { position: first.position, time: first.time, message })
        }
        _ => Err(Refused::Mismatch),
    }
}

fn mean_the_same(first: Option<&Json>, new: Option<&Json>) -> bool {
    match (first, new) {
        (Some(first), Some(new)) => first.means(new),
        (first, new) => first.is_none() && new.is_none(),
    }
}
