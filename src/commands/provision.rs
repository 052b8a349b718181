//! Provisioning conversations: a host application describes the wanted state of a conversation, and the conversation is
//! changed to it, by one event for each difference.
//!
//! The requesting service account is an owner of each group that it provisions. So all its events pass the rules of the
//! fold, and members see which program manages the group. A part that is already as wanted needs no event. So a request
//! that was interrupted is completed by the next one, and concurrent requests make each event once.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    commands::{change::Rules, needs::Commands, refused::Refused},
    domain::{
        Command, Conversation, ConversationId, Event, Kind, NewMember, Position, Rejection, Role, Title,
        UserId,
    },
    log::Unavailable,
};

/// How many passes look for differences. More than one, because another request may change the group meanwhile.
const PASSES: usize = 3;

/// A conversation as a host application wants it.
#[derive(Debug, Clone)]
pub enum HostConversation {
    /// A direct conversation of two users.
    Direct([UserId; 2]),
    /// A group with these members and no others, except the service account.
    Group {
        /// The title.
        title: Title,
        /// The members with their roles.
        members: BTreeMap<UserId, Role>,
    },
}

/// What a request of a host application has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// It did not exist before.
    Created,
    /// It was changed.
    Updated,
    /// It was already as wanted.
    Unchanged,
}

/// A provisioned conversation.
#[derive(Debug, Clone)]
pub struct ProvisionedConversation {
    /// The id of the conversation.
    pub id: ConversationId,
    /// The position of the last change of the roster.
    pub position: Position,
    /// The roster.
    pub conversation: Arc<Conversation>,
}

/// Why a conversation was not provisioned.
#[derive(Debug, thiserror::Error)]
pub enum NotProvisioned {
    /// The external id belongs to a direct conversation of other users, or to a group of another service account.
    #[error("the external id belongs to another conversation: choose another one")]
    Taken,
    /// The conversation is of another kind.
    #[error("the conversation is of another kind, which cannot change: choose another external id")]
    OtherKind,
    /// A direct conversation was requested without two members.
    #[error("a direct conversation has two members: send exactly two")]
    NotTwo,
    /// No user has the external ids at these places of the request.
    #[error("members at {0:?} are no users: provision them first")]
    NoSuchUsers(Vec<usize>),
    /// A rule refuses the command, or a server does not answer.
    #[error(transparent)]
    Refused(#[from] Refused),
}

impl From<Unavailable> for NotProvisioned {
    fn from(outage: Unavailable) -> Self {
        Self::Refused(outage.into())
    }
}

impl Commands {
    /// Creates a conversation, or changes it to what the host application wants.
    pub async fn provision(
        &self,
        by: UserId,
        id: ConversationId,
        wanted: HostConversation,
    ) -> Result<(ProvisionedConversation, Written), NotProvisioned> {
        let written = match wanted {
            HostConversation::Direct(users) => self.provision_direct(by, id, users).await?,
            HostConversation::Group { title, mut members } => {
                members.insert(by, Role::Owner);
                self.provision_group(by, id, title, &members).await?
            }
        };
        let gone = || Refused::from(Rejection::NotFound);
        Ok((self.roster_of(id).await?.ok_or_else(gone)?, written))
    }

    /// A provisioned conversation; `None` if it does not exist, or if the service account is not a member of the group.
    pub async fn provisioned(
        &self,
        by: UserId,
        id: ConversationId,
    ) -> Result<Option<ProvisionedConversation>, Refused> {
        self.conversations.catch_up(id).await?;
        let found = self.roster_of(id).await?;
        Ok(found.filter(|found| {
            found.conversation.kind() == Kind::Direct || found.conversation.membership(by).is_some()
        }))
    }

    async fn roster_of(&self, id: ConversationId) -> Result<Option<ProvisionedConversation>, Refused> {
        let Some(tracked) = self.conversations.get(id).await? else { return Ok(None) };
        let (conversation, position) = tracked.roster();
        Ok(Some(ProvisionedConversation { id, position, conversation }))
    }

    /// The two members of a direct conversation stay for ever, so there is nothing to change.
    async fn provision_direct(
        &self,
        by: UserId,
        id: ConversationId,
        [one, other]: [UserId; 2],
    ) -> Result<Written, NotProvisioned> {
        if !self.is_there(id).await? {
            let start = Command::StartDirect { with: other, blocked: false };
            let event = Conversation::default().decide(one, start).map_err(Refused::from)?;
            if let Some(event) = event
                && self.begin_for_host(id, by, event).await?
            {
                return Ok(Written::Created);
            }
        }
        let found = self.provisioned(by, id).await?.ok_or(NotProvisioned::Taken)?.conversation;
        if found.kind() != Kind::Direct {
            return Err(NotProvisioned::OtherKind);
        }
        match found.has_all(&[one, other]) {
            true => Ok(Written::Unchanged),
            false => Err(NotProvisioned::Taken),
        }
    }

    async fn provision_group(
        &self,
        by: UserId,
        id: ConversationId,
        title: Title,
        members: &BTreeMap<UserId, Role>,
    ) -> Result<Written, NotProvisioned> {
        if !self.is_there(id).await? {
            let first = members.iter().map(|(user_id, role)| NewMember { user_id: *user_id, role: *role });
            let start = Command::StartGroup { title: title.clone(), members: first.collect() };
            let event = Conversation::default().decide(by, start).map_err(Refused::from)?;
            if let Some(event) = event
                && self.begin_for_host(id, by, event).await?
            {
                return Ok(Written::Created);
            }
        }
        let mut written = Written::Unchanged;
        for _ in 0..PASSES {
            // The answer that nothing differs is given only after this process has caught up with the log.
            let roster = self.provisioned(by, id).await?.ok_or(NotProvisioned::Taken)?.conversation;
            if roster.kind() == Kind::Direct {
                return Err(NotProvisioned::OtherKind);
            }
            let steps = differences(&roster, &title, members);
            if steps.is_empty() {
                break;
            }
            for step in steps {
                match self.change_by(by, id, &step, Rules::Host).await {
                    Ok(changed) if changed.changed => written = Written::Updated,
                    // Another request has removed the member whose role was to change: the next pass adds the member.
                    Ok(_) | Err(Refused::Rejected(Rejection::NoSuchMember)) => {}
                    Err(refused) => return Err(refused.into()),
                }
            }
        }
        Ok(written)
    }

    /// Begins a conversation if each member has a place for it. `false` if it had already begun.
    async fn begin_for_host(&self, id: ConversationId, by: UserId, event: Event) -> Result<bool, Refused> {
        self.bound.must_have_place(by, &event).await?;
        Ok(!self.begin(id, by, event).await?.existed)
    }
}

/// The commands that change a group to the wanted state. Additions come before changes of roles, and both before
/// removals.
fn differences(roster: &Conversation, title: &Title, members: &BTreeMap<UserId, Role>) -> Vec<Command> {
    let is_titled = roster.title() == Some(title.as_str());
    let retitled = (!is_titled).then(|| Command::Update {
        title: Some(title.clone()),
        history: None,
        retention: None,
        client_id: None,
    });
    let is = |user: &UserId| roster.membership(*user).map(|membership| membership.role);
    let added = members.iter().filter(|(user, _)| is(user).is_none());
    let changed = members.iter().filter(|(user, role)| is(user).is_some_and(|is| is != **role));
    let removed = roster.members().filter(|(user, _)| !members.contains_key(user));
    retitled
        .into_iter()
        .chain(added.map(|(user, role)| Command::Add { user: *user, role: *role, client_id: None }))
        .chain(changed.map(|(user, role)| Command::ChangeRole { user: *user, role: *role, client_id: None }))
        .chain(removed.map(|(user, _)| Command::Remove { user, client_id: None }))
        .collect()
}
