//! The most conversations of a user. Every user can bring every other user into a group, and a session begins with all
//! conversations: without a bound, strangers could keep a user from ever beginning a session.

use sqlx::PgPool;

use crate::{
    commands::refused::Refused,
    domain::{Event, Rejection, UserId},
    log::Unavailable,
    views,
};

/// The bound, and the views that count the conversations. Cheap to clone.
#[derive(Clone)]
pub(super) struct Bound {
    pool: PgPool,
    most: u32,
}

impl Bound {
    /// A bound of `most` conversations, into which others can bring one user.
    pub(super) fn new(pool: PgPool, most: u32) -> Self {
        Self { pool, most }
    }

    /// Refuses an event that brings in a user without a place for one more conversation. The views count the
    /// conversations, so all nodes agree, but commands in flight are not counted. Other users can bring a user in up to
    /// the bound. A user can begin conversations up to twice the bound, so that strangers cannot use up the user's own
    /// places.
    pub(super) async fn must_have_place(&self, by: UserId, event: &Event) -> Result<(), Refused> {
        let Self { pool, most } = self;
        let (own, others): (Vec<UserId>, Vec<UserId>) =
            event.brings_in().into_iter().partition(|user| *user == by);
        for (users, most) in [(others, i64::from(*most)), (own, i64::from(*most) * 2)] {
            let is_full = !users.is_empty()
                && views::any_is_in_as_many(pool, &users, most).await.map_err(Unavailable::because)?;
            if is_full {
                return Err(Rejection::TooManyConversations.into());
            }
        }
        Ok(())
    }
}
