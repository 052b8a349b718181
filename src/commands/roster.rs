//! Changes to the roster of a group: its members, their roles, its title and its settings. With a key, a retry gets the
//! answer of the first attempt. Without one, it is decided like a new command.

use crate::{
    accounts::invitations::withdraw,
    commands::{
        change::{Changed, Rules},
        existing::NotBroughtIn,
        needs::Commands,
        refused::Refused,
    },
    domain::{ClientId, Command, ConversationId, History, Role, Title, UserId},
    log::Unavailable,
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
        key: Option<ClientId>,
    ) -> Result<Changed, NotBroughtIn> {
        self.of_member(by, conversation).await?;
        let add = Command::Add { user, role, client_id: key };
        if let Some(before) = self.changed_before(by, conversation, &add).await? {
            return Ok(before);
        }
        self.must_exist(&[user]).await?;
        Ok(self.change_by(by, conversation, &add, Rules::People).await?)
    }

    /// Removes a member. Members can also remove themselves, which is how they leave. If the user is only invited, the
    /// invitation is withdrawn.
    pub async fn remove_member(
        &self,
        by: UserId,
        conversation: ConversationId,
        user: UserId,
        key: Option<ClientId>,
    ) -> Result<Changed, Refused> {
        let changed = self.change(by, conversation, &Command::Remove { user, client_id: key }).await?;
        if !changed.changed && !self.add_strangers {
            withdraw(&self.pool, user, conversation).await.map_err(Unavailable::because)?;
        }
        Ok(changed)
    }

    /// Gives a member another role.
    pub async fn change_role(
        &self,
        by: UserId,
        conversation: ConversationId,
        user: UserId,
        role: Role,
        key: Option<ClientId>,
    ) -> Result<Changed, Refused> {
        self.change(by, conversation, &Command::ChangeRole { user, role, client_id: key }).await
    }

    /// Changes the title, the history setting and the retention; `None` keeps the current value.
    pub async fn update(
        &self,
        by: UserId,
        conversation: ConversationId,
        title: Option<Title>,
        history: Option<History>,
        retention: Option<Option<u64>>,
        key: Option<ClientId>,
    ) -> Result<Changed, Refused> {
        let update = Command::Update { title, history, retention, client_id: key };
        self.change(by, conversation, &update).await
    }
}
