//! A change to a roster that is repeated: its key, and the event by which it is recognised.

use crate::domain::{ClientId, Command, Conversation, Event, Title};

impl Command {
    /// The idempotency key of a change to a roster.
    pub fn roster_key(&self) -> Option<&ClientId> {
        match self {
            Self::Update { client_id, .. }
            | Self::Add { client_id, .. }
            | Self::Remove { client_id, .. }
            | Self::ChangeRole { client_id, .. } => client_id.as_ref(),
            Self::StartDirect { .. }
            | Self::StartGroup { .. }
            | Self::Send { .. }
            | Self::Act { .. }
            | Self::Advance { .. } => None,
        }
    }

    /// Whether an event is the result of this change to a roster, which is `after` right after the event.
    pub fn made(&self, event: &Event, after: &Conversation) -> bool {
        match (self, event) {
            (Self::Update { title, history, retention, .. }, Event::ConversationUpdated(made)) => {
                // An erased title is not known any more, so it is not compared.
                let has_title = |wanted: &Title| after.title().is_none_or(|is| is == wanted.as_str());
                title.as_ref().map_or(made.title.is_none(), has_title)
                    && history.map_or(made.history.is_none(), |wanted| wanted == after.history())
                    && retention.map_or(made.retention_s.is_none(), |wanted| wanted == after.retention())
            }
            (Self::Add { user, role, .. }, Event::MemberAdded(made)) => {
                (made.user_id, made.role) == (*user, *role)
            }
            (Self::Remove { user, .. }, Event::MemberRemoved(made)) => made.user_id == *user,
            (Self::ChangeRole { user, role, .. }, Event::MemberRoleChanged(made)) => {
                (made.user_id, made.role) == (*user, *role)
            }
            _ => false,
        }
    }
}
