//! Starting a conversation: a direct conversation once for each pair, a group once for each key.

use std::sync::Arc;

use crate::{
    accounts,
    commands::{deadlines::OWN_EVENT, existing::NotBroughtIn, needs::Commands, refused::Refused},
    domain::{
        ClientId, Command, Conversation, ConversationCreated, ConversationId, Event, NewMember, Position,
        Recorded, Rejection, Time, Title, UserId,
    },
    log::{Appended, Conflict, Unavailable},
};

/// A conversation that has been started, now or before.
#[derive(Debug, Clone)]
pub struct Started {
    /// The id of the conversation.
    pub id: ConversationId,
    /// The position of the first event.
    pub position: Position,
    /// The time of the first event.
    pub created_at: Time,
    /// The user who started the conversation.
    pub created_by: UserId,
    /// The roster at the beginning.
    pub conversation: Arc<Conversation>,
    /// Whether an earlier request has started the conversation.
    pub existed: bool,
}

impl Commands {
    /// Starts the direct conversation of two users, or finds their existing one. A block prevents the start,
    /// but an existing conversation is found all the same. A conversation that is found leaves the archive of
    /// `by`.
    pub async fn start_direct(&self, by: UserId, with: UserId) -> Result<Started, NotBroughtIn> {
        let id = ConversationId::direct(by, with);
        self.must_exist_to_begin(id, &[with]).await?;
        let started = self.direct(id, by, with).await?;
        if started.existed {
            accounts::unarchive(&self.pool, by, started.id).await.map_err(Unavailable::because)?;
        }
        if !self.add_strangers {
            accounts::invitations::end(&self.pool, &[by, with], started.id, started.position)
                .await
                .map_err(Unavailable::because)?;
        }
        Ok(started)
    }

    async fn direct(&self, id: ConversationId, by: UserId, with: UserId) -> Result<Started, Refused> {
        let blocked = self.has_blocked(by, with).await?;
        match Conversation::default().decide(by, Command::StartDirect { with, blocked }) {
            Ok(Some(event)) => self.begin_with_all(id, by, event).await,
            Ok(None) => Err(Rejection::AlreadyStarted.into()),
            Err(Rejection::Blocked) if self.is_there(id).await? => self.begun(id).await,
            Err(rejection) => Err(rejection.into()),
        }
    }

    /// Starts a group. A key starts one group for ever; another body with the same key is refused.
    pub async fn start_group(
        &self,
        by: UserId,
        title: Title,
        members: Vec<UserId>,
        key: Option<ClientId>,
    ) -> Result<Started, NotBroughtIn> {
        let id = match &key {
            Some(key) => ConversationId::keyed(by, key.as_str()),
            None => self.clock.id(ConversationId::known),
        };
        self.must_exist_to_begin(id, &members).await?;
        Ok(self.group(id, by, title, members).await?)
    }

    async fn group(
        &self,
        id: ConversationId,
        by: UserId,
        title: Title,
        members: Vec<UserId>,
    ) -> Result<Started, Refused> {
        let members = members.into_iter().map(NewMember::plain).collect();
        let Some(event) = Conversation::default().decide(by, Command::StartGroup { title, members })? else {
            return Err(Rejection::AlreadyStarted.into());
        };
        let started = self.begin_with_all(id, by, event.clone()).await?;
        if started.existed {
            let first = self.beginning(id).await?;
            // An erased title is not known any more, so it is not compared.
            let asked = match first.as_ref().and_then(|first| first.erased.as_ref()) {
                Some(_) => event.with_erased_title(),
                None => event,
            };
            // The rosters are compared, because the order of the members means nothing.
            let roster = |event| roster_after(started.position, &event);
            if first.and_then(|first| first.event).map(roster) != Some(roster(asked)) {
                return Err(Refused::Mismatch);
            }
        }
        Ok(started)
    }

    /// Begins a conversation if its members may be brought in and the rate limits allow it. Otherwise finds
    /// the conversation, if it has begun before.
    async fn begin_with_all(&self, id: ConversationId, by: UserId, event: Event) -> Result<Started, Refused> {
        let charged =
            self.may_bring_in(by, id, &event).await.and_then(|()| Ok(self.charge_start(by, &event)?));
        match charged {
            Ok(mut cost) => cost.of(self.begin(id, by, event), |started| !started.existed).await,
            Err(_) if self.is_there(id).await? => self.begun(id).await,
            Err(refused) => Err(refused),
        }
    }

    /// Appends the first event, unless the conversation has begun before.
    pub(super) async fn begin(
        &self,
        id: ConversationId,
        by: UserId,
        event: Event,
    ) -> Result<Started, Refused> {
        let draft = self.draft(id, by, event, None);
        match self.log.append_roster(&draft, Position::START).await {
            Ok(Appended { position, .. }) => {
                self.conversations.reached(id, position, OWN_EVENT).await;
                Ok(started(id, position, by, draft.time, &draft.event, false))
            }
            Err(Conflict::Changed(_)) => self.begun(id).await,
            Err(Conflict::NotAppended(e)) => Err(e.into()),
        }
    }

    /// A conversation that has begun before.
    async fn begun(&self, id: ConversationId) -> Result<Started, Refused> {
        let lost = || Unavailable::because("the beginning of the conversation cannot be read");
        let beginning = self.beginning(id).await?.ok_or_else(lost)?;
        let event = beginning.event.as_ref().ok_or_else(lost)?;
        let Recorded { position, actor, time, .. } = beginning;
        Ok(started(id, position, actor, time, event, true))
    }

    async fn beginning(&self, id: ConversationId) -> Result<Option<Recorded>, Unavailable> {
        let next = self.log.next_in_roster(id, Position::START).await?;
        Ok(next.filter(|r| matches!(r.event, Some(Event::ConversationCreated(ConversationCreated { .. })))))
    }
}

fn started(
    id: ConversationId,
    position: Position,
    created_by: UserId,
    created_at: Time,
    event: &Event,
    existed: bool,
) -> Started {
    let conversation = Arc::new(roster_after(position, event));
    Started { id, position, created_at, created_by, conversation, existed }
}

fn roster_after(position: Position, first: &Event) -> Conversation {
    let mut conversation = Conversation::default();
    conversation.evolve(position, first);
    conversation
}
