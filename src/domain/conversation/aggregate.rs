//! The only aggregate: the members of a conversation, their roles, and its settings. No decision loads messages: the
//! caller looks up every fact that a rule needs beyond the roster, and passes it in the command.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::{
    ClientId, ContentErased, Event, History, Kind, Lane, Position, Role, Title, UserId,
    conversation::command::{Command, MAX_FIRST_MEMBERS, MAX_MEMBERS, Rejection},
    stored::event::{
        ConversationCreated, ConversationUpdated, MemberAdded, MemberRemoved, MemberRoleChanged, NewMember,
        ReceiptAdvanced,
    },
};

/// The membership of a user in a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Membership {
    /// The role of the member.
    pub role: Role,
    /// The position of the event that made the user a member.
    pub since: Position,
}

/// The title of a conversation, as set by an event of its roster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Titled {
    /// The position of the event.
    pub at: Position,
    /// The title; `None` if it was erased. An earlier title does not come back: the conversation has none until a later
    /// event sets one.
    pub title: Option<String>,
}

impl Titled {
    /// A title as an event carries it. An empty title marks an erased one.
    fn given(at: Position, title: &str) -> Self {
        Self { at, title: Some(title.to_owned()).filter(|title| !title.is_empty()) }
    }
}

/// The roster of a conversation, folded from its `roster` lane. The default is a conversation that
/// does not exist yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conversation {
    kind: Option<Kind>,
    titled: Option<Titled>,
    history: History,
    retention: Option<u64>,
    members: BTreeMap<UserId, Membership>,
}

impl Conversation {
    /// Whether the conversation has been created.
    pub fn exists(&self) -> bool {
        self.kind.is_some()
    }

    /// Direct or group. A conversation that does not exist counts as direct.
    pub fn kind(&self) -> Kind {
        self.kind.unwrap_or(Kind::Direct)
    }

    /// The title of a group; `None` for a direct conversation, and for a group whose title was erased.
    pub fn title(&self) -> Option<&str> {
        self.titled.as_ref()?.title.as_deref()
    }

    /// The title with the position of the event that set it, even if the title was erased.
    pub fn titled(&self) -> Option<&Titled> {
        self.titled.as_ref()
    }

    /// Whether an event erases the current title.
    pub(in crate::domain) fn loses_title_by(&self, erased: &ContentErased) -> bool {
        let is_gone = |titled: &Titled| titled.title.is_some() && erased.titles().any(|at| at == titled.at);
        self.titled.as_ref().is_some_and(is_gone)
    }

    /// Forgets the current title.
    pub fn forget_title(&mut self) {
        if let Some(titled) = &mut self.titled {
            titled.title = None;
        }
    }

    /// How much of the history later members may read.
    pub fn history(&self) -> History {
        self.history
    }

    /// The seconds for which the conversation keeps messages, if it has a retention of its own.
    pub fn retention(&self) -> Option<u64> {
        self.retention
    }

    /// The membership of a user; `None` unless the user is a member.
    pub fn membership(&self, user: UserId) -> Option<Membership> {
        self.members.get(&user).copied()
    }

    /// All members, in the order of their ids.
    pub fn members(&self) -> impl ExactSizeIterator<Item = (UserId, Membership)> + '_ {
        self.members.iter().map(|(user, membership)| (*user, *membership))
    }

    /// The position from which a member may see the conversation: the beginning, or with
    /// [`History::SinceJoin`] the event that made the user a member. `None` unless the user is a member.
    pub fn visible_from(&self, user: UserId) -> Option<Position> {
        let membership = self.membership(user)?;
        Some(match self.history {
            History::Full => Position::START,
            History::SinceJoin => membership.since,
        })
    }

    /// Whether the next event counts, given its actor and its lane. A message or receipt of a user who is not
    /// a member at this point is void, for views, hub and clients alike.
    pub fn counts(&self, actor: UserId, lane: Lane) -> bool {
        !lane.is_for_members() || self.members.contains_key(&actor)
    }

    /// Whether all these users are members.
    pub fn has_all(&self, users: &[UserId]) -> bool {
        users.iter().all(|user| self.members.contains_key(user))
    }

    /// The other member of a direct conversation; `None` for a group.
    pub fn peer(&self, user: UserId) -> Option<UserId> {
        let others = || self.members.keys().copied().find(|other| *other != user);
        (self.kind == Some(Kind::Direct)).then(others).flatten()
    }

    /// Whether a user may address the other members. Only a member may, and in a direct conversation only
    /// while neither of the two members has blocked the other (`blocked`). Blocks do not matter in a group.
    pub fn may_speak(&self, by: UserId, blocked: bool) -> Result<(), Rejection> {
        self.role(by)?;
        if blocked && self.kind == Some(Kind::Direct) { Err(Rejection::Blocked) } else { Ok(()) }
    }

    /// Decides on a command: an event, `None` if the command would change nothing, or a rejection.
    pub fn decide(&self, by: UserId, command: Command) -> Result<Option<Event>, Rejection> {
        match command {
            Command::StartDirect { with, blocked } => self.start_direct(by, with, blocked),
            Command::StartGroup { title, members } => self.start_group(by, title, members),
            Command::Update { title, history, retention, client_id } => {
                self.update(by, title, history, retention, client_id)
            }
            Command::Add { user, role, client_id } => self.add(by, user, role, client_id),
            Command::Remove { user, client_id } => self.remove(by, user, client_id),
            Command::ChangeRole { user, role, client_id } => self.change_role(by, user, role, client_id),
            Command::Send { message_id, new, quoted, blocked } => {
                self.may_speak(by, blocked)?;
                self.send(by, message_id, *new, quoted.as_deref())
            }
            Command::Act { message, act, client_id, blocked } => {
                self.act(by, *message, act, client_id, blocked)
            }
            Command::Advance { delivered, read, known, head } => {
                self.advance(by, delivered, read, known, head)
            }
        }
    }

    /// Applies the event at a position.
    pub fn evolve(&mut self, at: Position, event: &Event) {
        match event {
            Event::ConversationCreated(created) => {
                self.kind = Some(created.kind);
                self.titled = created.title.as_ref().map(|title| Titled::given(at, title));
                self.history = created.history;
                self.members = created
                    .members
                    .iter()
                    .map(|m| (m.user_id, Membership { role: m.role, since: at }))
                    .collect();
            }
            Event::ConversationUpdated(updated) => {
                if let Some(title) = &updated.title {
                    self.titled = Some(Titled::given(at, title));
                }
                self.history = updated.history.unwrap_or(self.history);
                if let Some(seconds) = updated.retention_s {
                    self.retention = Some(seconds).filter(|seconds| *seconds > 0);
                }
            }
            Event::MemberAdded(MemberAdded { user_id, role, .. }) => {
                self.members.insert(*user_id, Membership { role: *role, since: at });
            }
            Event::MemberRemoved(MemberRemoved { user_id, .. }) => {
                self.members.remove(user_id);
            }
            Event::MemberRoleChanged(MemberRoleChanged { user_id, role, .. }) => {
                if let Some(membership) = self.members.get_mut(user_id) {
                    membership.role = *role;
                }
            }
            Event::ContentErased(erased) if self.loses_title_by(erased) => self.forget_title(),
            Event::ContentErased(_)
            | Event::MessageSent(_)
            | Event::MessageEdited(_)
            | Event::MessageDeleted(_)
            | Event::ReactionAdded(_)
            | Event::ReactionRemoved(_)
            | Event::MessagePinned(_)
            | Event::MessageUnpinned(_)
            | Event::ReceiptAdvanced(_)
            | Event::PresenceChanged(_) => {}
        }
    }

    /// Rebuilds a conversation from the rows of a view.
    pub fn restored(
        kind: Kind,
        titled: Option<Titled>,
        history: History,
        retention: Option<u64>,
        members: BTreeMap<UserId, Membership>,
    ) -> Self {
        Self { kind: Some(kind), titled, history, retention, members }
    }

    pub(in crate::domain) fn role(&self, user: UserId) -> Result<Role, Rejection> {
        self.membership(user).map(|m| m.role).ok_or(Rejection::NotFound)
    }

    /// The role of the caller in a group, if the role is `least` or higher.
    fn group_role(&self, by: UserId, least: Role) -> Result<Role, Rejection> {
        let role = self.role(by)?;
        if self.kind == Some(Kind::Direct) {
            return Err(Rejection::DirectIsFixed);
        }
        if role < least { Err(Rejection::Forbidden) } else { Ok(role) }
    }

    fn start_direct(&self, by: UserId, with: UserId, blocked: bool) -> Result<Option<Event>, Rejection> {
        if by == with {
            return Err(Rejection::WithOneself);
        }
        if self.exists() {
            return Ok(None);
        }
        if blocked {
            return Err(Rejection::Blocked);
        }
        let member = |user_id| NewMember { user_id, role: Role::Member };
        Ok(Some(Event::ConversationCreated(ConversationCreated {
            kind: Kind::Direct,
            title: None,
            history: History::Full,
            members: vec![member(by), member(with)],
        })))
    }

    fn start_group(
        &self,
        by: UserId,
        title: Title,
        members: Vec<NewMember>,
    ) -> Result<Option<Event>, Rejection> {
        if self.exists() {
            return Err(Rejection::AlreadyStarted);
        }
        let mut named = BTreeSet::from([by]);
        let mut all = vec![NewMember { user_id: by, role: Role::Owner }];
        all.extend(members.into_iter().filter(|member| named.insert(member.user_id)));
        if all.len() > MAX_FIRST_MEMBERS {
            return Err(Rejection::TooManyMembers);
        }
        Ok(Some(Event::ConversationCreated(ConversationCreated {
            kind: Kind::Group,
            title: Some(title.into()),
            history: History::default(),
            members: all,
        })))
    }

    fn update(
        &self,
        by: UserId,
        title: Option<Title>,
        history: Option<History>,
        retention: Option<Option<u64>>,
        client_id: Option<ClientId>,
    ) -> Result<Option<Event>, Rejection> {
        // A retention deletes older messages for all members for good, so only an owner may change it.
        self.group_role(by, if retention.is_some() { Role::Owner } else { Role::Admin })?;
        let title = title.map(String::from).filter(|new| self.title() != Some(new.as_str()));
        let history = history.filter(|new| self.history != *new);
        let retention_s = retention.filter(|new| self.retention != *new).map(Option::unwrap_or_default);
        let changes = title.is_some() || history.is_some() || retention_s.is_some();
        let client_id = client_id.map(String::from);
        let updated = ConversationUpdated { title, history, retention_s, client_id };
        Ok(changes.then_some(Event::ConversationUpdated(updated)))
    }

    fn add(
        &self,
        by: UserId,
        user: UserId,
        role: Role,
        client_id: Option<ClientId>,
    ) -> Result<Option<Event>, Rejection> {
        let mine = self.group_role(by, Role::Admin)?;
        if self.members.contains_key(&user) {
            return Ok(None);
        }
        if role > Role::Member && mine < Role::Owner {
            return Err(Rejection::Forbidden);
        }
        if self.members.len() >= MAX_MEMBERS {
            return Err(Rejection::TooManyMembers);
        }
        let client_id = client_id.map(String::from);
        Ok(Some(Event::MemberAdded(MemberAdded { user_id: user, role, client_id })))
    }

    fn remove(
        &self,
        by: UserId,
        user: UserId,
        client_id: Option<ClientId>,
    ) -> Result<Option<Event>, Rejection> {
        let least = if by == user { Role::Member } else { Role::Admin };
        let mine = self.group_role(by, least)?;
        let Some(theirs) = self.membership(user) else {
            return Ok(None);
        };
        if by != user && mine < Role::Owner && theirs.role >= mine {
            return Err(Rejection::Forbidden);
        }
        let alone = self.members.len() == 1;
        if theirs.role == Role::Owner && !alone && !self.others(user).any(is_owner) {
            return Err(Rejection::LastOwner);
        }
        let client_id = client_id.map(String::from);
        Ok(Some(Event::MemberRemoved(MemberRemoved { user_id: user, client_id })))
    }

    fn change_role(
        &self,
        by: UserId,
        user: UserId,
        role: Role,
        client_id: Option<ClientId>,
    ) -> Result<Option<Event>, Rejection> {
        self.group_role(by, Role::Owner)?;
        let theirs = self.membership(user).ok_or(Rejection::NoSuchMember)?;
        if theirs.role == role {
            return Ok(None);
        }
        if theirs.role == Role::Owner && !self.others(user).any(is_owner) {
            return Err(Rejection::LastOwner);
        }
        let client_id = client_id.map(String::from);
        Ok(Some(Event::MemberRoleChanged(MemberRoleChanged { user_id: user, role, client_id })))
    }

    fn others(&self, user: UserId) -> impl Iterator<Item = Role> + '_ {
        self.members.iter().filter(move |(id, _)| **id != user).map(|(_, m)| m.role)
    }

    fn advance(
        &self,
        by: UserId,
        delivered: Option<Position>,
        read: Option<Position>,
        known: ReceiptAdvanced,
        head: Position,
    ) -> Result<Option<Event>, Rejection> {
        self.role(by)?;
        if delivered.max(read).is_some_and(|wanted| wanted > head) {
            return Err(Rejection::AheadOfHead);
        }
        let read = read.unwrap_or_default().max(known.read);
        let delivered = delivered.unwrap_or_default().max(known.delivered).max(read);
        let new = ReceiptAdvanced { delivered, read };
        Ok((new != known).then_some(Event::ReceiptAdvanced(new)))
    }
}

fn is_owner(role: Role) -> bool {
    role == Role::Owner
}
