//! Where requests read the views: on a replica of Postgres while it answers and keeps up, and on the primary otherwise.
//!
//! **Why a read finds what its reader waited for.** A reader first waits until the views have reached a position
//! ([`ReadViews::reached`]), and then reads ([`ReadViews::pool`]); the server may change between the two. A change from
//! the replica to the primary is harmless, because the primary is never behind its replica. A change in the other
//! direction is not. So readers *first* wait for a replica that is back, and read it only [`LONGEST_READ`] *later*: by
//! then every reader that waited for the primary is done.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use sqlx::{PgConnection, PgPool};
use tokio::{
    select,
    sync::watch,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};

use crate::{
    domain::{ConversationId, Position},
    views::{Checkpoint, Progress, checkpoints, connect, schema},
};

/// How often the replica is compared with the primary.
const LOOK: Duration = Duration::from_millis(250);
/// How far the replica may lag behind the primary.
const LATE: Duration = Duration::from_secs(1);
/// How long each of the two may take to report its positions.
const ANSWER: Duration = Duration::from_millis(500);
/// The longest time between the wait of a reader and the end of its read, with some margin: a statement is cancelled
/// after ten seconds.
const LONGEST_READ: Duration = Duration::from_secs(15);

/// Where requests read the views. Cheap to clone.
#[derive(Clone)]
pub struct ReadViews {
    primary: Place,
    replica: Option<Replica>,
}

/// The views on one server.
#[derive(Clone)]
struct Place {
    pool: PgPool,
    progress: Progress,
}

#[derive(Clone)]
struct Replica {
    place: Place,
    standing: Arc<watch::Sender<ReplicaStanding>>,
}

/// Whether the replica is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ReplicaStanding {
    /// It is not read, for this reason.
    Away(String),
    /// It has kept up since then, but is not read yet.
    Back(Instant),
    /// It is read.
    Read,
}

/// The positions that the views of a server have reached in each stream.
type Reached = HashMap<usize, Position>;

impl ReadViews {
    /// Reads from the primary only.
    pub(crate) fn on_primary(pool: PgPool, progress: Progress) -> Self {
        Self { primary: Place { pool, progress }, replica: None }
    }

    /// Reads from a replica, once [`Self::keep_comparing`] has found that it keeps up.
    pub(crate) fn with_replica(self, pool: PgPool) -> Self {
        let place = Place { progress: Progress::new(pool.clone()), pool };
        let standing = watch::Sender::new(ReplicaStanding::Away("it was not looked at yet".into()));
        Self { replica: Some(Replica { place, standing: standing.into() }), ..self }
    }

    /// The server to read from now.
    pub(crate) fn pool(&self) -> &PgPool {
        match &self.replica {
            Some(replica) if *replica.standing.borrow() == ReplicaStanding::Read => &replica.place.pool,
            _ => &self.primary.pool,
        }
    }

    /// Waits until the views have reached a position on the server that is read. `false` if they did not within
    /// `patience`.
    pub(crate) async fn reached(&self, wanted: Checkpoint, patience: Duration) -> sqlx::Result<bool> {
        self.all_reached(&[wanted], patience).await
    }

    /// Waits like [`Self::reached`], for several streams.
    pub(crate) async fn all_reached(&self, wanted: &[Checkpoint], patience: Duration) -> sqlx::Result<bool> {
        if let Some(replica) = &self.replica {
            let mut standing = replica.standing.subscribe();
            let gone = standing.wait_for(|standing| matches!(standing, ReplicaStanding::Away(_)));
            select! {
                biased;
                _ = gone => {}
                reached = replica.place.progress.all_reached(wanted, patience) => return reached,
            }
        }
        self.primary.progress.all_reached(wanted, patience).await
    }

    /// Whether the views of a conversation stand still before a position that a reader waited for.
    pub(crate) async fn stands_still(
        &self,
        conversation: ConversationId,
        before: Position,
    ) -> sqlx::Result<bool> {
        let is_waited_for =
            |replica: &&Replica| !matches!(*replica.standing.borrow(), ReplicaStanding::Away(_));
        let replica = self.replica.as_ref().filter(is_waited_for);
        let place = replica.map_or(&self.primary, |replica| &replica.place);
        place.progress.stands_still(conversation, before).await
    }

    /// Whether the replica is read; `None` if there is none.
    pub(crate) fn standing(&self) -> Option<ReplicaStanding> {
        self.replica.as_ref().map(|replica| replica.standing.borrow().clone())
    }

    /// Compares the replica with the primary for as long as the process lives.
    pub(crate) async fn keep_comparing(self) {
        let Some(replica) = &self.replica else { return };
        let mut servers = [&self.primary, &replica.place].map(Server::of);
        let mut before = VecDeque::new();
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            look.tick().await;
            let now = Instant::now();
            let [primary, there] = &mut servers;
            let (primary, there) = tokio::join!(primary.reached(), there.reached());
            if let Ok(reached) = primary {
                before.push_back((now, reached));
            }
            replica.judge(there, &mut before, now);
        }
    }
}

impl Replica {
    /// Judges the replica by its current positions, and by earlier positions of the primary.
    fn judge(&self, there: Result<Reached, String>, before: &mut VecDeque<(Instant, Reached)>, now: Instant) {
        let is_old = |(at, _): &(Instant, Reached)| now.duration_since(*at) >= LATE;
        while before.get(1).is_some_and(is_old) {
            before.pop_front();
        }
        let owed = before.front().filter(|then| is_old(then)).map(|(_, reached)| reached);
        let trouble = there.and_then(|there| match owed {
            Some(owed) if is_behind(&there, owed) => Err(behind()),
            _ => Ok(()),
        });
        let was = self.standing.borrow().clone();
        let is = match (trouble, &was) {
            (Err(why), _) => ReplicaStanding::Away(why),
            (Ok(()), ReplicaStanding::Away(_)) => ReplicaStanding::Back(now),
            (Ok(()), ReplicaStanding::Back(since)) if now.duration_since(*since) >= LONGEST_READ => {
                ReplicaStanding::Read
            }
            (Ok(()), _) => return,
        };
        match (&is, &was) {
            (ReplicaStanding::Away(_), ReplicaStanding::Away(_)) | (ReplicaStanding::Back(_), _) => {}
            (ReplicaStanding::Away(why), _) => {
                tracing::warn!(%why, "reading from the primary: the Postgres replica cannot be used");
            }
            (ReplicaStanding::Read, _) => tracing::info!("reading from the Postgres replica"),
        }
        self.standing.send_replace(is);
    }
}

/// Compares a replica with its primary once. The error says why requests would not read from it.
pub(crate) async fn follows(primary: &PgPool, replica: &PgPool) -> Result<(), String> {
    let owed = checkpoints::positions(primary).await.map_err(|e| e.to_string())?;
    sleep(LATE).await;
    let there = checkpoints::positions(replica).await.map_err(|e| e.to_string())?;
    if is_behind(&there, &owed) { Err(behind()) } else { Ok(()) }
}

fn behind() -> String {
    format!("its views are more than {} s behind those of the primary", LATE.as_secs())
}

fn is_behind(there: &Reached, owed: &Reached) -> bool {
    owed.iter().any(|(stream, at)| there.get(stream).is_none_or(|there| there < at))
}

/// A connection outside of the pool, because the pool may be busy.
struct Server<'a> {
    place: &'a Place,
    connection: Option<PgConnection>,
}

impl<'a> Server<'a> {
    fn of(place: &'a Place) -> Self {
        Self { place, connection: None }
    }

    async fn reached(&mut self) -> Result<Reached, String> {
        let mut connection = self.connection.take();
        let asked = timeout(ANSWER, async {
            let connection = match &mut connection {
                Some(connection) => connection,
                none => none.insert(connect(&self.place.pool.connect_options(), &schema()).await?),
            };
            checkpoints::positions(connection).await
        });
        match asked.await {
            Ok(Ok(reached)) => {
                self.connection = connection;
                Ok(reached)
            }
            Ok(Err(e)) => Err(e.to_string()),
            Err(_) => Err(format!("no answer within {} ms", ANSWER.as_millis())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(position: u64) -> Reached {
        Reached::from([(0, Position(position))])
    }

    #[tokio::test]
    async fn a_replica_is_read_once_all_who_waited_for_the_primary_are_done_and_until_it_is_late() {
        let pool = PgPool::connect_lazy("postgres://nowhere").expect("a URL");
        let views = ReadViews::on_primary(pool.clone(), Progress::new(pool.clone())).with_replica(pool);
        let replica = views.replica.as_ref().expect("there is one");
        let (begun, mut before) = (Instant::now(), VecDeque::new());
        let mut judged = |after: Duration, primary: u64, there: Result<Reached, String>| {
            before.push_back((begun + after, at(primary)));
            replica.judge(there, &mut before, begun + after);
            replica.standing.borrow().clone()
        };
        let back = begun + LOOK;
        assert_eq!(judged(LOOK, 5, Ok(at(5))), ReplicaStanding::Back(back));
        assert_eq!(judged(2 * LOOK, 9, Ok(at(5))), ReplicaStanding::Back(back), "it may be a second behind");
        assert_eq!(judged(LONGEST_READ, 9, Ok(at(9))), ReplicaStanding::Back(back), "too early by a look");
        assert_eq!(judged(LONGEST_READ + LOOK, 20, Ok(at(9))), ReplicaStanding::Read);
        assert_eq!(judged(LONGEST_READ + LATE, 20, Ok(at(19))), ReplicaStanding::Read);
        let late = judged(LONGEST_READ + LATE + LOOK, 20, Ok(at(19)));
        assert_eq!(late, ReplicaStanding::Away(behind()), "the primary has had 20 for a second");
        let back = begun + 2 * LONGEST_READ;
        assert_eq!(judged(2 * LONGEST_READ, 20, Ok(at(20))), ReplicaStanding::Back(back));
        let gone = judged(2 * LONGEST_READ + LOOK, 20, Err("it is gone".into()));
        assert_eq!(gone, ReplicaStanding::Away("it is gone".into()));
    }
}
