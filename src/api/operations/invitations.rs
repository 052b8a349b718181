//! The caller's invitations to conversations.

use std::sync::Arc;

use poem_openapi::{
    Object, OpenApi,
    param::{Path, Query},
    types::Example,
};
use serde::Serialize;

use crate::{
    access::{self, Access},
    api::{
        Caller, Cursor, Done, Found, Include, Limit, MentionsUsers, Named, Page, Reached, Reply, Ruled,
        SignedIn, http::examples, operations::tag::Tag,
    },
    commands::Commands,
    domain::{ConversationId, Kind, Time, UserId},
    reading::Reading,
};

/// An invitation of the caller to a conversation
#[derive(Serialize, Object)]
#[oai(example)]
struct Invitation {
    /// The conversation. The caller cannot read it before accepting
    conversation_id: ConversationId,
    /// The kind of the conversation
    kind: Kind,
    /// The title of the group at the time of the invitation; absent if it was erased
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    /// The user who sent the invitation
    invited_by: UserId,
    /// When the caller was invited
    created_at: Time,
    /// When the invitation expires
    expires_at: Time,
}

impl From<access::Invitation> for Invitation {
    fn from(invitation: access::Invitation) -> Self {
        Self {
            conversation_id: invitation.conversation,
            kind: if invitation.is_direct { Kind::Direct } else { Kind::Group },
            title: invitation.title,
            invited_by: invitation.by,
            created_at: invitation.created_at,
            expires_at: invitation.expires_at,
        }
    }
}

impl MentionsUsers for Invitation {
    fn mention(&self, found: &mut Vec<UserId>) {
        found.push(self.invited_by);
    }
}

impl Example for Invitation {
    fn example() -> Self {
        let at = examples::time();
        Self {
            conversation_id: examples::conversation(),
            kind: Kind::Group,
            title: Some(examples::TITLE.into()),
            invited_by: examples::ana(),
            created_at: at,
            expires_at: at.plus(std::time::Duration::from_secs(30 * 86_400)),
        }
    }
}

pub(in crate::api) struct Invitations {
    pub(in crate::api) access: Arc<Access>,
    pub(in crate::api) commands: Arc<Commands>,
    pub(in crate::api) reading: Arc<Reading>,
}

#[OpenApi(tag = "Tag::Members")]
impl Invitations {
    /// List my invitations
    ///
    /// Lists the open invitations of the caller, newest first. There are none unless the server requires the consent
    /// of users who share no conversation (`VERBATIM_ADD_STRANGERS`). An invitation expires after 30 days.
    #[oai(path = "/me/invitations", method = "get", operation_id = "list_invitations")]
    async fn list(
        &self,
        caller: Caller,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor<(Time, ConversationId)>>>,
        include: Query<Include>,
    ) -> Result<Reply<Named<Page<Invitation>>>, SignedIn> {
        let after = cursor.0.map(|cursor| cursor.0);
        let found = self.access.invitations(caller.user, after, limit.0.and_one()).await?;
        let page = Page::cut(found, limit.0, |last| (last.created_at, last.conversation));
        Ok(Reply(include.0.name(page.map(Invitation::from), &self.reading).await?))
    }

    /// Accept an invitation
    ///
    /// Accepts an invitation: the caller becomes a member of the conversation. If the user who sent the invitation
    /// may no longer add members, or if the caller has joined and left the conversation since, the response is 404. If
    /// one of the two has blocked the other, it is 403 `blocked`. A member of the conversation gets the response of the
    /// first attempt.
    #[oai(path = "/me/invitations/:id/accept", method = "post", operation_id = "accept_invitation")]
    async fn accept(&self, caller: Caller, id: Path<ConversationId>) -> Result<Reached, Ruled> {
        Ok(Reached(self.commands.accept(caller.user, id.0).await?))
    }

    /// Decline an invitation
    ///
    /// Declines an invitation. Nobody is told. Until it would have expired, another invitation to the same
    /// conversation has no effect.
    #[oai(path = "/me/invitations/:id", method = "delete", operation_id = "decline_invitation")]
    async fn decline(&self, caller: Caller, id: Path<ConversationId>) -> Result<Done, Found> {
        self.access.decline(caller.user, id.0).await?;
        Ok(Done)
    }
}
