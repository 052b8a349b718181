//! Changes to the roster of a group: its members, their roles, its title and its settings.

use crate::{
    commands::{change::Changed, existing::NotBroughtIn, needs::Commands, refused::Refused},
    domain::{Command, ConversationId, History, Role, Title, UserId},
};

impl Commands {
    /// Adds a user. A caller who is not a member is refused first: any other refusal would reveal that the conversation
    /// exists.
    pub async fn add_member(
        &self,
        by: UserId,
        conversation: ConversationId,
        user: UserId,
        role: Role,
    ) -> Result<Changed, NotBroughtIn> {
        self.of_member(by, conversation).await?;
        self.must_exist(&[user]).await?;
        Ok(self.change(by, conversation, &Command::Add { user, role }).await?)
    }

    /// Removes a member. Members can also remove themselves, which is how they leave.
    pub async fn remove_member(
        &self,
        by: UserId,
        conversation: ConversationId,
        user: UserId,
    ) -> Result<Changed, Refused> {
        self.change(by, conversation, &Command::Remove { user }).await
    }

    /// Gives a member another role.
    pub async fn change_role(
        &self,
        by: UserId,
        conversation: ConversationId,
        user: UserId,
        role: Role,
    ) -> Result<Changed, Refused> {
        self.change(by, conversation, &Command::ChangeRole { user, role }).await
    }

    /// Changes the title, the history setting and the retention; `None` keeps the current value.
    pub async fn update(
        &self,
        by: UserId,
        conversation: ConversationId,
        title: Option<Title>,
        history: Option<History>,
        retention: Option<Option<u64>>,
    ) -> Result<Changed, Refused> {
        self.change(by, conversation, &Command::Update { title, history, retention }).await
    }
}
