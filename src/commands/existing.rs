//! Bringing in users: each of them must have an account.

use std::collections::HashSet;

use crate::{
    accounts,
    commands::{needs::Commands, refused::Refused},
    domain::{ConversationId, UserId},
    log::Unavailable,
};

/// Why users were not brought into a conversation.
#[derive(Debug, thiserror::Error)]
pub enum NotBroughtIn {
    /// No account has the ids at these places of the request.
    #[error("users at {0:?} have no account: leave them out")]
    NoSuchUsers(Vec<usize>),
    /// A rule or a rate limit refuses the command, or a server does not answer.
    #[error(transparent)]
    Refused(#[from] Refused),
}

impl From<Unavailable> for NotBroughtIn {
    fn from(outage: Unavailable) -> Self {
        Self::Refused(outage.into())
    }
}

impl Commands {
    /// Refuses ids that no account has, and those of erased accounts.
    pub(super) async fn must_exist(&self, users: &[UserId]) -> Result<(), NotBroughtIn> {
        let asked = users.iter().copied().collect();
        let known = accounts::not_erased_of(&self.pool, &asked).await.map_err(Unavailable::because)?;
        let unknown = unknown(users, &HashSet::from_iter(known));
        if unknown.is_empty() { Ok(()) } else { Err(NotBroughtIn::NoSuchUsers(unknown)) }
    }

    /// The same for the members of a conversation, unless it has begun before: a retry finds it, also after the
    /// account of a member was erased.
    pub(super) async fn must_exist_to_begin(
        &self,
        id: ConversationId,
        members: &[UserId],
    ) -> Result<(), NotBroughtIn> {
        match self.must_exist(members).await {
            Err(NotBroughtIn::NoSuchUsers(_)) if self.is_there(id).await? => Ok(()),
            checked => checked,
        }
    }
}

fn unknown(users: &[UserId], known: &HashSet<UserId>) -> Vec<usize> {
    let strangers = users.iter().enumerate().filter(|(_, user)| !known.contains(user));
    strangers.map(|(at, _)| at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unknown_user_is_named_by_place() {
        let user =
            |last: u8| format!("01930f3c-5a7b-7c3d-8e4f-0123456789a{last}").parse::<UserId>().expect("id");
        let (ana, ben) = (user(1), user(2));
        let only_ana = HashSet::from([ana]);
        assert_eq!(unknown(&[ben, ana, ben], &only_ana), [0, 2]);
        assert_eq!(unknown(&[ana], &only_ana), [0_usize; 0]);
    }
}
