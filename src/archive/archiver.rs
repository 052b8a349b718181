//! The archiver: one process at a time reads every stream of the log in order, and writes segments and the manifest.
//!
//! A segment is written before the manifest that names it. So an archiver that is killed leaves behind at most segments
//! that no manifest names; the next archiver removes them and reads their records again.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    time::Duration,
};

use futures_util::future::{try_join, try_join_all};
use sqlx::PgPool;
use tokio::{
    sync::{mpsc, watch},
    time::{Interval, MissedTickBehavior, interval, sleep},
};

use crate::{
    archive::{
        ArchiveError, ArchiveTarget,
        claim::{Held, RENEW},
        head::{ArchiveHead, StreamEnd},
        manifest::Manifest,
        progress::{Positions, Progress},
        rewriting::{Partly, Rewriting},
        segment,
        stream::{Further, Kept, keep},
    },
    clock::Clock,
    domain::Position,
    log::{FlushRequests, KeptDurable, Log},
    telemetry::METRICS,
};

/// How often the manifest is written although no stream has moved: it also records how far the durables have come, and
/// when the archive last kept up with the log.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// The wait before another attempt.
const PAUSE: Duration = Duration::from_secs(3);

/// Archives the log for as long as the process lives, whenever no other process does. It waits for the end of an
/// outage. An unexplained hole is logged as an error and read again later; nothing is archived beyond it.
pub(crate) async fn archive(log: Log, pool: PgPool, target: ArchiveTarget, clock: Clock) {
    loop {
        let ended = async {
            let Some(mut held) = Held::take(&log, &target).await? else { return Ok(()) };
            tracing::info!(archive = %target, "archiving the log");
            let ended = run(&log, &pool, &target, &clock, &mut held, None).await;
            held.give_back().await;
            ended
        };
        if let Err(error) = ended.await {
            METRICS.archive_failures.inc();
            tracing::warn!(%error, "could not archive the log; retrying");
        }
        sleep(PAUSE).await;
    }
}

/// Archives the log up to these positions. `false` if another process is archiving it.
pub(crate) async fn archive_until(
    log: &Log,
    pool: &PgPool,
    target: &ArchiveTarget,
    clock: &Clock,
    until: &BTreeMap<String, Position>,
) -> Result<bool, ArchiveError> {
    let Some(mut held) = Held::take(log, target).await? else { return Ok(false) };
    let ended = run(log, pool, target, clock, &mut held, Some(until)).await;
    held.give_back().await;
    ended.map(|()| true)
}

/// Why the manifest may have to be written.
enum Due {
    /// Streams have moved.
    Moved,
    /// A heartbeat is due.
    Beat,
    /// All work is done.
    Over,
    /// A process asks for the next segments now.
    Flush,
}

/// The manifest of a log that is being archived, with what it is written from and who has to know.
struct KeptManifest<'a> {
    log: &'a Log,
    target: &'a ArchiveTarget,
    clock: &'a Clock,
    manifest: Manifest,
    progress: Progress,
    /// How far the streams have come.
    moved: mpsc::Receiver<Further>,
    /// Requests for the next segments.
    asked: FlushRequests,
    /// Makes the streams write their next segments.
    flush: watch::Sender<u64>,
    /// How far each stream is archived, as the manifest says.
    archived: watch::Sender<Positions>,
}

/// Archives while the claim holds.
async fn run(
    log: &Log,
    pool: &PgPool,
    target: &ArchiveTarget,
    clock: &Clock,
    held: &mut Held,
    until: Option<&BTreeMap<String, Position>>,
) -> Result<(), ArchiveError> {
    let mut renew = interval(RENEW);
    renew.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let manifest = renewing(held, &mut renew, begin(log, target, clock)).await?;
    let archived = watch::Sender::new(lasts(&manifest.head));
    // What was asked for is all that has to be archived.
    let logged = match until {
        Some(until) => until.clone(),
        // With a stream that is away, the end is read at the first heartbeat that finds it.
        None => {
            let logged = renewing(held, &mut renew, async { Ok(ends(log).await) }).await?;
            logged.unwrap_or_else(|_| lasts(&manifest.head))
        }
    };
    let progress = Progress { archived: lasts(&manifest.head), logged };
    let rewriting = Rewriting {
        log,
        pool,
        target,
        clock,
        archived: archived.subscribe(),
        term: held.term(),
        partly: Partly::default(),
        early: BTreeSet::new(),
    };
    let (further, moved) = mpsc::channel(256);
    let flush = watch::Sender::new(0_u64);
    let streams = manifest.head.ends.iter().map(|(stream, end)| {
        let kept = Kept {
            epoch: log.epoch().clone(),
            stream: stream.clone(),
            end: end.clone(),
            until: until.map(|until| until.get(stream).copied().unwrap_or_default()),
        };
        keep(log, target, kept, held.term(), flush.subscribe(), further.clone())
    });
    let streams = try_join_all(streams.collect::<Vec<_>>());
    let work = async {
        // The manifest keeps being written, and the claim renewed, while a stream or the rewriting may still make
        // progress.
        let _further = further;
        match until {
            None => try_join(streams, rewriting.run()).await.map(drop),
            Some(until) => {
                streams.await?;
                rewriting.once(until).await
            }
        }
    };
    let asked = log.flushes().await?;
    let kept = KeptManifest { log, target, clock, manifest, progress, moved, asked, flush, archived };
    join(work, keep_manifest(kept, held, renew)).await
}

/// Writes the manifest when streams have moved and at each heartbeat, until all work is done.
async fn keep_manifest(
    kept: KeptManifest<'_>,
    held: &mut Held,
    mut renew: Interval,
) -> Result<(), ArchiveError> {
    let KeptManifest {
        log,
        target,
        clock,
        mut manifest,
        mut progress,
        mut moved,
        mut asked,
        flush,
        archived,
    } = kept;
    let mut beat = interval(HEARTBEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut moves = Vec::new();
    loop {
        let head = &mut manifest.head;
        let due = async {
            Ok(tokio::select! {
                count = moved.recv_many(&mut moves, 256) => if count == 0 { Due::Over } else { Due::Moved },
                _ = beat.tick() => Due::Beat,
                () = asked.next() => Due::Flush,
            })
        };
        let due = renewing(held, &mut renew, due).await?;
        if let Due::Flush = due {
            flush.send_modify(|times| *times += 1);
            head.durables = renewing(held, &mut renew, durables(log, head)).await?;
            continue;
        }
        for Further { stream, end } in moves.drain(..) {
            head.ends.insert(stream, end);
        }
        // An archiver that was frozen must not write over the manifest of its successor.
        held.term().is_valid()?;
        head.version = env!("CARGO_PKG_VERSION").into();
        let mut keeps_up = false;
        if let Due::Beat | Due::Over = due {
            head.durables = renewing(held, &mut renew, durables(log, head)).await?;
            keeps_up = progress.keeps_up(&lasts(head));
        }
        if keeps_up {
            match renewing(held, &mut renew, async { Ok(ends(log).await) }).await? {
                Ok(logged) => {
                    head.at = clock.now();
                    progress = Progress { archived: lasts(head), logged };
                }
                // The other streams are archived meanwhile.
                Err(error) => {
                    keeps_up = false;
                    tracing::warn!(%error, "could not read where a stream ends, so it is not known whether the archive keeps up");
                }
            }
        }
        renewing(held, &mut renew, manifest.write(target)).await?;
        if keeps_up {
            METRICS.archive_written.set(manifest.head.at.datetime().unix_timestamp());
        }
        archived.send_replace(lasts(&manifest.head));
        if let Due::Over = due {
            return Ok(());
        }
    }
}

/// Reads how far the archive has come, and removes what a killed archiver has left behind.
async fn begin(log: &Log, target: &ArchiveTarget, clock: &Clock) -> Result<Manifest, ArchiveError> {
    if target.keeps_versions().await {
        tracing::warn!(archive = %target, "the bucket keeps older versions of its objects, so erased content remains in them; \
            see \"Backups in a bucket\" in deploy/README.md");
    }
    let mut manifest = Manifest::of_log(target, log, clock.now()).await?;
    for epoch in target.list("log").await? {
        for stream in log.kept_streams() {
            target.remove_unfinished(&format!("log/{epoch}/{stream}")).await?;
        }
    }
    for stream in log.kept_streams() {
        // A stream that the archive knows may be away for now, and the others go on.
        if let Entry::Vacant(unknown) = manifest.head.ends.entry(stream) {
            let first = log.ends_of(unknown.key()).await?.first.max(Position(1));
            unknown.insert(StreamEnd { first, last: Position(first.0 - 1), sha256: None, segments: 0 });
        }
    }
    // From now on there is a manifest, so a segment that it does not name was left behind by a killed archiver.
    manifest.write(target).await?;
    for stream in log.kept_streams() {
        remove_unknown(target, &manifest.head, &stream).await?;
    }
    Ok(manifest)
}

/// Does work that may take longer than the claim lasts, and renews the claim meanwhile: a bucket may be slow, a long
/// archive has many names, and a server with consumers may be away.
async fn renewing<T>(
    held: &mut Held,
    renew: &mut Interval,
    work: impl Future<Output = Result<T, ArchiveError>>,
) -> Result<T, ArchiveError> {
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            _ = renew.tick() => held.renew().await?,
        }
    }
}

/// Runs both to their ends, or until the first error. The manifest is written once more when a stream fails, because
/// the other streams may have made progress.
async fn join(
    work: impl Future<Output = Result<(), ArchiveError>>,
    heads: impl Future<Output = Result<(), ArchiveError>>,
) -> Result<(), ArchiveError> {
    let (mut work, mut heads) = (std::pin::pin!(work), std::pin::pin!(heads));
    tokio::select! {
        ended = &mut heads => ended,
        // The work has dropped its senders, so the loop that writes the manifest ends.
        ended = &mut work => {
            heads.await?;
            ended
        }
    }
}

/// How far each stream is archived.
fn lasts(head: &ArchiveHead) -> Positions {
    head.ends.iter().map(|(stream, end)| (stream.clone(), end.last)).collect()
}

/// Where each stream of the log ends.
pub(super) async fn ends(log: &Log) -> Result<Positions, ArchiveError> {
    let mut ends = Positions::new();
    for stream in log.kept_streams() {
        let last = log.ends_of(&stream).await?.last;
        ends.insert(stream, last);
    }
    Ok(ends)
}

/// Removes the segments that no manifest names.
async fn remove_unknown(
    target: &ArchiveTarget,
    head: &ArchiveHead,
    stream: &str,
) -> Result<(), ArchiveError> {
    let folder = format!("log/{}/{stream}", head.epoch);
    let end = head.ends.get(stream).map_or(Position::START, |end| end.last);
    for file in target.list(&folder).await? {
        if segment::positions(&file).is_some_and(|(_, last)| last > end) {
            target.remove(&format!("{folder}/{file}")).await?;
        }
    }
    Ok(())
}

/// How far the durables have come.
async fn durables(log: &Log, head: &ArchiveHead) -> Result<Vec<KeptDurable>, ArchiveError> {
    Ok(log.kept_durables(&head.durables).await?)
}
