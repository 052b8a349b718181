//! Sending a message: answered when it is stored, stored once however often it is tried.

use super::{Commands, Refused, earlier::sent_with};
use crate::{
    domain::{ClientId, Command, ConversationId, MessageId, Position, Text, Time, UserId},
    log::{Appended, Unavailable},
};

/// A message that is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Where it stands.
    pub position: Position,
    /// When it was sent.
    pub time: Time,
    /// Its id.
    pub message_id: MessageId,
    /// As it was typed.
    pub text: String,
}

impl Commands {
    /// Sends a message. A retry with the same key answers what the first attempt did, however long
    /// ago that was.
    pub async fn send(
        &self,
        by: UserId,
        conversation: ConversationId,
        client_id: ClientId,
        text: Text,
    ) -> Result<Sent, Refused> {
        let tracked = self.of_member(by, conversation).await?;
        let sending = (conversation, by, client_id.clone());
        if let Some(first) = self.earlier.sent(sending).await? {
            return the_same(first, &text);
        }
        let message_id = self.clock.id(MessageId::known);
        let roster = tracked.conversation();
        let blocked = self.is_blocked(by, &roster).await?;
        let command = Command::Send { message_id, client_id: client_id.clone(), text: text.clone(), blocked };
        let Some(event) = roster.decide(by, command)? else {
            unreachable!("a message is always something new");
        };
        let draft = self.draft(conversation, by, event, Some(client_id.clone()));
        let Appended { position, duplicate } = self.log.append(&draft).await?;
        if !duplicate {
            return Ok(Sent { position, time: draft.time, message_id, text: text.into() });
        }
        let first = self.log.at(conversation, position).await?;
        match first.and_then(|recorded| sent_with(recorded, by, &client_id)) {
            Some(first) => the_same(first, &text),
            // Two keys with one hash: nobody can tell them apart within the window.
            None => Err(Unavailable::because("another event has the same message id").into()),
        }
    }
}

/// The first answer again, unless the key was used for something else.
fn the_same(first: Sent, text: &Text) -> Result<Sent, Refused> {
    if first.text == text.as_str() { Ok(first) } else { Err(Refused::Mismatch) }
}
