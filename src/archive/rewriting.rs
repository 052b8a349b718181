//! Removing from the archive what an erasure has removed from the log.
//!
//! The archive has what the log has. So a text that is hidden but has to be kept stays in both. A segment is rewritten
//! once the eraser reports that the log has nothing left of a request (`log_done_at`). It then has placeholders, as if
//! the log had been archived after the erasure. While a request takes longer, the events that are already gone are
//! removed from time to time. Epochs that have ended have the same events at the same positions, and are rewritten as
//! well, even before the present epoch is archived that far: until then, a restore reads the epoch before.
//!
//! A segment is replaced in one step, under its name. The new segment lists the checksums that it had before, by which
//! its successor and `HEAD.json` know it, so no other file has to be written. An archiver may be killed at any moment:
//! each file is the old one or the new one, both fit the chain, and the remaining work is what the database does not
//! record as done.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use sqlx::PgPool;
use tokio::{
    sync::watch,
    task::spawn_blocking,
    time::{Instant, sleep},
};

use crate::{
    accounts::{
        erasure_archives,
        erasures::{self, ErasureRequest},
    },
    archive::{
        ArchiveError, ArchiveTarget,
        away::Away,
        claim::Term,
        segment,
        target::{KeptFile, Replaces},
    },
    clock::Clock,
    domain::{ErasureId, EventId, Position},
    log::{Log, WantedContent},
    telemetry::METRICS,
};

/// How often the archiver looks for work. Everything that was erased in between is rewritten in one pass.
const LOOK: Duration = Duration::from_secs(5);
/// How often the archiver removes the events that are already gone of erasure requests that are not done yet.
const PARTLY: Duration = Duration::from_secs(3_600);
/// The pause after a segment, so that other work gets the disk and the CPU in between.
const REST: Duration = Duration::from_millis(250);
/// The pause after a failure, and while a damaged segment still has erased content or a stream does not answer.
const PAUSE: Duration = Duration::from_secs(60);

/// The events of a stream that are gone from the log.
type Gone = BTreeMap<Position, EventId>;
/// Such events by the number of their stream.
type Listed = BTreeMap<usize, Gone>;

/// What rewriting needs.
pub(super) struct Rewriting<'a> {
    pub(super) log: &'a Log,
    pub(super) pool: &'a PgPool,
    pub(super) target: &'a ArchiveTarget,
    pub(super) clock: &'a Clock,
    /// How far each stream is archived, as `HEAD.json` says.
    pub(super) archived: watch::Receiver<BTreeMap<String, Position>>,
    pub(super) term: Term,
    pub(super) partly: Partly,
    /// The requests whose events were removed from the epochs before, while the present one is not archived that far.
    pub(super) early: BTreeSet<ErasureId>,
}

/// The events that were removed from the archive for requests that are not done yet.
#[derive(Default)]
pub(super) struct Partly {
    out: BTreeSet<(usize, Position)>,
    looked: Option<Instant>,
}

/// The requests of which the log has nothing left, with their events.
#[derive(Default)]
struct AllGone {
    /// All their events are archived in the present epoch.
    ready: Vec<(ErasureId, Listed)>,
    /// Some of their events are not.
    early: Vec<(ErasureId, Listed)>,
}

impl Rewriting<'_> {
    /// Rewrites for as long as the claim on the archive holds. After any other error it tries again.
    pub(super) async fn run(mut self) -> Result<(), ArchiveError> {
        loop {
            let round = async {
                erasure_archives::note_archive(self.pool, self.target.id()).await?;
                self.round().await
            };
            let pause = match round.await {
                Ok(true) => LOOK,
                Ok(false) => PAUSE,
                Err(lost @ ArchiveError::Lost) => return Err(lost),
                Err(error) => {
                    tracing::warn!(%error, "could not remove erased content from the archive; retrying");
                    PAUSE
                }
            };
            sleep(pause).await;
        }
    }

    /// Runs one round, once the archive has everything up to these positions.
    pub(super) async fn once(mut self, until: &BTreeMap<String, Position>) -> Result<(), ArchiveError> {
        let is_there = |archived: &BTreeMap<String, Position>| {
            until.iter().all(|(stream, at)| archived.get(stream).is_some_and(|last| last >= at))
        };
        self.archived.wait_for(is_there).await.map_err(|_| ArchiveError::Lost)?;
        self.round().await.map(drop)
    }

    /// Removes what is gone from the log by now. `false` if damaged segments still have some of it, or a stream does not
    /// answer.
    async fn round(&mut self) -> Result<bool, ArchiveError> {
        let names = self.log.kept_streams();
        let archived = self.archived.borrow().clone();
        let is_archived =
            |stream: usize, at: Position| archived.get(&names[stream]).is_some_and(|last| *last >= at);
        let mut away = Away::default();
        let AllGone { mut ready, early } = self.all_gone(is_archived, &mut away).await?;
        let is_due = self.partly.looked.is_none_or(|looked| looked.elapsed() >= PARTLY);
        let partly = if is_due { self.partly_gone(&mut away).await? } else { Listed::new() };
        let mut gone = Listed::new();
        for (stream, events) in ready.iter().chain(&early).flat_map(|(_, listed)| listed).chain(&partly) {
            gone.entry(*stream).or_default().extend(events);
        }
        let mut left: BTreeMap<usize, BTreeSet<Position>> = BTreeMap::new();
        for (stream, gone) in gone {
            left.insert(stream, self.take_out(&names[stream], &gone).await?);
        }
        if is_due {
            let out = partly.iter().flat_map(|(stream, events)| events.keys().map(|at| (*stream, *at)));
            // An event that is not archived yet may be waiting for its segment to be written, with its content.
            self.partly.out.extend(out.filter(|(stream, at)| is_archived(*stream, *at)));
            self.partly.looked = Some(Instant::now());
        }
        self.early.extend(early.iter().map(|(id, _)| *id));
        ready.retain(|(_, listed)| {
            listed.iter().all(|(stream, events)| !events.keys().any(|at| left[stream].contains(at)))
        });
        if !ready.is_empty() {
            let out: Vec<ErasureId> = ready.iter().map(|(id, _)| *id).collect();
            erasure_archives::are_out_of(self.pool, self.target.id(), &out, self.clock.now()).await?;
            self.early.retain(|id| !out.contains(id));
        }
        Ok(left.values().all(BTreeSet::is_empty) && !away.is_any())
    }

    /// The requests of which the log has nothing left and this archive may still have something. Requests are ready only
    /// when all their events are archived: a record may have been read before it was erased, and be waiting for its segment
    /// to be written. The events that list them have to be archived, too: without them, a restore would not recognise a
    /// retry of an erased command.
    async fn all_gone(
        &self,
        is_archived: impl Fn(usize, Position) -> bool,
        away: &mut Away,
    ) -> Result<AllGone, ArchiveError> {
        let mut all = AllGone::default();
        let has_former = !self.log.former_epochs().is_empty();
        let pool = self.pool;
        let is_behind = erasure_archives::is_behind(pool, self.target.id()).await?;
        let requests = erasures::not_out_of(pool, self.target.id(), is_behind).await?;
        if is_behind && requests.iter().all(|request| request.archive_done_at.is_none()) {
            erasure_archives::is_no_longer_behind(pool, self.target.id()).await?;
        }
        for request in requests {
            let gone = async {
                let listed = self.listed(&request).await?;
                let mut last =
                    listed.iter().filter_map(|(stream, events)| Some((*stream, *events.last_key_value()?.0)));
                let is_ready = last.all(|(stream, last)| is_archived(stream, last))
                    && request.parts.iter().all(|part| {
                        part.told_at.is_none_or(|at| is_archived(self.log.stream_of(part.conversation), at))
                    });
                let is_early = !is_ready && has_former && !self.early.contains(&request.id);
                let is_it = (is_ready || is_early) && self.is_gone(&listed).await?;
                Ok(is_it.then_some((is_ready, listed)))
            };
            match self.said(away, &request, gone).await.flatten() {
                None => {}
                Some((true, listed)) => all.ready.push((request.id, listed)),
                Some((false, listed)) => all.early.push((request.id, listed)),
            }
        }
        Ok(all)
    }

    /// What the log says of a request; `None` if a stream that has something of it does not answer.
    async fn said<T>(
        &self,
        away: &mut Away,
        request: &ErasureRequest,
        asked: impl Future<Output = Result<T, ArchiveError>>,
    ) -> Option<T> {
        let streams = request.parts.iter().map(|part| self.log.stream_of(part.conversation)).collect();
        away.said(request.id, streams, asked, |stream| async move { self.log.last(stream).await.is_ok() })
            .await
    }

    /// The events of this request only: other events erased in the same conversations may have to be kept.
    async fn listed(&self, request: &ErasureRequest) -> Result<Listed, ArchiveError> {
        let mut listed = Listed::new();
        for part in &request.parts {
            let events = self.log.erased_events(part.conversation).await?;
            let own = WantedContent::of(request.account, &part.positions).among(events);
            let of_stream = listed.entry(self.log.stream_of(part.conversation)).or_default();
            of_stream.extend(own.into_iter().map(|event| (event.position, event.id)));
        }
        Ok(listed)
    }

    /// For the requests that are not done yet: the events that are gone from the log, and that this process has not removed
    /// from the archive yet. What a stream that does not answer has lost is removed at the next look.
    async fn partly_gone(&self, away: &mut Away) -> Result<Listed, ArchiveError> {
        let mut gone = Listed::new();
        for request in erasures::partly_gone(self.pool).await? {
            let some = self.said(away, &request, self.some_gone(&request)).await;
            for (stream, events) in some.into_iter().flatten() {
                gone.entry(stream).or_default().extend(events);
            }
        }
        Ok(gone)
    }

    /// The events of a request that are gone from the log, and that this process has not removed from the archive yet.
    async fn some_gone(&self, request: &ErasureRequest) -> Result<Listed, ArchiveError> {
        let mut gone = Listed::new();
        for (stream, mut events) in self.listed(request).await? {
            events.retain(|at, _| !self.partly.out.contains(&(stream, *at)));
            for (at, id) in events {
                if self.log.is_gone(stream, at).await? {
                    gone.entry(stream).or_default().insert(at, id);
                }
            }
        }
        Ok(gone)
    }

    /// Whether the log has nothing left of a request. A restore of an archive that was not rewritten yet brings its
    /// events back.
    async fn is_gone(&self, listed: &Listed) -> Result<bool, ArchiveError> {
        for (stream, events) in listed {
            for at in events.keys() {
                if !self.log.is_gone(*stream, *at).await? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Rewrites the segments of a stream that have some of these events. Returns the positions in damaged segments.
    async fn take_out(&self, stream: &str, gone: &Gone) -> Result<BTreeSet<Position>, ArchiveError> {
        let mut left = BTreeSet::new();
        for epoch in self.target.list("log").await? {
            let folder = format!("log/{epoch}/{stream}");
            for file in self.target.list(&folder).await? {
                let Some((first, last)) = segment::positions(&file) else { continue };
                let within: Gone = gone.range(first..=last).map(|(at, id)| (*at, *id)).collect();
                if within.is_empty() {
                    continue;
                }
                match self.rewrite(format!("{folder}/{file}"), within.clone()).await {
                    Err(error @ ArchiveError::Bad { .. }) => {
                        tracing::error!(%error, "could not remove erased content from a damaged segment; \
                            see \"The archive is damaged\" in deploy/DISASTERS.md");
                        left.extend(within.into_keys());
                    }
                    rewritten => rewritten?,
                }
                sleep(REST).await;
            }
        }
        Ok(left)
    }

    async fn rewrite(&self, name: String, gone: Gone) -> Result<(), ArchiveError> {
        // Pruning may have removed the epoch meanwhile.
        let Some(KeptFile { bytes, version }) = self.target.get(&name).await? else { return Ok(()) };
        let streams = self.log.layout().streams;
        let written = spawn_blocking(move || segment::without(&bytes, &gone, streams)).await;
        let written = written.unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic()));
        let bad = |why: String| ArchiveError::Bad { name: name.clone(), why };
        let Some(written) = written.map_err(|e| bad(e.to_string()))? else { return Ok(()) };
        if written.name != name {
            return Err(bad(format!("its content is another segment, {}", written.name)));
        }
        // An archiver that was frozen must not overwrite what its successor has rewritten.
        self.term.is_valid()?;
        self.target.put(&name, written.file, Replaces::Version(version)).await?;
        METRICS.rewritten.inc();
        tracing::info!(segment = name, "removed erased content from the archive");
        Ok(())
    }
}
