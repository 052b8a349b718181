//! Sending a message: answered when it is stored, stored once however often it is tried.

use super::{Commands, Refused};
use crate::{
    domain::{
        ClientId, Command, ConversationId, Event, MessageId, MessageSent, Position, Text, Time, UserId,
    },
    log::{Recorded, Unavailable},
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
    pub text: Text,
}

impl Commands {
    /// Sends a message. A retry with the same key answers what the first attempt did.
    pub async fn send(
        &self,
        by: UserId,
        conversation: ConversationId,
        client_id: ClientId,
        text: Text,
    ) -> Result<Sent, Refused> {
        let tracked = self.of_member(by, conversation).await?;
        let message_id = self.clock.id(MessageId::known);
        let command = Command::Send { message_id, client_id: client_id.clone(), text: text.clone() };
        let Some(event) = tracked.conversation().decide(by, command)? else {
            unreachable!("a message is always something new");
        };
        let draft = self.draft(conversation, by, event, Some(client_id.clone()));
        let appended = self.log.append(&draft).await?;
        if !appended.duplicate {
            return Ok(Sent { position: appended.position, time: draft.time, message_id, text });
        }
        let first = self.log.at(conversation, appended.position).await?;
        match first {
            Some(Recorded { position, time, actor, event: Some(Event::MessageSent(message)), .. }) => {
                let MessageSent { message_id, client_id: key, text: said } = message;
                let same = actor == by && key == client_id && said == text;
                if same { Ok(Sent { position, time, message_id, text }) } else { Err(Refused::Mismatch) }
            }
            // Two keys with one hash: nobody can tell them apart within the window.
            _ => Err(Unavailable::because("another event has the same message id").into()),
        }
    }
}
