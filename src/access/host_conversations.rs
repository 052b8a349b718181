//! Provisioning conversations by the ids of a host application.

use std::collections::HashMap;

use super::needs::Access;
use crate::{
    accounts::{self, HostUser, TENANT},
    commands::{HostConversation, NotProvisioned, ProvisionedConversation, Unavailable, Written},
    credentials::DisplayName,
    domain::{ConversationId, ExternalId, Membership, Role, Title, UserId},
};

/// A conversation as a host application describes it. A direct conversation has no title.
#[derive(Debug)]
pub struct HostConversationWanted {
    /// The id from the host application.
    pub id: ExternalId,
    /// The title of a group; `None` for a direct conversation.
    pub title: Option<Title>,
    /// The members, without duplicates. A direct conversation has two, whose roles do not matter.
    pub members: Vec<(ExternalId, Role)>,
    /// Whether unknown members become users, with their external ids as names to show.
    pub create_users: bool,
}

/// A provisioned conversation and its members, with external ids where they have some.
pub struct HostConversationFound {
    /// The conversation.
    pub found: ProvisionedConversation,
    /// The members, in the order of their ids.
    pub members: Vec<(UserId, Option<ExternalId>, Role)>,
}

impl Access {
    /// Creates or changes a conversation to match the host application's description.
    pub async fn provision_conversation(
        &self,
        by: UserId,
        wanted: HostConversationWanted,
    ) -> Result<(HostConversationFound, Written), NotProvisioned> {
        let users = self.users_of(by, &wanted).await?;
        let all = users.iter().zip(&wanted.members).map(|(user, (_, role))| (*user, *role));
        let conversation = match (wanted.title, &users[..]) {
            (Some(title), _) => HostConversation::Group { title, members: all.collect() },
            (None, [one, other]) => HostConversation::Direct([*one, *other]),
            (None, _) => return Err(NotProvisioned::NotTwo),
        };
        let (found, written) = self
            .commands
            .provision(by, ConversationId::provisioned(TENANT, &wanted.id), conversation)
            .await?;
        Ok((self.with_external_ids(found).await?, written))
    }

    /// A provisioned conversation; `None` unless it exists and the service account may read it.
    pub async fn provisioned_conversation(
        &self,
        by: UserId,
        id: &ExternalId,
    ) -> Result<Option<HostConversationFound>, NotProvisioned> {
        match self.commands.provisioned(by, ConversationId::provisioned(TENANT, id)).await? {
            Some(found) => Ok(Some(self.with_external_ids(found).await?)),
            None => Ok(None),
        }
    }

    /// The users of the members, in order.
    async fn users_of(
        &self,
        by: UserId,
        wanted: &HostConversationWanted,
    ) -> Result<Vec<UserId>, NotProvisioned> {
        let ids: Vec<ExternalId> = wanted.members.iter().map(|(id, _)| id.clone()).collect();
        let mut known = self.known_users(&ids).await?;
        let unknown = |known: &HashMap<ExternalId, UserId>| -> Vec<usize> {
            ids.iter().enumerate().filter(|(_, id)| !known.contains_key(*id)).map(|(at, _)| at).collect()
        };
        let missing = unknown(&known);
        if wanted.create_users && !missing.is_empty() {
            let users: Vec<HostUser> = missing.iter().map(|at| plain_user(&ids[*at])).collect();
            self.provision_many(by, &users).await.map_err(Unavailable::because)?;
            known = self.known_users(&ids).await?;
        }
        let missing = unknown(&known);
        if !missing.is_empty() {
            return Err(NotProvisioned::NoSuchUsers(missing));
        }
        Ok(ids.iter().filter_map(|id| known.get(id).copied()).collect())
    }

    async fn known_users(&self, ids: &[ExternalId]) -> Result<HashMap<ExternalId, UserId>, Unavailable> {
        let users = accounts::provisioned(&self.pool, ids).await.map_err(Unavailable::because)?;
        Ok(users.into_iter().map(|user| (user.external_id, user.account.id)).collect())
    }

    async fn with_external_ids(
        &self,
        found: ProvisionedConversation,
    ) -> Result<HostConversationFound, Unavailable> {
        let users: Vec<UserId> = found.conversation.members().map(|(user, _)| user).collect();
        let mut ids = accounts::external_ids(&self.pool, &users).await.map_err(Unavailable::because)?;
        let member = |(user, membership): (UserId, Membership)| (user, ids.remove(&user), membership.role);
        let members = found.conversation.members().map(member).collect();
        Ok(HostConversationFound { found, members })
    }
}

/// A user of whom only the id is known. The next request of the host application about the user supplies the name.
fn plain_user(id: &ExternalId) -> HostUser {
    HostUser {
        external_id: id.clone(),
        display_name: DisplayName::known(id.to_string()),
        username: None,
        avatar_url: None,
        metadata: None,
        roles: Vec::new(),
    }
}
