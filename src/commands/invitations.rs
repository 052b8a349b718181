//! Consent: where strangers may not be added, they are invited, and join when they accept.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use tokio::time::timeout;

use crate::{
    accounts::{
        Invitation, InviteError,
        invitations::{accept, consenting, end, invite, sent_at},
    },
    commands::{change::Rules, existing::NotBroughtIn, needs::Commands, refused::Refused},
    domain::{Command, ConversationId, Event, MemberAdded, MemberRemoved, Position, Rejection, Role, UserId},
    limits::Policy,
    log::{Signal, Unavailable},
    views,
};

/// How long an invitation can be accepted.
const LIFE: Duration = Duration::from_secs(30 * 86_400);
/// The most shared conversations that are checked for each user who is brought in.
const CHECKED: i64 = 5;
/// How long a command waits for the deletion of an invitation that has become void.
const END: Duration = Duration::from_secs(1);

impl Commands {
    /// Refuses to bring in strangers who have not consented.
    pub(super) async fn must_consent(
        &self,
        by: UserId,
        id: ConversationId,
        users: &[UserId],
    ) -> Result<(), Refused> {
        let strangers = self.strangers(by, users).await?;
        if strangers.is_empty() {
            return Ok(());
        }
        let consenting = consenting(&self.pool, by, &strangers, id, self.clock.now()).await;
        let consenting = consenting.map_err(Unavailable::because)?;
        match strangers.iter().all(|user| consenting.contains(user)) {
            true => Ok(()),
            false => Err(Refused::ConsentRequired),
        }
    }

    /// The users among `users` who share no conversation with `by`. The views find conversations to check, and the log
    /// decides: the views may not know yet that one of the two users has left. If all conversations that are checked
    /// were left, the user counts as a stranger, and so has to consent.
    async fn strangers(&self, by: UserId, users: &[UserId]) -> Result<Vec<UserId>, Unavailable> {
        let shared = views::shared_with_each(&self.pool, by, users, CHECKED).await;
        let shared = shared.map_err(Unavailable::because)?;
        let ids: HashSet<ConversationId> = shared.iter().map(|(_, id)| *id).collect();
        let rosters: HashMap<_, _> = self.conversations.get_all(ids).await?.into_iter().collect();
        let share = |(user, id): &(UserId, ConversationId)| {
            rosters.get(id).is_some_and(|tracked| tracked.conversation().has_all(&[by, *user]))
        };
        let known: HashSet<UserId> =
            shared.iter().filter(|pair| share(pair)).map(|(user, _)| *user).collect();
        Ok(users.iter().copied().filter(|user| !known.contains(user)).collect())
    }

    /// Turns the outcome "consent required" into an invitation of the user, and returns `None`. Every other
    /// outcome stays as it is.
    pub async fn or_invite<T>(
        &self,
        outcome: Result<T, NotBroughtIn>,
        by: UserId,
        user: UserId,
        group: Option<ConversationId>,
    ) -> Result<Option<T>, NotBroughtIn> {
        match outcome {
            Err(NotBroughtIn::Refused(Refused::ConsentRequired)) => {
                self.invite(by, user, group).await?;
                Ok(None)
            }
            outcome => outcome.map(Some),
        }
    }

    async fn invite(&self, by: UserId, user: UserId, group: Option<ConversationId>) -> Result<(), Refused> {
        // A user who was blocked by the inviter could not accept.
        self.must_be_unblocked(by, user).await?;
        let (title, roster) = match group {
            Some(id) => {
                let tracked = self.of_member(by, id).await?;
                // An event about the user that this process has not followed yet would void the new invitation.
                self.conversations.catch_up(id).await?;
                let (conversation, position) = tracked.roster();
                if conversation.membership(user).is_some() {
                    return Ok(());
                }
                // An invitation that is void would stand in the way of the new one.
                let sent_at = sent_at(&self.pool, user, id).await.map_err(Unavailable::because)?;
                if let Some(sent_at) = sent_at {
                    self.ends_void(id, user, sent_at, position).await?;
                }
                (conversation.title().map(str::to_owned), Some(position))
            }
            None => (None, None),
        };
        let now = self.clock.now();
        let invitation = Invitation {
            invited: user,
            conversation: group.unwrap_or_else(|| ConversationId::direct(by, user)),
            by,
            title,
            is_direct: group.is_none(),
            roster,
            created_at: now,
            expires_at: now.plus(LIFE),
        };
        self.limits.admit(Policy::Members, by)?;
        let invited = invite(&self.pool, &invitation).await;
        if !matches!(invited, Ok(true)) {
            self.limits.give_back(Policy::Members, by, 1);
        }
        match invited {
            Ok(true) => {
                let told = Signal::Invited { user, by, conversation: invitation.conversation };
                if let Err(error) = self.log.tell(told).await {
                    tracing::debug!(%error, "could not notify a user of an invitation");
                }
                Ok(())
            }
            Ok(false) => Ok(()),
            Err(InviteError::TooMany) => Err(Refused::TooManyInvitations),
            Err(InviteError::Database(outage)) => Err(Unavailable::because(outage).into()),
        }
    }

    /// Joins a conversation by an invitation. The inviter brings the caller in, under the rules of this moment. If the
    /// inviter has left, or the inviter's role no longer allows it, there is nothing to join. A member has nothing to
    /// join either, and gets the answer of the first attempt: the invitation may be gone because the answer was lost.
    pub async fn accept(&self, me: UserId, id: ConversationId) -> Result<Position, Refused> {
        let accepted = accept(&self.pool, me, id, self.clock.now()).await.map_err(Unavailable::because)?;
        let Some(invitation) = accepted else {
            let joined = self.of_member(me, id).await?.conversation().membership(me).map(|mine| mine.since);
            return Ok(joined.ok_or(Rejection::NotFound)?);
        };
        let by = invitation.by;
        let joined = match invitation.is_direct {
            true => self.start_direct(by, me).await.map(|started| started.position),
            false => {
                let add = Command::Add { user: me, role: Role::Member, client_id: None };
                let joined = self.change_by(by, id, &add, Rules::Invitation(invitation.roster)).await;
                joined.map(|changed| changed.position).map_err(NotBroughtIn::from)
            }
        };
        let position = joined.map_err(|error| match error {
            NotBroughtIn::NoSuchUsers(_) | NotBroughtIn::Refused(Refused::Rejected(Rejection::Forbidden)) => {
                Rejection::NotFound.into()
            }
            NotBroughtIn::Refused(refused) => refused,
        })?;
        // The invitation is removed last. If it were removed first and the join failed, a retry would find
        // nothing to accept.
        end(&self.pool, &[by, me], id, position).await.map_err(Unavailable::because)?;
        Ok(position)
    }

    /// Refuses to bring in a user by an invitation if the user has joined or left the group since it was sent, up to
    /// the last position of the roster on which the command is decided. The log decides that, and not the row of the
    /// invitation: the row is deleted only after the event, and another request may hold it already.
    pub(super) async fn must_be_open(
        &self,
        id: ConversationId,
        event: &Event,
        sent_at: Position,
        last: Position,
    ) -> Result<(), Refused> {
        let Some(user) = joins_or_leaves(event) else { return Ok(()) };
        match self.ends_void(id, user, sent_at, last).await? {
            true => Err(Rejection::NotFound.into()),
            false => Ok(()),
        }
    }

    /// Deletes an invitation that was sent at a position of the roster, if it is void. Returns whether it is.
    async fn ends_void(
        &self,
        id: ConversationId,
        user: UserId,
        sent_at: Position,
        last: Position,
    ) -> Result<bool, Unavailable> {
        let is_over = |later: &Event| joins_or_leaves(later) == Some(user);
        let Some(over) = self.log.first_in_roster(id, sent_at, last, is_over).await? else {
            return Ok(false);
        };
        end(&self.pool, &[user], id, over).await.map_err(Unavailable::because)?;
        Ok(true)
    }

    /// Deletes the invitation of a user who has joined or left a group, so that it is not listed any more. It could not
    /// be accepted in any case, and the next invitation takes its place, so a failure does no harm.
    pub(super) async fn end_invitation(&self, id: ConversationId, event: &Event, at: Position) {
        let Some(user) = joins_or_leaves(event).filter(|_| !self.add_strangers) else { return };
        match timeout(END, end(&self.pool, &[user], id, at)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "could not delete an invitation that is void"),
            Err(_) => tracing::debug!("could not delete an invitation that is void in time"),
        }
    }
}

/// The user whom an event makes a member, or no longer one.
fn joins_or_leaves(event: &Event) -> Option<UserId> {
    match event {
        Event::MemberAdded(MemberAdded { user_id, .. })
        | Event::MemberRemoved(MemberRemoved { user_id, .. }) => Some(*user_id),
        _ => None,
    }
}
