//! Who is in a group and as what, and what it is called.

use crate::{
    commands::{change::Changed, needs::Commands, refused::Refused},
    domain::{Command, ConversationId, History, Role, Title, UserId},
};

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
