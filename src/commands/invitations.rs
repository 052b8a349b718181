//! Consent: where strangers may not be added, they are invited, and join when they accept.

use std::time::Duration;

use crate::{
    accounts::{
        Invitation, InviteError,
        invitations::{accept, consenting, fulfil, invite},
    },
    commands::{existing::NotBroughtIn, needs::Commands, refused::Refused},
    domain::{ConversationId, Position, Rejection, Role, UserId},
    limits::Policy,
    log::{Signal, Unavailable},
    views,
};

/// How long an invitation can be accepted.
const LIFE: Duration = Duration::from_secs(30 * 86_400);

impl Commands {
    /// Refuses to bring in strangers who have not consented.
    pub(super) async fn must_consent(
        &self,
        by: UserId,
        id: ConversationId,
        users: &[UserId],
    ) -> Result<(), Refused> {
        let strangers = views::strangers(&self.pool, by, users).await.map_err(Unavailable::because)?;
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
        let title = match group {
            Some(id) => self.of_member(by, id).await?.conversation().title().map(str::to_owned),
            None => None,
        };
        let now = self.clock.now();
        let invitation = Invitation {
            invited: user,
            conversation: group.unwrap_or_else(|| ConversationId::direct(by, user)),
            by,
            title,
            is_direct: group.is_none(),
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
    /// inviter has left, or the inviter's role no longer allows it, there is nothing to join.
    pub async fn accept(&self, me: UserId, id: ConversationId) -> Result<Position, Refused> {
        let accepted = accept(&self.pool, me, id, self.clock.now()).await.map_err(Unavailable::because)?;
        let invitation = accepted.ok_or(Rejection::NotFound)?;
        let by = invitation.by;
        let joined = match invitation.is_direct {
            true => self.start_direct(by, me).await.map(|started| started.position),
            false => self.add_member(by, id, me, Role::Member, None).await.map(|changed| changed.position),
        };
        let position = joined.map_err(|error| match error {
            NotBroughtIn::NoSuchUsers(_) | NotBroughtIn::Refused(Refused::Rejected(Rejection::Forbidden)) => {
                Rejection::NotFound.into()
            }
            NotBroughtIn::Refused(refused) => refused,
        })?;
        // The invitation is removed last. If it were removed first and the join failed, a retry would find
        // nothing to accept.
        fulfil(&self.pool, [by, me], id).await.map_err(Unavailable::because)?;
        Ok(position)
    }
}
