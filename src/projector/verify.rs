//! Comparing the live views with the log while they serve.

use sqlx::{Connection as _, PgPool};

use crate::{
    domain::Position,
    log::Log,
    projector::{
        Kinship, kinship,
        scratch::{Aim, NotBuilt, Scratch, Work, positions},
    },
    views::{self, Difference},
};

/// The result of a comparison.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verified {
    /// The number of rows of the live views.
    pub rows: i64,
    /// The number of rows that differ from the log, including missing and surplus rows.
    pub differences: u64,
    /// The number of parked events.
    pub parked: i64,
}

/// Builds all views of a schema a second time, up to exactly the position of the live ones in one snapshot. Calls
/// `tell` for every row that differs, with its table and the difference, which has the live row first.
pub async fn verify(
    log: &Log,
    pool: &PgPool,
    live: &str,
    work: &Work,
    tell: impl FnMut(&'static str, Difference),
) -> Result<Verified, NotBuilt> {
    let mut scratch = Scratch::begin(log, pool, live, views::ALL.iter().collect(), work).await?;
    let verified = fill_and_compare(&mut scratch, tell).await;
    scratch.end().await;
    let verified = verified?;
    Ok(Verified { parked: views::parked_count(pool).await?, ..verified })
}

async fn fill_and_compare(
    scratch: &mut Scratch<'_>,
    tell: impl FnMut(&'static str, Difference),
) -> Result<Verified, NotBuilt> {
    if !views::is_whole(&mut scratch.guard, scratch.live).await? {
        return Err(NotBuilt::BegunAnew);
    }
    match kinship(scratch.log, &mut scratch.guard, scratch.live).await? {
        Kinship::Views => {}
        Kinship::AnotherEpoch(epoch) => return Err(NotBuilt::AnotherEpoch(epoch)),
        Kinship::AnotherLog(foreign) => return Err(NotBuilt::AnotherLog(foreign)),
    }
    scratch.fill(Aim::Live).await?;
    compare(scratch, tell).await
}

async fn compare(
    scratch: &Scratch<'_>,
    mut tell: impl FnMut(&'static str, Difference),
) -> Result<Verified, NotBuilt> {
    let Scratch { log, live, schema, .. } = scratch;
    let mut connection = scratch.connect().await?;
    let mut transaction = connection.begin_with("begin isolation level repeatable read").await?;
    let goals = positions(views::points_in(&mut transaction, live).await?);
    for stream in 0..log.layout().streams {
        let goal = goals.get(&stream).copied().unwrap_or(Position::START);
        if scratch.build(&mut transaction, stream, goal).await? > goal {
            return Err(NotBuilt::BegunAnew);
        }
    }
    let mut verified = Verified::default();
    for table in views::tables() {
        let counted = |difference| {
            verified.differences += 1;
            tell(table, difference);
        };
        verified.rows += views::compare(&mut transaction, table, [live, schema], counted).await?;
    }
    transaction.rollback().await?;
    connection.close().await?;
    Ok(verified)
}
