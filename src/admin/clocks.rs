//! Whether the clocks agree. Access tokens live for minutes and are good for 30 s longer, so a node whose
//! clock is wrong by more refuses good ones, or accepts bad ones, depending on who made them.

use sqlx::{PgConnection, PgPool};
use tokio::time::Instant;

use crate::{clock::Clock, log::Log};

/// Clocks may differ by so many seconds before somebody has to look.
const APART: f64 = 5.0;
/// And by so many before tokens fail: their leeway.
const WRONG: f64 = 30.0;

/// How far the clocks of the servers are ahead of ours, in seconds, as far as they tell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Clocks {
    /// That of nats-server.
    pub nats: Option<f64>,
    /// That of Postgres.
    pub postgres: Option<f64>,
}

/// The conclusion from both differences.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Agreement {
    /// They differ by no more than this, in seconds.
    Close(f64),
    /// They differ by so much, and ours need not be the one that is wrong.
    Apart(f64),
    /// Ours is certainly wrong by so much.
    Wrong(f64),
}

impl Clocks {
    /// Asks both servers.
    pub(crate) async fn ask(log: &Log, pool: &PgPool, clock: &Clock) -> Self {
        let postgres = async {
            let mut connection = pool.acquire().await.ok()?;
            postgres_ahead(&mut connection, clock).await.ok()
        };
        Self { nats: log.ahead(clock).await, postgres: postgres.await }
    }

    /// A clock with which one of the two servers agrees is not the one that is wrong.
    pub(crate) fn agreement(self) -> Agreement {
        let known = || [self.nats, self.postgres].into_iter().flatten().map(f64::abs);
        let least = known().reduce(f64::min).unwrap_or_default();
        let most = known().reduce(f64::max).unwrap_or_default();
        if least > WRONG {
            Agreement::Wrong(least)
        } else if most > APART {
            Agreement::Apart(most)
        } else {
            Agreement::Close(most)
        }
    }
}

impl Agreement {
    /// The fault, then the remedy; `None` if all is well.
    pub(crate) fn trouble(self) -> Option<String> {
        match self {
            Self::Close(_) => None,
            Self::Apart(by) => Some(format!(
                "the clocks of this node, of Postgres and of nats-server differ by {by:.0} s: let all of them follow a time \
                 server"
            )),
            Self::Wrong(by) => Some(format!(
                "the clock of this node is wrong by {by:.0} s, so access tokens fail at random: let it follow a time server"
            )),
        }
    }
}

/// How far the clock of Postgres is ahead of ours, in seconds.
pub(super) async fn postgres_ahead(connection: &mut PgConnection, clock: &Clock) -> sqlx::Result<f64> {
    let asked = (clock.now(), Instant::now());
    let theirs: time::OffsetDateTime =
        sqlx::query_scalar("select clock_timestamp()").fetch_one(connection).await?;
    // The answer was written about half-way.
    let ours = asked.0.datetime() + asked.1.elapsed() / 2;
    Ok((theirs - ours).as_seconds_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_wrong_when_both_servers_say_so() {
        let agreement = |nats, postgres| Clocks { nats, postgres }.agreement();
        assert_eq!(agreement(Some(40.0), Some(41.0)), Agreement::Wrong(40.0));
        assert_eq!(agreement(Some(-86_400.0), Some(-86_400.0)), Agreement::Wrong(86_400.0));
        assert_eq!(agreement(None, Some(31.0)), Agreement::Wrong(31.0));
        // Postgres is the one that is wrong.
        assert_eq!(agreement(Some(0.1), Some(86_400.0)), Agreement::Apart(86_400.0));
        assert_eq!(agreement(Some(6.0), Some(-7.0)), Agreement::Apart(7.0));
        assert_eq!(agreement(Some(-3.0), None), Agreement::Close(3.0));
        assert_eq!(agreement(None, None), Agreement::Close(0.0));
    }
}
