//! Acting for a user: a program makes a request in the name of a user, under the rules for this user.

use std::str::FromStr;

use super::bearer::Bearers;
use crate::{
    accounts,
    credentials::{Identity, Scope, Scopes},
    domain::{ExternalId, UserId},
    limits::{Exceeded, Policy},
};

/// The request header that names the user.
pub(crate) const ON_BEHALF_OF: &str = "verbatim-on-behalf-of";
/// The prefix of an external id in the header.
const EXTERNAL: &str = "ext:";

/// The user for whom a program wants to act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ActedFor {
    /// A user by id. `None` is a UUID that cannot be the id of a user.
    Id(Option<UserId>),
    /// A user by the id from the host application.
    External(ExternalId),
}

/// The text is not an id of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be the id of a user, or `ext:` and the external id of a user: 1 to 128 of A-Z, a-z, 0-9, and . _ : @ -"
)]
pub(crate) struct NotAUser;

impl FromStr for ActedFor {
    type Err = NotAUser;

    fn from_str(text: &str) -> Result<Self, NotAUser> {
        if let Some(external) = text.strip_prefix(EXTERNAL) {
            return external.parse().map(Self::External).map_err(|_| NotAUser);
        }
        let is_like_uuid = text.len() == 36
            && text.bytes().enumerate().all(|(at, byte)| match at {
                8 | 13 | 18 | 23 => byte == b'-',
                _ => byte.is_ascii_hexdigit(),
            });
        is_like_uuid.then(|| Self::Id(text.parse().ok())).ok_or(NotAUser)
    }
}

/// Why a caller does not act for a user.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotActing {
    /// The caller is not a program that may act for users.
    #[error("the caller has no scope to act for users")]
    MissingScope,
    /// There is no such user, or the program may not act for the user. Neither the error nor its timing reveals which.
    #[error("the caller may not act for this user")]
    MayNot,
    /// The rate limit of the user is exhausted.
    #[error(transparent)]
    RateLimited(#[from] Exceeded),
    /// The database did not answer.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

impl Bearers {
    /// The identity of a program that acts for a user. It has no more rights than the user. The request also counts
    /// against the rate limit of the user, so a program cannot lend its own rate to a user.
    pub(crate) async fn acting_for(&self, caller: &Identity, user: &ActedFor) -> Result<Identity, NotActing> {
        let all = caller.scopes.contains(Scope::ActUsersAll);
        if !caller.is_program() || !(all || caller.scopes.contains(Scope::ActUsers)) {
            return Err(NotActing::MissingScope);
        }
        let (id, external) = match user {
            ActedFor::Id(id) => (*id, None),
            ActedFor::External(external) => (None, Some(external)),
        };
        let user = accounts::acted_for(&self.pool, id, external, all).await?.ok_or(NotActing::MayNot)?;
        self.limits.admit(Policy::User, user)?;
        let scopes = caller.scopes.and(Scopes::PERSON);
        Ok(Identity { user, via: Some(caller.user), scopes, ..*caller })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_named_by_one_of_two_ids() {
        let id = "01930f3c-5a7b-7c3d-8e4f-0123456789ab";
        assert_eq!(id.parse(), Ok(ActedFor::Id(id.parse().ok())));
        assert_eq!(id.to_uppercase().parse(), Ok(ActedFor::Id(id.parse().ok())));
        assert_eq!("6f1c1f0e-1b7a-4c39-9d7e-0b6f5b8b9a10".parse(), Ok(ActedFor::Id(None)), "no id of ours");
        let external = |text: &str| ActedFor::External(text.parse().expect("an external id"));
        assert_eq!("ext:7".parse(), Ok(external("7")));
        assert_eq!("ext:ext:a@b".parse(), Ok(external("ext:a@b")));
        let long = format!("ext:{}", "x".repeat(129));
        for neither in ["", "7", "ext:", "ext:a b", "EXT:7", "ext: 7", &long, &id[1..], &id.replace('-', "")]
        {
            assert_eq!(neither.parse::<ActedFor>(), Err(NotAUser), "{neither}");
        }
    }
}
