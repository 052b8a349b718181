//! The archiver: one process at a time reads every stream of the log in order, and writes segments and the manifest.
//!
//! A segment is written before the manifest that names it. So an archiver that is killed leaves at most segments behind
//! that nobody knows; the next one removes them and reads the records again.

use std::{collections::BTreeMap, time::Duration};

use futures_util::future::try_join_all;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};
use uuid::Uuid;

use crate::{
    archive::{
        ArchiveError, ArchiveTarget,
        head::{ArchiveHead, StreamEnd},
        segment,
        stream::{Further, Kept, keep},
    },
    clock::Clock,
    domain::Position,
    log::{CLAIM, Claim, ClaimBucket, Log, NodeId},
};

/// How often the claim on the archive is renewed, and how old a renewal may be before it is believed to be over.
const RENEW: Duration = Duration::from_secs(2);
const OVER: Duration = CLAIM.checked_sub(Duration::from_secs(3)).expect("a claim lasts for longer");
/// How long an answer about the claim may take.
const ANSWER: Duration = Duration::from_secs(2);
/// How often the manifest is written although no stream has moved: it also says how far durables have come.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// The wait before another attempt.
const PAUSE: Duration = Duration::from_secs(3);

/// The claim of this process on an archive.
struct Held {
    bucket: ClaimBucket<Uuid>,
    claim: Claim<Uuid>,
    node: NodeId,
    renewed: Instant,
}

/// Archives the log for as long as the process lives, whenever no other process does. An outage is waited for. A hole
/// that nothing explains is logged as an error and looked at again later; nothing is archived beyond it.
pub(crate) async fn archive(log: Log, target: ArchiveTarget, clock: Clock) {
    loop {
        let flush = watch::Sender::new(0);
        let ended = async {
            let Some(mut held) = Held::take(&log, &target).await? else { return Ok(()) };
            tracing::info!(archive = %target, "this process archives the log");
            let ended = run(&log, &target, &clock, &mut held, &flush, None).await;
            held.give_back().await;
            ended
        };
        if let Err(error) = ended.await {
            tracing::warn!(%error, "could not archive the log; retrying");
        }
        sleep(PAUSE).await;
    }
}

/// Archives the log up to these positions. `false` if another process archives it at present.
pub(crate) async fn archive_until(
    log: &Log,
    target: &ArchiveTarget,
    clock: &Clock,
    until: &BTreeMap<String, Position>,
) -> Result<bool, ArchiveError> {
    let Some(mut held) = Held::take(log, target).await? else { return Ok(false) };
    let ended = run(log, target, clock, &mut held, &watch::Sender::new(0), Some(until)).await;
    held.give_back().await;
    ended.map(|()| true)
}

/// Archives while the claim holds.
async fn run(
    log: &Log,
    target: &ArchiveTarget,
    clock: &Clock,
    held: &mut Held,
    flush: &watch::Sender<u64>,
    until: Option<&BTreeMap<String, Position>>,
) -> Result<(), ArchiveError> {
    let mut head = ArchiveHead::of_log(target, log, clock.now()).await?;
    for stream in log.kept_streams() {
        let first = log.ends_of(&stream).await?.first.max(Position(1));
        head.ends.entry(stream.clone()).or_insert_with(|| StreamEnd {
            first,
            last: Position(first.0 - 1),
            sha256: None,
            segments: 0,
        });
        remove_unknown(target, &head, &stream).await?;
    }
    let (further, mut moved) = mpsc::channel(256);
    let streams = head.ends.iter().map(|(stream, end)| {
        let kept = Kept {
            epoch: head.epoch.clone(),
            stream: stream.clone(),
            end: end.clone(),
            until: until.map(|until| until.get(stream).copied().unwrap_or_default()),
        };
        keep(log, target, kept, flush.subscribe(), further.clone())
    });
    let streams: Vec<_> = streams.collect();
    drop(further);
    let asked = log.flushes().await?;
    let heads = async {
        let mut asked = asked;
        let mut beat = interval(HEARTBEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut renew = interval(RENEW);
        renew.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut moves = Vec::new();
        loop {
            let is_over = tokio::select! {
                count = moved.recv_many(&mut moves, 256) => count == 0,
                _ = beat.tick() => {
                    head.durables = durables(log).await?;
                    false
                }
                _ = renew.tick() => {
                    held.renew().await?;
                    continue;
                }
                () = asked.next() => {
                    flush.send_modify(|times| *times += 1);
                    head.durables = durables(log).await?;
                    continue;
                }
            };
            for Further { stream, end } in moves.drain(..) {
                head.ends.insert(stream, end);
            }
            // An archiver that was frozen must not write over the manifest of its successor.
            held.is_valid()?;
            (head.at, head.version) = (clock.now(), env!("CARGO_PKG_VERSION").into());
            if is_over {
                head.durables = durables(log).await?;
            }
            head.write(target).await?;
            if is_over {
                return Ok(());
            }
        }
    };
    let streams = async { try_join_all(streams).await.map(drop) };
    join(streams, heads).await
}

/// Both to their ends, or the first error. The manifest is written once more when a stream fails, because the other streams
/// may have come further.
async fn join(
    streams: impl Future<Output = Result<(), ArchiveError>>,
    heads: impl Future<Output = Result<(), ArchiveError>>,
) -> Result<(), ArchiveError> {
    let (mut streams, mut heads) = (std::pin::pin!(streams), std::pin::pin!(heads));
    tokio::select! {
        ended = &mut heads => ended,
        // The senders are gone with the streams, so the manifest comes to its end.
        ended = &mut streams => {
            heads.await?;
            ended
        }
    }
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

async fn durables(log: &Log) -> Result<Vec<crate::log::KeptDurable>, ArchiveError> {
    let mut all = Vec::new();
    for stream in log.kept_streams() {
        all.extend(log.kept_durables(&stream).await?);
    }
    Ok(all)
}

impl Held {
    /// Claims an archive; `None` if another process has it.
    async fn take(log: &Log, target: &ArchiveTarget) -> Result<Option<Self>, ArchiveError> {
        let (bucket, node, renewed) = (log.archive_claims().await?, NodeId::new(), Instant::now());
        let claim = bucket.take(target.id(), &node).await?;
        Ok(claim.map(|claim| Self { bucket, claim, node, renewed }))
    }

    async fn renew(&mut self) -> Result<(), ArchiveError> {
        let begun = Instant::now();
        match timeout(ANSWER, self.bucket.renew(self.claim, &self.node)).await {
            Ok(Ok(Some(claim))) => (self.claim, self.renewed) = (claim, begun),
            Ok(Ok(None)) => return Err(ArchiveError::Lost),
            // There may be an answer next time.
            Ok(Err(_)) | Err(_) => {}
        }
        self.is_valid()
    }

    fn is_valid(&self) -> Result<(), ArchiveError> {
        if self.renewed.elapsed() < OVER { Ok(()) } else { Err(ArchiveError::Lost) }
    }

    /// Gives the claim back. A claim that cannot be given back is over by itself soon.
    async fn give_back(self) {
        let _ = timeout(ANSWER, self.bucket.give_back(self.claim)).await;
    }
}
