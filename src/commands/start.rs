//! Starting a conversation: a direct one once for each pair, a group once for each key.

use std::sync::Arc;

use crate::{
    commands::{charge::others_of, deadlines::OWN_EVENT, needs::Commands, refused::Refused},
    domain::{
        ClientId, Command, Conversation, ConversationCreated, ConversationId, Event, Position, Recorded,
        Rejection, Time, Title, UserId,
    },
    log::{Conflict, Unavailable},
};

/// A conversation that has been started, now or before.
#[derive(Debug, Clone)]
pub struct Started {
    /// Its id.
    pub id: ConversationId,
    /// The position of its beginning.
    pub position: Position,
    /// When it began.
    pub created_at: Time,
    /// Who began it.
    pub created_by: UserId,
    /// Its roster at the beginning.
    pub conversation: Arc<Conversation>,
    /// It was there already.
    pub existed: bool,
}

impl Commands {
    /// The direct conversation of two people; it is made if there is none. Whether there is such a
    /// user is for the caller to know. If one has blocked the other none is made, but one that is
    /// there is found.
    pub async fn start_direct(&self, by: UserId, with: UserId) -> Result<Started, Refused> {
        let id = ConversationId::direct(by, with);
        let blocked = self.has_blocked(by, with).await?;
        match Conversation::default().decide(by, Command::StartDirect { with, blocked }) {
            Ok(Some(event)) => self.begin_with_all(id, by, event).await,
            Ok(None) => Err(Rejection::AlreadyStarted.into()),
            Err(Rejection::Blocked) if self.is_there(id).await? => self.begun(id).await,
            Err(rejection) => Err(rejection.into()),
        }
    }

    /// A new group. The same key starts the same group, for ever; another body with it is refused.
    pub async fn start_group(
        &self,
        by: UserId,
        title: Title,
        members: Vec<UserId>,
        key: Option<ClientId>,
    ) -> Result<Started, Refused> {
        let id = match &key {
            Some(key) => ConversationId::keyed(by, key.as_str()),
            None => self.clock.id(ConversationId::known),
        };
        let Some(event) = Conversation::default().decide(by, Command::StartGroup { title, members })? else {
            return Err(Rejection::AlreadyStarted.into());
        };
        let started = self.begin_with_all(id, by, event.clone()).await?;
        if started.existed && self.beginning(id).await?.and_then(|recorded| recorded.event) != Some(event) {
            return Err(Refused::Mismatch);
        }
        Ok(started)
    }

    /// Begins a conversation if all its members may be brought in; otherwise only a conversation that has begun
    /// before is answered.
    async fn begin_with_all(&self, id: ConversationId, by: UserId, event: Event) -> Result<Started, Refused> {
        let charged = self.may_bring_in(by, &event).await.and_then(|()| Ok(self.charge_start(by, &event)?));
        match charged {
            Ok(()) => {
                let members = others_of(by, &event);
                let started = self.begin(id, by, event).await?;
                self.settle_start(by, members, started.existed);
                Ok(started)
            }
            Err(_) if self.is_there(id).await? => self.begun(id).await,
            Err(refused) => Err(refused),
        }
    }

    /// Appends the beginning if the conversation has none; otherwise answers the one it has.
    async fn begin(&self, id: ConversationId, by: UserId, event: Event) -> Result<Started, Refused> {
        let draft = self.draft(id, by, event, None);
        match self.log.append_roster(&draft, Position::START).await {
            Ok(position) => {
                self.conversations.reached(id, position, OWN_EVENT).await;
                Ok(started(id, position, by, draft.time, &draft.event, false))
            }
            Err(Conflict::Changed(_)) => self.begun(id).await,
            Err(Conflict::NotAppended(e)) => Err(e.into()),
        }
    }

    /// One that was started before.
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
    let mut conversation = Conversation::default();
    conversation.evolve(position, event);
    Started { id, position, created_at, created_by, conversation: Arc::new(conversation), existed }
}
