//! Wrong passwords: the number of failures for a name, and the wait before the next attempt. Failures count for names
//! without an account too, so that the waits do not reveal which names exist.

use std::time::Duration;

use sqlx::{FromRow, PgConnection, PgPool};
use uuid::Uuid;

use crate::{
    accounts::audit::{self, Stamp},
    credentials::{PasswordHash, Username},
    domain::{AuditSubject, Audited, LoginFailed, UserId},
};

/// The number of the first failure that causes a wait. Also the maximum that one group of addresses adds to the
/// failures from everywhere.
const FREE: i32 = 5;
/// The longest wait. It is bounded, so that wrong passwords never lock out the owner of an account for good.
const LONGEST: Duration = Duration::from_secs(15 * 60);

/// The keys of the counters for a name that was typed at an address, as keyed hashes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FailureKeys {
    /// The counter of the name, from everywhere.
    pub name: u64,
    /// The counter of the name, from this group of addresses.
    pub name_here: u64,
    /// The group of addresses, which identifies the logins from there.
    pub place: u64,
}

/// The account and its failures, read before a password is checked.
#[derive(Debug)]
pub(crate) struct Prior {
    /// The account of the name, if there is one.
    pub account: Option<(UserId, PasswordHash)>,
    /// The time until a password for the name may be checked; zero if no wait is left.
    pub wait: Duration,
    /// Whether there were failures from this group of addresses.
    pub has_failed_here: bool,
}

#[derive(FromRow)]
struct Row {
    id: Option<Uuid>,
    password_hash: Option<String>,
    is_known_here: bool,
    here: Option<i32>,
    here_ago: Option<f64>,
    everywhere: Option<i32>,
    everywhere_ago: Option<f64>,
}

/// Reads an account and its failures. Known and unknown names take the same query, so its timing reveals nothing.
///
/// Failures from everywhere do not count for a group of addresses from which a login of the account began: otherwise
/// strangers could lock out the owner.
pub(crate) async fn prior(
    pool: &PgPool,
    username: Option<&Username>,
    keys: &FailureKeys,
) -> sqlx::Result<Prior> {
    let row: Row = sqlx::query_as(
        "select account.id, account.password_hash,
                exists (select from auth.login where account_id = account.id and place = $3) as is_known_here,
                here.failures as here,
                extract(epoch from now() - here.failed_at)::float8 as here_ago,
                everywhere.failures as everywhere,
                extract(epoch from now() - everywhere.failed_at)::float8 as everywhere_ago
         from (values (1)) as one
         left join auth.account on account.username_key = $1 and account.username = $2
         left join auth.failure here on here.key = $4 and here.forgotten_at > now()
         left join auth.failure everywhere on everywhere.key = $5 and everywhere.forgotten_at > now()",
    )
    .bind(username.map(Username::key))
    .bind(username.map(Username::as_str))
    .bind(keys.place.cast_signed())
    .bind(keys.name_here.cast_signed())
    .bind(keys.name.cast_signed())
    .fetch_one(pool)
    .await?;
    let here = wait(row.here, row.here_ago);
    let everywhere = wait(row.everywhere, row.everywhere_ago);
    let account = row.id.zip(row.password_hash);
    Ok(Prior {
        account: account.map(|(id, hash)| (UserId::known(id), PasswordHash::stored(hash))),
        wait: if row.is_known_here { here } else { here.max(everywhere) },
        has_failed_here: row.here.is_some(),
    })
}

/// Counts a wrong password.
///
/// One group of addresses adds no more than [`FREE`] to the failures from everywhere: otherwise a single stranger could
/// make every new device of the owner wait forever.
///
/// A flood of wrong passwords causes few audit events: one for the fifth failure, and one each time that the number has
/// doubled. A name without an account gets the same events, under its keyed hash, so that the amount of work reveals
/// nothing.
pub(crate) async fn failed(
    pool: &PgPool,
    keys: &FailureKeys,
    account: Option<UserId>,
    stamp: Stamp,
) -> sqlx::Result<()> {
    let mut transaction = pool.begin().await?;
    let here = add(&mut transaction, keys.name_here).await?;
    let is_from_everywhere = here <= FREE;
    let failures = if is_from_everywhere { add(&mut transaction, keys.name).await? } else { here };
    if is_told(failures) {
        let about = account.map_or_else(|| AuditSubject::hash(keys.name.into()), AuditSubject::from);
        let failed = LoginFailed { failures: failures.unsigned_abs(), is_from_everywhere };
        audit::note(&mut transaction, stamp, Audited::LoginFailed(about, failed)).await?;
    }
    transaction.commit().await
}

/// Whether a number of failures gets an audit event: [`FREE`], and [`FREE`] doubled any number of times.
fn is_told(failures: i32) -> bool {
    failures % FREE == 0 && u32::try_from(failures / FREE).is_ok_and(u32::is_power_of_two)
}

/// Forgets the failures from a group of addresses, because the right password came from there. Also subtracts the
/// failures that this group added to the failures from everywhere.
pub(crate) async fn succeeded(pool: &PgPool, keys: &FailureKeys) -> sqlx::Result<()> {
    sqlx::query(
        "with here as (delete from auth.failure where key = $1 returning least(failures, $3) as counted)
         update auth.failure set failures = greatest(failures - here.counted, 0) from here where key = $2",
    )
    .bind(keys.name_here.cast_signed())
    .bind(keys.name.cast_signed())
    .bind(FREE)
    .execute(pool)
    .await
    .map(drop)
}

/// Adds a failure to a counter, and returns the new number. Fewer than [`FREE`] failures are forgotten an hour after
/// the last one; this allows no more attempts in an hour than the longest wait does. Other counts are forgotten after a
/// day.
async fn add(connection: &mut PgConnection, key: u64) -> sqlx::Result<i32> {
    sqlx::query_scalar(
        "insert into auth.failure as old (key, failures, failed_at, forgotten_at)
         values ($1, 1, now(), now() + interval '1 hour')
         on conflict (key) do update set
             failures = case when old.forgotten_at > now() then least(old.failures + 1, 1000) else 1 end,
             failed_at = now(),
             forgotten_at = now() + case
                 when old.forgotten_at > now() and old.failures + 1 >= $2 then interval '1 day'
                 else interval '1 hour' end
         returning failures",
    )
    .bind(key.cast_signed())
    .bind(FREE)
    .fetch_one(connection)
    .await
}

/// The remaining wait after a number of failures, the last of which was `ago` seconds ago.
fn wait(failures: Option<i32>, ago: Option<f64>) -> Duration {
    let ago = Duration::try_from_secs_f64(ago.unwrap_or_default().max(0.0)).unwrap_or(Duration::MAX);
    delay(failures.unwrap_or_default()).saturating_sub(ago)
}

/// The wait after a number of failures: a second after the fifth failure, doubled by each further one.
fn delay(failures: i32) -> Duration {
    match u32::try_from(failures - FREE) {
        Ok(more) => Duration::from_secs(1_u64.checked_shl(more.min(32)).unwrap_or(u64::MAX)).min(LONGEST),
        Err(_) => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_from_the_fifth_failure_and_has_an_end() {
        let seconds = |failures| delay(failures).as_secs();
        assert_eq!([0, 1, 4].map(seconds), [0, 0, 0]);
        assert_eq!([5, 6, 7, 14].map(seconds), [1, 2, 4, 512]);
        assert_eq!([15, 16, 1000, i32::MAX].map(seconds), [900; 4]);
    }

    #[test]
    fn the_fifth_failure_is_told_and_each_doubling() {
        let told: Vec<i32> = (0..=1000).filter(|failures| is_told(*failures)).collect();
        assert_eq!(told, [5, 10, 20, 40, 80, 160, 320, 640]);
    }

    #[test]
    fn time_that_has_passed_counts() {
        assert_eq!(wait(Some(7), Some(1.5)), Duration::from_millis(2_500));
        assert_eq!(wait(Some(7), Some(4.0)), Duration::ZERO);
        assert_eq!(wait(None, None), Duration::ZERO);
        assert_eq!(
            wait(Some(7), Some(-3.0)),
            Duration::from_secs(4),
            "a clock that was set back adds nothing"
        );
    }
}
