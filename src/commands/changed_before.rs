//! Retries of changes to a roster. The answer of the first attempt needs the roster as it was right after the first
//! attempt, which is read from the log.

use crate::{
    commands::{change::Changed, needs::Commands, refused::Refused},
    domain::{Command, ConversationId, Lane, Recorded, Rejection, UserId},
    log::Unavailable,
    views::Sending,
};

impl Commands {
    /// The answer of the first attempt, if there was one. `None` proves only that there was none before the log's
    /// window, so the change has to be appended with its key.
    pub(super) async fn changed_before(
        &self,
        by: UserId,
        id: ConversationId,
        command: &Command,
    ) -> Result<Option<Changed>, Refused> {
        let Some(key) = command.roster_key() else { return Ok(None) };
        let sending = Sending { conversation: id, user: by, key: key.clone() };
        match self.of_member(by, id).await {
            Ok(_) => self.if_the_same(self.earlier.done(sending).await?, command).await,
            // A member who has left can retry that. For everybody else nothing is revealed, not even by a refusal
            // of the key.
            Err(Refused::Rejected(Rejection::NotFound)) if leaves(by, command) => {
                let first = self.earlier.of_former_member(sending).await?.ok_or(Rejection::NotFound)?;
                match self.the_same_change(first, command).await {
                    Err(Refused::Mismatch) => Err(Rejection::NotFound.into()),
                    answer => answer.map(Some),
                }
            }
            Err(refused) => Err(refused),
        }
    }

    /// The answer of the first attempt to leave, for a retry that has found that the caller is no member.
    pub(super) async fn left_before(
        &self,
        by: UserId,
        id: ConversationId,
        command: &Command,
    ) -> Result<Option<Changed>, Refused> {
        if leaves(by, command) { self.changed_before(by, id, command).await } else { Ok(None) }
    }

    /// The answer of the first attempt, if this process has followed one.
    pub(super) async fn changed_lately(
        &self,
        by: UserId,
        id: ConversationId,
        command: &Command,
    ) -> Result<Option<Changed>, Refused> {
        let Some(key) = command.roster_key() else { return Ok(None) };
        let sending = Sending { conversation: id, user: by, key: key.clone() };
        self.if_the_same(self.earlier.followed(sending).await?, command).await
    }

    async fn if_the_same(
        &self,
        first: Option<Recorded>,
        command: &Command,
    ) -> Result<Option<Changed>, Refused> {
        match first {
            Some(first) => self.the_same_change(first, command).await.map(Some),
            None => Ok(None),
        }
    }

    /// The answer of the first attempt, unless the key was used for another command.
    pub(super) async fn the_same_change(
        &self,
        first: Recorded,
        command: &Command,
    ) -> Result<Changed, Refused> {
        let Recorded { conversation, position, lane, event, .. } = first;
        let Some(event) = event.filter(|_| lane == Lane::Roster) else { return Err(Refused::Mismatch) };
        let fold = self.log.fold(conversation, Some(position)).await.map_err(Unavailable::from)?;
        match command.made(&event, &fold.conversation) {
            true => Ok(Changed { position, conversation: fold.conversation, changed: true }),
            false => Err(Refused::Mismatch),
        }
    }
}

fn leaves(by: UserId, command: &Command) -> bool {
    matches!(command, Command::Remove { user, .. } if *user == by)
}
