//! The eraser: takes away what the log lists as erased, no faster than its rate, and reads every position again.
//!
//! The log is its list of work, so it also takes away what came back with a restore of an older copy. The requests only tell
//! it where to look, and are told what it has found.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    time::Duration,
};

use futures_util::future::join_all;
use sqlx::PgPool;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::{
    accounts::{
        By, Stamp, erasure_archives,
        erasures::{self, ErasureRequest},
    },
    clock::Clock,
    domain::Position,
    erasures::error::ErasureError,
    log::Log,
};

/// How often the eraser looks for something to do.
const LOOK: Duration = Duration::from_millis(500);
/// The pause behind a failure.
const PAUSE: Duration = Duration::from_secs(3);

/// What the eraser needs. Its NATS user may delete, and nothing else.
pub(crate) struct Eraser {
    pub(crate) log: Log,
    pub(crate) pool: PgPool,
    pub(crate) clock: Clock,
    /// The most deletions of a second in one stream.
    pub(crate) rate: u32,
}

impl Eraser {
    /// Erases for as long as the process lives.
    pub(crate) async fn run(self) -> Infallible {
        // What was found gone. The whole list of each stream is looked at once.
        let mut gone: BTreeMap<usize, BTreeSet<Position>> =
            (0..self.log.layout().streams).map(|stream| (stream, BTreeSet::new())).collect();
        let mut unseen: BTreeSet<usize> = gone.keys().copied().collect();
        loop {
            let pause = match self.round(&mut gone, &mut unseen).await {
                Ok(()) => LOOK,
                Err(error) => {
                    tracing::warn!(%error, "could not erase; retrying");
                    PAUSE
                }
            };
            sleep(pause).await;
        }
    }

    async fn round(
        &self,
        gone: &mut BTreeMap<usize, BTreeSet<Position>>,
        unseen: &mut BTreeSet<usize>,
    ) -> Result<(), ErasureError> {
        let open = erasures::hidden(&self.pool).await?;
        let not_gone = open.iter().filter(|erasure| erasure.log_done_at.is_none());
        let mut streams = unseen.clone();
        streams.extend(
            not_gone.flat_map(|erasure| &erasure.parts).map(|part| self.log.stream_of(part.conversation)),
        );
        let some = gone.iter_mut().filter(|(stream, _)| streams.contains(*stream));
        let cleaned =
            join_all(some.map(|(stream, gone)| async move { (*stream, self.clean(*stream, gone).await) }))
                .await;
        let mut failed = Ok(());
        for (stream, outcome) in cleaned {
            match outcome {
                Ok(()) => drop(unseen.remove(&stream)),
                Err(e) => failed = Err(e),
            }
        }
        for erasure in open.iter().filter(|erasure| erasure.views_done_at.is_some()) {
            self.finish(erasure, gone).await?;
        }
        failed
    }

    /// Takes away what the log lists as erased in a stream.
    async fn clean(&self, stream: usize, gone: &mut BTreeSet<Position>) -> Result<(), ErasureError> {
        let mut pace = interval(Duration::from_secs(1) / self.rate.max(1));
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for position in self.log.erased_positions(stream).await? {
            if gone.contains(&position) {
                continue;
            }
            if !self.log.is_gone(stream, position).await? {
                pace.tick().await;
                self.log.erase(stream, position).await?;
            }
            gone.insert(position);
        }
        Ok(())
    }

    /// Notes that the content of a request is gone, waits for the archives, and then reads all of its positions again.
    async fn finish(
        &self,
        erasure: &ErasureRequest,
        gone: &BTreeMap<usize, BTreeSet<Position>>,
    ) -> Result<(), ErasureError> {
        let is_gone = |(stream, position): &(usize, Position)| {
            gone.get(stream).is_some_and(|gone| gone.contains(position))
        };
        if erasure.log_done_at.is_none() {
            if !listed(&self.log, erasure).await?.iter().all(is_gone) {
                return Ok(());
            }
            erasures::log_is_done(&self.pool, erasure.id, self.clock.now()).await?;
        }
        if !erasure_archives::is_out_of_all(&self.pool, erasure.id).await? {
            return Ok(());
        }
        if left(&self.log, erasure).await?.is_some_and(|left| left.is_empty()) {
            erasures::is_done(&self.pool, erasure, Stamp::now(&self.clock, By::default())).await?;
        }
        Ok(())
    }
}

/// What is left in the log of the content of a request; `None` if a replica is away or behind, so that nobody can tell.
pub(crate) async fn left(log: &Log, erasure: &ErasureRequest) -> Result<Option<Vec<Position>>, ErasureError> {
    let listed = listed(log, erasure).await?;
    let streams: BTreeSet<usize> = listed.iter().map(|(stream, _)| *stream).collect();
    for stream in streams {
        if !log.replicas_follow(stream).await? {
            return Ok(None);
        }
    }
    let mut left = Vec::new();
    for (stream, position) in listed {
        if !log.is_gone_everywhere(stream, position).await? {
            left.push(position);
        }
    }
    Ok(Some(left))
}

/// The erased positions of the conversations of a request, as far as the request has told of them.
async fn listed(log: &Log, erasure: &ErasureRequest) -> Result<Vec<(usize, Position)>, ErasureError> {
    let mut listed = Vec::new();
    for part in &erasure.parts {
        let stream = log.stream_of(part.conversation);
        let events = log.erased_events(part.conversation).await?;
        let told = events.iter().filter(|event| Some(event.told_at) <= part.told_at);
        listed.extend(told.map(|event| (stream, event.position)));
    }
    Ok(listed)
}
