//! Compares the clock of this node with the clocks of nats-server and Postgres. Access tokens live for
//! minutes and have a leeway of 30 s: a node whose clock is wrong by more refuses valid tokens or accepts
//! expired ones, depending on the node that made them.

use sqlx::{PgConnection, PgPool};
use tokio::time::Instant;

use crate::{clock::Clock, log::Log};

/// The largest difference between the clocks, in seconds, that is not reported.
const APART: f64 = 5.0;
/// The leeway of access tokens, in seconds: tokens fail when the clock of a node is wrong by more.
const WRONG: f64 = 30.0;

/// How far the clocks of the servers are ahead of this node's, in seconds; `None` if a server does not report its time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Clocks {
    /// The lead of nats-server's clock.
    pub nats: Option<f64>,
    /// The lead of Postgres's clock.
    pub postgres: Option<f64>,
}

/// The conclusion from both differences.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Agreement {
    /// The clocks differ by at most this many seconds.
    Close(f64),
    /// The clocks differ by this many seconds, and the wrong clock need not be this node's.
    Apart(f64),
    /// All servers that reported their time differ from this node's clock by at least this many seconds.
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

    /// This node's clock counts as wrong only if no server agrees with it. If one server agrees, the clock of the other
    /// server is wrong.
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
    /// The fault and its remedy; `None` if the clocks agree.
    pub(crate) fn trouble(self) -> Option<String> {
        match self {
            Self::Close(_) => None,
            Self::Apart(by) => Some(format!(
                "the clocks of this node, Postgres and nats-server differ by {by:.0} s: synchronize them with a time \
                 server"
            )),
            Self::Wrong(by) => Some(format!(
                "the clock of this node is off by {by:.0} s, so access tokens fail at random: synchronize it with a \
                 time server"
            )),
        }
    }
}

/// How far the clock of Postgres is ahead of this node's, in seconds.
pub(super) async fn postgres_ahead(connection: &mut PgConnection, clock: &Clock) -> sqlx::Result<f64> {
    let asked = (clock.now(), Instant::now());
    let theirs: time::OffsetDateTime =
        sqlx::query_scalar("select clock_timestamp()").fetch_one(connection).await?;
    // Postgres read its clock about half-way between the query and the answer.
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
        // The clock of Postgres is wrong.
        assert_eq!(agreement(Some(0.1), Some(86_400.0)), Agreement::Apart(86_400.0));
        assert_eq!(agreement(Some(6.0), Some(-7.0)), Agreement::Apart(7.0));
        assert_eq!(agreement(Some(-3.0), None), Agreement::Close(3.0));
        assert_eq!(agreement(None, None), Agreement::Close(0.0));
    }
}
