//! How many conversations somebody may be in. Anybody can bring anybody into a group, and a session begins
//! with all of them: without a bound, strangers could keep somebody from ever beginning one.

use sqlx::PgPool;

use crate::{
    commands::refused::Refused,
    domain::{Event, Rejection, UserId},
    log::Unavailable,
    views,
};

/// The bound, and where it is seen how near somebody is to it. Cheap to clone.
#[derive(Clone)]
pub(super) struct Bound {
    pool: PgPool,
    most: u32,
}

impl Bound {
    /// The most conversations into which others can bring one user.
    pub(super) fn new(pool: PgPool, most: u32) -> Self {
        Self { pool, most }
    }

    /// Whether those whom an event brings in may be in one conversation more. The views tell, the same to
    /// all nodes; what is under way at this moment goes beyond. Others bring somebody in up to the bound;
    /// somebody begins conversations up to twice as many, so that strangers cannot use up what one has.
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
