//! Rebuilding views while the live ones serve, and replacing the live ones.

use std::{collections::BTreeMap, time::Duration};

use sqlx::{Connection as _, PgPool};
use tokio::time::{sleep, timeout};

use crate::{
    domain::Position,
    log::Log,
    projector::{
        Kinship, kinship,
        scratch::{Aim, NotBuilt, Scratch, Work, positions},
    },
    views::{self, Projection},
};

/// The maximum number of attempts to replace the live views.
const ATTEMPTS: usize = 30;
/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(500);
/// The number of projections, from the first one on, whose tables are needed to read folds.
const FOLDED: usize = 2;
/// How long an attempt may block the live projectors.
const HELD: Duration = Duration::from_secs(5);

/// Whether a rebuild may replace views with events that the log lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consent {
    /// Such views are kept.
    Withheld,
    /// Such views are given up.
    Given,
}

/// Rebuilds all views of a schema, or one of them, and replaces the live views at exactly their position. The pool must
/// be one of the same database.
pub async fn rebuild(
    log: &Log,
    pool: &PgPool,
    live: &str,
    only: Option<&'static Projection>,
    consent: Consent,
    work: &Work,
) -> Result<(), NotBuilt> {
    let mut scratch = Scratch::begin(log, pool, live, needed(only), work).await?;
    let replaced = build_and_replace(&mut scratch, only, consent).await;
    scratch.end().await;
    replaced
}

async fn build_and_replace(
    scratch: &mut Scratch<'_>,
    only: Option<&'static Projection>,
    consent: Consent,
) -> Result<(), NotBuilt> {
    let aim = match (kinship(scratch.log, &mut scratch.guard, scratch.live).await?, only) {
        (Kinship::Views, Some(_)) => Aim::Live,
        (Kinship::Views, None) => Aim::Newest,
        (Kinship::AnotherEpoch(_), None) => Aim::End,
        (Kinship::AnotherLog(_), None) if consent == Consent::Given => Aim::End,
        (Kinship::AnotherEpoch(epoch), Some(_)) => return Err(NotBuilt::AnotherEpoch(epoch)),
        (Kinship::AnotherLog(foreign), _) => return Err(NotBuilt::AnotherLog(foreign)),
    };
    views::create(&mut scratch.guard, scratch.live).await?;
    scratch.fill(aim).await?;
    for _ in 0..ATTEMPTS {
        // A connection that is dropped in the middle of an attempt rolls the attempt back.
        match timeout(HELD, switch(scratch, only, aim)).await {
            Ok(Ok(())) => {
                clear_away(scratch).await;
                return Ok(());
            }
            Ok(Err(NotBuilt::Database(e))) if is_held_up(&e) => {
                tracing::debug!(error = %e, "the views could not be replaced yet");
            }
            Ok(Err(e)) => return Err(e),
            Err(_) => tracing::debug!("the views could not be replaced in time"),
        }
        sleep(PAUSE).await;
        scratch.catch_up(aim).await?;
    }
    Err(NotBuilt::NoTurn)
}

/// The projections that have to be built. A projection may read the tables of earlier projections, and all folds are
/// read from the conversations and their members. Without the members, the messages of later batches would count as
/// void.
fn needed(only: Option<&'static Projection>) -> Vec<&'static Projection> {
    let last = only.and_then(|only| views::ALL.iter().position(|projection| projection.name == only.name));
    views::ALL.iter().take(last.map_or(views::ALL.len(), |last| (last + 1).max(FOLDED))).collect()
}

/// In one short transaction, blocks the live projectors, applies the remaining events, and replaces the views. If the
/// projectors were not blocked, the live views could advance in between, and the new ones would be behind them.
async fn switch(scratch: &Scratch<'_>, only: Option<&'static Projection>, aim: Aim) -> Result<(), NotBuilt> {
    let Scratch { log, live, schema, .. } = scratch;
    let mut connection = scratch.connect().await?;
    let mut transaction = connection.begin().await?;
    // Blocked projectors wait up to 5 s for their lock. Readers never wait so long that Postgres checks for a deadlock.
    sqlx::raw_sql("set local synchronous_commit = on; set local lock_timeout = '2s'")
        .execute(&mut *transaction)
        .await?;
    if !views::is_whole(&mut transaction, live).await? {
        return Err(NotBuilt::BegunAnew);
    }
    views::hold(&mut transaction, live).await?;
    let goals = match aim {
        Aim::Live | Aim::Newest => positions(views::points_in(&mut transaction, live).await?),
        // Projectors do not advance views of another log, so there is no position to reach.
        Aim::End => BTreeMap::new(),
    };
    for stream in 0..log.layout().streams {
        let goal = goals.get(&stream).copied().unwrap_or(Position::START);
        let at = scratch.build(&mut transaction, stream, goal).await?;
        if only.is_some() && at > goal {
            return Err(NotBuilt::BegunAnew);
        }
    }
    sqlx::raw_sql("set local lock_timeout = '200ms'").execute(&mut *transaction).await?;
    match only {
        None => views::replace_all(&mut transaction, live, schema, &scratch.old()).await?,
        Some(only) => views::replace_one(&mut transaction, only, [live, schema, &scratch.old()]).await?,
    }
    transaction.commit().await?;
    Ok(connection.close().await?)
}

/// Drops the old tables once their last reader is done. If that fails, the next rebuild drops them.
async fn clear_away(scratch: &mut Scratch<'_>) {
    let old = scratch.old();
    if let Err(e) = views::discard(&mut scratch.guard, &old).await {
        tracing::warn!(error = %e, "could not drop the schema {old}, which is no longer in use");
    }
}

/// Whether another session caused the error: a lock, a deadlock or a cancelled statement.
fn is_held_up(e: &sqlx::Error) -> bool {
    let Some(refused) = e.as_database_error() else { return false };
    refused.code().is_some_and(|code| ["55P03", "40P01", "57014"].contains(&&*code))
}
