//! Events that a story appends to the log itself, like a node that does not have the latest state, or a node of an
//! older version.

use verbatim::{
    clock::Clock,
    domain::{Event, EventId, MessageId, MessageSent},
    log::Draft,
};

use super::{Conversation, Person};

/// An event of a person in a conversation, without an idempotency key for the log.
pub fn drafted(to: &Conversation, by: &Person, event: Event) -> Draft {
    let clock = Clock::system();
    Draft {
        conversation: to.id.parse().expect("an id"),
        id: clock.id(EventId::known),
        actor: by.id.parse().expect("an id"),
        time: clock.now(),
        event,
        key: None,
        trace: None,
        via: None,
    }
}

/// A message with this idempotency key and text.
pub fn a_message(client_id: &str, text: &str) -> Event {
    Event::MessageSent(MessageSent {
        message_id: Clock::system().id(MessageId::known),
        client_id: client_id.to_owned(),
        text: text.to_owned(),
        reply_to: None,
        reply_to_position: None,
        metadata: None,
        mentions: Vec::new(),
    })
}
