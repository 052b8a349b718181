//! Deleted and expired messages: what every other door withholds, an export withholds too. An event about such a message
//! keeps its place, and its data say no more than which message it was.

use serde_json::{
    json,
    value::{RawValue, to_raw_value},
};
use sqlx::PgPool;

use super::error::ExportError;
use crate::{
    domain::{Event, MessageId, Position, Recorded, RetentionRules},
    live::Shown,
    views::{self, Sight},
};

/// A message that an event carries something of: a text, metadata, an emoji.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Content {
    message: MessageId,
    at: Position,
}

/// For each of these events of one conversation the data that take the place of its own, where the message is deleted or
/// expired.
pub(super) async fn withheld(
    pool: &PgPool,
    rules: RetentionRules,
    events: &[Shown],
) -> Result<Vec<Option<Box<RawValue>>>, ExportError> {
    let contents: Vec<Option<Content>> = events.iter().map(|shown| content(&shown.recorded)).collect();
    let mut positions: Vec<Position> = contents.iter().flatten().map(|content| content.at).collect();
    positions.sort_unstable();
    positions.dedup();
    let Some(conversation) = events.first().map(|shown| shown.recorded.conversation) else {
        return Ok(Vec::new());
    };
    let sights = match positions.is_empty() {
        true => Default::default(),
        false => views::sights(pool, rules, conversation, &positions).await?,
    };
    let mut all = Vec::with_capacity(events.len());
    for (content, shown) in contents.into_iter().zip(events) {
        all.push(match content {
            None => None,
            // The view that grows anew may lack a message that is deleted, so a message that it lacks is not shown.
            Some(content) => match sights.get(&content.at).ok_or(ExportError::Lagging)? {
                Sight::Deleted if !says_erased(&shown.recorded) => {
                    Some(instead(&shown.recorded, content, "deleted"))
                }
                Sight::Expired => Some(instead(&shown.recorded, content, "erased")),
                _ => None,
            },
        });
    }
    Ok(all)
}

fn content(recorded: &Recorded) -> Option<Content> {
    let (message, at) = match recorded.event.as_ref()? {
        Event::MessageSent(sent) => (sent.message_id, recorded.position),
        Event::MessageEdited(edited) => (edited.message_id, edited.message_position),
        Event::ReactionAdded(added) => (added.message_id, added.message_position),
        Event::ReactionRemoved(removed) => (removed.message_id, removed.message_position),
        _ => return None,
    };
    Some(Content { message, at })
}

/// An event that was erased has no content left, and says so itself.
fn says_erased(recorded: &Recorded) -> bool {
    #[derive(serde::Deserialize)]
    struct Erased {
        #[serde(default)]
        erased: bool,
    }
    serde_json::from_slice::<Erased>(&recorded.data).is_ok_and(|data| data.erased)
}

fn instead(recorded: &Recorded, Content { message, at }: Content, why: &str) -> Box<RawValue> {
    let data = match recorded.position == at {
        true => json!({ "message_id": message, why: true }),
        false => json!({ "message_id": message, "message_position": at, why: true }),
    };
    to_raw_value(&data).expect("ids and numbers are JSON")
}
