//! Who is in a group and as what, and what it is called.

use std::sync::Arc;

use crate::{
    commands::{Commands, Refused},
    domain::{Command, Conversation, ConversationId, History, Position, Role, Title, UserId},
};

/// A roster after a command.
#[derive(Debug, Clone)]
pub struct Changed {
    /// The position that was reached.
    pub position: Position,
    /// The roster as it is now.
    pub conversation: Arc<Conversation>,
    /// Whether anything happened; otherwise it was so already.
    pub changed: bool,
}

impl Commands {
    /// Brings somebody in. Whether there is such a user is for the caller to know.
    pub async fn add_member(
        &self,
        by: UserId,
        conversation: ConversationId,
        user: UserId,
        role: Role,
    ) -> Result<Changed, Refused> {
        self.change(by, conversation, &Command::Add { user, role }).await
    }

    /// Puts somebody out, or leaves.
    pub async fn remove_member(
        &self,
        by: UserId,
        conversation: ConversationId,
        user: UserId,
    ) -> Result<Changed, Refused> {
        self.change(by, conversation, &Command::Remove { user }).await
    }

    /// Gives another role.
    pub async fn change_role(
        &self,
        by: UserId,
        conversation: ConversationId,
        user: UserId,
        role: Role,
    ) -> Result<Changed, Refused> {
        self.change(by, conversation, &Command::ChangeRole { user, role }).await
    }

    /// Changes title and settings; what is absent stays.
    pub async fn update(
        &self,
        by: UserId,
        conversation: ConversationId,
        title: Option<Title>,
        history: Option<History>,
    ) -> Result<Changed, Refused> {
        self.change(by, conversation, &Command::Update { title, history }).await
    }
}
