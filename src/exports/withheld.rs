//! Deleted and expired messages: an export withholds them, like all other interfaces. An event about such a message
//! keeps its place, and its data only says which message it was.

use serde_json::{
    json,
    value::{RawValue, to_raw_value},
};
use sqlx::PgPool;

use super::{error::ExportError, line::Line};
use crate::{
    domain::{Event, MessageId, Position, Recorded, RetentionRules},
    views::{self, Sight},
};

/// The message whose content an event carries: a text, metadata or an emoji.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Content {
    message: MessageId,
    at: Position,
}

/// Replaces the data of the events of one conversation whose message is deleted or expired.
pub(super) async fn withhold(
    pool: &PgPool,
    rules: RetentionRules,
    lines: &mut [Line],
) -> Result<(), ExportError> {
    let contents: Vec<Option<Content>> = lines.iter().map(|line| content(&line.recorded)).collect();
    let mut positions: Vec<Position> = contents.iter().flatten().map(|content| content.at).collect();
    positions.sort_unstable();
    positions.dedup();
    let Some(conversation) = lines.first().map(|line| line.recorded.conversation) else {
        return Ok(());
    };
    let sights = match positions.is_empty() {
        true => Default::default(),
        false => views::sights(pool, rules, conversation, &positions).await?,
    };
    for (content, line) in contents.into_iter().zip(lines) {
        let Some(content) = content else { continue };
        // A view that is being refilled may lack a message that is deleted. So a message that the view lacks is not
        // shown.
        line.instead = match sights.get(&content.at).ok_or(ExportError::Lagging)? {
            Sight::Deleted if !says_erased(&line.recorded) => {
                Some(instead(&line.recorded, content, "deleted"))
            }
            Sight::Expired => Some(instead(&line.recorded, content, "erased")),
            _ => None,
        };
    }
    Ok(())
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

/// Whether an event was erased: then it has no content left, and says so itself.
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
