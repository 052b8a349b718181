//! The conversations of a user: the list, and one of them.

use std::time::Duration;

use futures_util::future::try_join_all;

use super::{
    error::{ReadError, unless_missing},
    mine::{Mine, begun, seen},
    open::Reading,
    when::{ListPart, Standing},
};
use crate::{
    accounts::{self, ConversationSettings},
    commands::{Changed, Started},
    domain::{Conversation, ConversationId, Position, Time, UserId},
    live::Tracked,
    views::{self, Among, MyConversation},
};

/// The place of a conversation in the list of a member: the time of its last activity, and its id.
pub type ListPlace = (Time, ConversationId);

impl Reading {
    /// A part of the archive of a user, or of the conversations outside of it. A place is empty if the views list a
    /// conversation of which, according to the log, the user is no longer a member.
    pub async fn conversations(
        &self,
        me: UserId,
        archived: bool,
        part: ListPart<ListPlace>,
    ) -> Result<(Vec<(ListPlace, Option<Mine>)>, Standing), ReadError> {
        let archive = accounts::archived(&self.pool, me).await?;
        let among = if archived { Among::These(&archive) } else { Among::AllBut(&archive) };
        let rules = self.commands.retention;
        let pool = self.views.pool();
        let (found, moment) = views::page(pool, rules, me, among, part.after, part.limit).await?;
        let ids: Vec<_> = found.iter().map(|view| view.id).collect();
        let settings = accounts::settings(&self.pool, me, &ids).await?;
        let now = self.clock.now();
        let listed = async |view: MyConversation| {
            let (id, place) = (view.id, (view.active_at, view.id));
            let tracked = unless_missing(self.open(me, id, None).await)?;
            let seen = tracked.and_then(|tracked| self.as_seen(view, &tracked.conversation(), me));
            let settings = settings.get(&id).copied().unwrap_or_default().at(now);
            Ok::<_, ReadError>((place, seen.map(|conversation| Mine { conversation, settings })))
        };
        let listed = try_join_all(found.into_iter().map(listed)).await?;
        Ok((listed, self.standing_of_all(me, &moment).await))
    }

    /// A conversation of a member.
    pub async fn conversation(
        &self,
        me: UserId,
        id: ConversationId,
        min_position: Option<Position>,
    ) -> Result<Mine, ReadError> {
        let tracked = self.open(me, id, min_position).await?;
        self.mine(me, id, &tracked, &tracked.conversation()).await
    }

    /// A conversation of a member after a command of the member, with the title, role and settings that the command
    /// left: the views may not know the change yet, and a repeated command gets the answer of the first attempt. What
    /// the member may see is decided by the present roster.
    pub async fn conversation_after(
        &self,
        me: UserId,
        id: ConversationId,
        changed: &Changed,
    ) -> Result<Mine, ReadError> {
        let tracked = self.open(me, id, None).await?;
        Ok(self.mine(me, id, &tracked, &tracked.conversation()).await?.after(me, changed))
    }

    /// A conversation that a member has started again. If the views do not know the conversation yet, the
    /// answer is the conversation as it began.
    pub async fn started_again(&self, me: UserId, started: &Started) -> Result<Mine, ReadError> {
        let view = views::one(self.views.pool(), self.commands.retention, me, started.id).await?;
        let known = view.and_then(|view| self.as_seen(view, &started.conversation, me));
        let conversation = known.unwrap_or_else(|| begun(started, me));
        Ok(Mine { conversation, settings: self.settings_for(me, started.id).await? })
    }

    /// The private settings of a member for a conversation.
    pub async fn settings(&self, me: UserId, id: ConversationId) -> Result<ConversationSettings, ReadError> {
        self.open(me, id, None).await?;
        self.settings_for(me, id).await
    }

    async fn mine(
        &self,
        me: UserId,
        id: ConversationId,
        tracked: &Tracked,
        roster: &Conversation,
    ) -> Result<Mine, ReadError> {
        let rules = self.commands.retention;
        let view = self.once_known(id, tracked, || views::one(self.views.pool(), rules, me, id)).await?;
        let conversation = self.as_seen(view, roster, me).ok_or(ReadError::NotFound)?;
        Ok(Mine { conversation, settings: self.settings_for(me, id).await? })
    }

    fn as_seen(&self, view: MyConversation, roster: &Conversation, me: UserId) -> Option<MyConversation> {
        let kept = self.commands.retention.of(roster.retention());
        seen(view, roster, me, kept.map(|seconds| self.clock.now().minus(Duration::from_secs(seconds))))
    }

    async fn settings_for(&self, me: UserId, id: ConversationId) -> Result<ConversationSettings, ReadError> {
        let mut settings = accounts::settings(&self.pool, me, &[id]).await?;
        Ok(settings.remove(&id).unwrap_or_default().at(self.clock.now()))
    }
}
