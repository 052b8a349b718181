//! The eraser deletes what the log lists as erased, no faster than its rate, and reads every position again.
//!
//! The log is its work list, so it also deletes content that came back with the restore of an older copy. A request
//! only says where to look, and gets the result. The eraser skips what a legal hold keeps, and before every deletion it
//! checks for holds that it does not know yet.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    time::Duration,
};

use futures_util::future::join_all;
use sqlx::PgPool;
use tokio::time::{Instant, sleep};

use crate::{
    accounts::{
        By, Stamp, erasure_archives,
        erasures::{self, ErasureRequest},
        holds::{self, LegalHold},
        kept,
    },
    clock::Clock,
    domain::{ErasurePositions, HoldId, Position},
    erasures::{
        compacting::{Compacting, Streams},
        copies::{self, Copies, CopiesSeen},
        error::ErasureError,
        held::{held, holds_of_account},
        leftover::left,
        listed::listed,
        pace::StreamPace,
    },
    log::{ErasedEvent, Log, MirrorNames},
};

/// How long a round may delete. A request that has nothing more in the log is finished after a round, so that it does not
/// wait for larger ones.
const ROUND: Duration = Duration::from_secs(10);
/// The pause between two rounds while something is left to erase.
const LOOK: Duration = Duration::from_millis(500);
/// The pause between two rounds otherwise.
const REST: Duration = Duration::from_secs(2);
/// The pause after a failure.
const PAUSE: Duration = Duration::from_secs(3);

/// The eraser. Its NATS user may read and delete, but not append.
pub(crate) struct Eraser {
    pub(crate) log: Log,
    pub(crate) pool: PgPool,
    pub(crate) clock: Clock,
    /// The maximum number of deletions per second in one stream.
    pub(crate) rate: u32,
    /// The mirrors of the log. The eraser deletes from them, too.
    pub(crate) mirrors: MirrorNames,
}

/// The state of the listed positions of a stream.
struct Looked {
    pace: StreamPace,
    /// The positions at which the stream has nothing any more.
    gone: BTreeSet<Position>,
    /// The positions that a hold keeps.
    kept: BTreeSet<Position>,
}

impl Looked {
    fn new(stream: usize, rate: u32) -> Self {
        Self { pace: StreamPace::new(stream, rate), gone: BTreeSet::new(), kept: BTreeSet::new() }
    }
}

/// The state that the eraser keeps between rounds.
struct Looks {
    streams: BTreeMap<usize, Looked>,
    /// The streams whose whole list still has to be checked: all of them at the start, and again after a hold was
    /// lifted.
    unseen: BTreeSet<usize>,
    /// The active holds of the last round.
    holds: BTreeSet<HoldId>,
    copies: CopiesSeen,
    compacting: Compacting,
}

/// Whether a round may have left work for the next one.
enum Left {
    Something,
    Nothing,
}

impl Eraser {
    /// Erases until the process ends.
    pub(crate) async fn run(self) -> Infallible {
        let all = 0..self.log.layout().streams;
        let mut looks = Looks {
            streams: all.clone().map(|stream| (stream, Looked::new(stream, self.rate))).collect(),
            unseen: all.collect(),
            holds: BTreeSet::new(),
            copies: CopiesSeen::default(),
            compacting: Compacting::default(),
        };
        loop {
            let pause = match self.round(&mut looks).await {
                Ok(Left::Something) => LOOK,
                Ok(Left::Nothing) => REST,
                Err(error) => {
                    tracing::warn!(%error, "could not erase; retrying");
                    PAUSE
                }
            };
            sleep(pause).await;
        }
    }

    async fn round(&self, looks: &mut Looks) -> Result<Left, ErasureError> {
        let open = erasures::hidden(&self.pool).await?;
        let holds = holds::active(&self.pool).await?;
        let active = holds.iter().map(|hold| hold.id).collect();
        if !looks.holds.is_subset(&active) {
            looks.unseen = looks.streams.keys().copied().collect();
        }
        looks.holds = active;
        let not_gone = open.iter().filter(|erasure| erasure.log_done_at.is_none());
        let mut streams = looks.unseen.clone();
        streams.extend(not_gone.flat_map(|erasure| self.streams_of(erasure)));
        let some = looks.streams.iter_mut().filter(|(stream, _)| streams.contains(*stream));
        let cleaned = some.map(|(stream, looked)| {
            let cleaned = self.clean(*stream, looked, &holds);
            async move { (*stream, cleaned.await) }
        });
        let mut failed = Ok(());
        for (stream, outcome) in join_all(cleaned).await {
            match outcome {
                Ok(true) => drop(looks.unseen.remove(&stream)),
                Ok(false) => drop(looks.unseen.insert(stream)),
                Err(e) => {
                    looks.unseen.insert(stream);
                    failed = Err(e);
                }
            }
        }
        if open.is_empty() && streams.is_empty() && looks.copies.are_clean {
            return failed.map(|()| Left::Nothing);
        }
        let lost = |stream| &looks.streams[&stream].gone;
        let (copies, cleaned) =
            copies::clean(&self.log, &self.mirrors, self.rate, lost, &mut looks.copies).await;
        let is_open = |id| open.iter().any(|erasure| erasure.id == id);
        looks.copies.without.retain(|id| is_open(*id));
        looks.compacting.retain(is_open);
        // A stream without a leader holds up only the requests that have something there.
        let mut away = BTreeSet::new();
        for erasure in &open {
            if self.streams_of(erasure).any(|stream| away.contains(&stream)) {
                continue;
            }
            if let Err(error) = self.finish(erasure, looks, &copies, &holds).await {
                failed = Err(error);
                away = self.without_leader(&open).await;
            }
        }
        failed.and(cleaned.map_err(ErasureError::from)).map(|()| Left::Something)
    }

    fn streams_of(&self, erasure: &ErasureRequest) -> impl Iterator<Item = usize> {
        erasure.parts.iter().map(|part| self.log.stream_of(part.conversation))
    }

    /// The streams of these requests whose leaders do not answer.
    async fn without_leader(&self, open: &[ErasureRequest]) -> BTreeSet<usize> {
        let streams: BTreeSet<usize> = open.iter().flat_map(|erasure| self.streams_of(erasure)).collect();
        let asked =
            streams.into_iter().map(|stream| async move { (stream, self.log.last(stream).await.is_err()) });
        join_all(asked).await.into_iter().filter_map(|(stream, is_away)| is_away.then_some(stream)).collect()
    }

    /// Deletes what the log lists as erased in a stream, except what a hold keeps. `false` if the stream has to be
    /// checked again, because the round has ended, another hold was placed meanwhile, or the result of a deletion is
    /// unknown.
    async fn clean(
        &self,
        stream: usize,
        looked: &mut Looked,
        holds: &[LegalHold],
    ) -> Result<bool, ErasureError> {
        let is_settled = self.settle(stream).await?;
        let ends = Instant::now() + ROUND;
        let mut listed = self.log.erased_in(stream).await?;
        listed.retain(|event| !looked.gone.contains(&event.position));
        let known: Vec<HoldId> = holds.iter().map(|hold| hold.id).collect();
        for (ErasedEvent { position, .. }, by) in listed.iter().zip(held(holds, &listed)) {
            let (position, is_held) = (*position, !by.is_empty());
            if is_held && looked.kept.contains(&position) {
                continue;
            }
            if !self.log.is_gone(stream, position).await? {
                if is_held {
                    looked.kept.insert(position);
                    continue;
                }
                if Instant::now() > ends {
                    return Ok(false);
                }
                looked.pace.wait(&self.log).await;
                if !kept::may_delete(&self.pool, &known, stream, position).await? {
                    return Ok(false);
                }
                looked.pace.delete(&self.log, position).await?;
                kept::deletion_is_over(&self.pool, stream, position).await?;
            }
            looked.gone.insert(position);
        }
        Ok(is_settled)
    }

    /// Settles deletions whose response this eraser or an earlier one did not receive. If nats-server still has the
    /// message half a minute after the deletion was requested, the request was lost and will not be carried out.
    async fn settle(&self, stream: usize) -> Result<bool, ErasureError> {
        let mut is_settled = true;
        for (position, is_old) in kept::deletions_in(&self.pool, stream).await? {
            match self.log.is_gone(stream, position).await? || is_old {
                true => kept::deletion_is_over(&self.pool, stream, position).await?,
                false => is_settled = false,
            }
        }
        Ok(is_settled)
    }

    /// Records that the content of a request is gone, waits for the archives and the copies, and then reads all
    /// positions again before it marks the request as done. If holds keep everything that is left, it records that
    /// instead.
    async fn finish(
        &self,
        erasure: &ErasureRequest,
        looks: &mut Looks,
        copies: &Copies,
        holds: &[LegalHold],
    ) -> Result<(), ErasureError> {
        let mut by: BTreeSet<HoldId> =
            erasure.account.into_iter().flat_map(|account| holds_of_account(holds, account)).collect();
        if erasure.log_done_at.is_none() {
            for (stream, mut left) in listed(&self.log, erasure).await? {
                let looked = looks.streams.get(&stream);
                left.retain(|event| looked.is_none_or(|looked| !looked.gone.contains(&event.position)));
                for held in held(holds, &left) {
                    if held.is_empty() {
                        return Ok(());
                    }
                    by.extend(held);
                }
            }
        }
        if !by.is_empty() {
            return Ok(kept::keep(&self.pool, erasure.id, &by).await?);
        }
        if erasure.views_done_at.is_none() {
            return Ok(());
        }
        if erasure.log_done_at.is_none() {
            let gone = self.positions(erasure).await?;
            erasures::log_is_done(&self.pool, erasure.id, self.clock.now(), gone).await?;
        }
        let of_copies = self.is_out_of_copies(erasure, looks, copies).await?;
        let of_raft = self.is_out_of_raft(erasure, looks, of_copies.then_some(copies)).await?;
        if !of_copies || !of_raft || !erasure_archives::is_out_of_all(&self.pool, erasure.id).await? {
            return Ok(());
        }
        if left(&self.log, erasure).await?.is_some_and(|left| left.is_empty()) {
            erasures::is_done(&self.pool, erasure, Stamp::now(&self.clock, By::default())).await?;
        }
        Ok(())
    }

    /// Whether all Raft logs have dropped the content of a request, as far as the servers report it. The `copies` are
    /// there as soon as they have nothing of it any more.
    async fn is_out_of_raft(
        &self,
        erasure: &ErasureRequest,
        looks: &mut Looks,
        copies: Option<&Copies>,
    ) -> Result<bool, ErasureError> {
        if erasure.wal_compacted_at.is_some() {
            return Ok(true);
        }
        let origins = self.streams_of(erasure).collect();
        let of_copies = copies.and_then(|copies| copies.streams_of(&origins));
        let are_all = of_copies.is_some();
        let streams = Streams {
            of_log: origins.iter().map(|stream| self.log.stream_name(*stream)).collect(),
            of_copies: of_copies.unwrap_or_default(),
        };
        match looks.compacting.is_over(&self.log, erasure.id, &streams).await {
            Ok(Some(true)) if are_all => {
                erasures::wal_is_compacted(&self.pool, erasure.id, self.clock.now()).await?;
                Ok(true)
            }
            Ok(is_over) => Ok(is_over.is_none()),
            // A replica is unreachable. Other requests need not wait for it, so this is not an error.
            Err(error) => {
                tracing::debug!(%error, erasure = %erasure.id, "could not read the Raft logs");
                Ok(false)
            }
        }
    }

    /// Whether all copies have dropped the content of a request. If not, the names of the remaining copies are recorded
    /// with the request.
    async fn is_out_of_copies(
        &self,
        erasure: &ErasureRequest,
        looks: &mut Looks,
        copies: &Copies,
    ) -> Result<bool, ErasureError> {
        if looks.copies.without.contains(&erasure.id) {
            return Ok(true);
        }
        let lacking = copies.lacking(&listed(&self.log, erasure).await?).await;
        if lacking.is_empty() {
            looks.copies.without.insert(erasure.id);
        }
        if !lacking.keys().eq(&erasure.waits_for) {
            if !lacking.is_empty() {
                tracing::warn!(erasure = %erasure.id, copies = ?lacking, "could not verify that all copies of the log are free of an erasure; retrying");
            }
            erasures::waits_for(&self.pool, erasure.id, lacking.keys()).await?;
        }
        Ok(lacking.is_empty())
    }

    /// The erased positions of a request, for the audit trail.
    async fn positions(
        &self,
        erasure: &ErasureRequest,
    ) -> Result<Vec<(Stamp, ErasurePositions)>, ErasureError> {
        let mut all: BTreeMap<usize, Vec<Position>> = BTreeMap::new();
        for (stream, events) in listed(&self.log, erasure).await? {
            all.entry(stream).or_default().extend(events.iter().map(|event| event.position));
        }
        let told = |stream: usize, positions: &[Position]| {
            let positions = ErasurePositions {
                request_id: erasure.id.uuid(),
                epoch: self.log.epoch().clone(),
                stream: self.log.stream_name(stream),
                positions: positions.to_vec(),
            };
            (Stamp::now(&self.clock, By::default()), positions)
        };
        let of_stream = |(stream, positions): (&usize, &Vec<Position>)| {
            positions.chunks(ErasurePositions::MOST).map(|some| told(*stream, some)).collect::<Vec<_>>()
        };
        Ok(all.iter().flat_map(of_stream).collect())
    }
}
