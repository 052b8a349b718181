//! Restoring a log from an archive: compares what the servers already have, plans what is missing, and writes each
//! record again at its position.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use crate::{
    archive::{
        AccountFates, ArchiveError, ArchiveHead, ArchiveTarget,
        chain::Chain,
        head::{self, AUDIT, StreamEnd},
        segment::Segment,
        told_again::{behind_titles, told_again},
    },
    domain::{Epoch, Position, Time},
    log::{KeptDurable, Layout, NotRestored, OpenError, Record, Remade, Remake, Restoring},
};

/// How many streams are written concurrently.
const AT_ONCE: usize = 4;

/// Up to where a log is restored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Aim {
    /// To the end of the archive.
    #[default]
    End,
    /// Up to the last event before the first event that is later than this time, by the times in the events.
    Time(Time),
    /// Up to these positions; streams without one, to their ends.
    Positions(BTreeMap<String, Position>),
}

/// What a restore does.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan {
    /// The restored log.
    pub remake: Remake,
    /// The streams, AUDIT first.
    pub streams: Vec<StreamPlan>,
    /// The durables to create again.
    pub durables: Vec<KeptDurable>,
    /// The epochs that the archive has.
    pub epochs: Vec<Epoch>,
    /// Empty streams on the servers that the archived log does not have.
    superfluous: Vec<String>,
}

/// A restored log.
#[derive(Debug, Default)]
pub(crate) struct Restored {
    /// Where each stream ends.
    pub ends: BTreeMap<String, RestoredEnd>,
    /// What the archived audit events say of accounts.
    pub fates: AccountFates,
    /// The last archived audit event.
    pub audited: Position,
}

/// What a restore does with a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StreamPlan {
    /// The stream.
    pub stream: String,
    /// How far it is archived.
    end: StreamEnd,
    /// The last position that is restored.
    pub upto: Position,
    /// The state of the stream on the servers, if it exists there.
    pub found: Option<Remade>,
}

/// Where a restored stream ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RestoredEnd {
    /// Its last record.
    pub last: Position,
    /// Its last record from the archive. The records after it repeat erasures that the archive lists later.
    pub kept: Position,
}

/// Why nothing was restored, or not all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RestoreError {
    /// The archive cannot be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The log cannot be written.
    #[error(transparent)]
    Log(#[from] NotRestored),
    /// The servers have something that a restore would mix with the archive.
    #[error("{0}")]
    InTheWay(String),
    /// A file of the archive is bad.
    #[error("{0}. Nothing after it can be restored: check the whole archive with `verbatim backup verify`")]
    Damaged(String),
    /// There is no such position or stream in the archive.
    #[error("{0}")]
    NoSuchAim(String),
}

impl From<OpenError> for RestoreError {
    fn from(error: OpenError) -> Self {
        NotRestored::from(error).into()
    }
}

/// Inspects the archive and the servers, and changes nothing.
pub(crate) async fn plan(
    target: &ArchiveTarget,
    restoring: &Restoring,
    epoch: Option<&Epoch>,
    aim: &Aim,
    replicas: Option<usize>,
) -> Result<Plan, RestoreError> {
    let latest = ArchiveHead::read(target).await?;
    let mut epochs: Vec<Epoch> = target.list("log").await?.into_iter().map(Epoch).collect();
    epochs.push(latest.epoch.clone());
    let mut former = latest.former.clone();
    let head = match epoch.filter(|epoch| **epoch != latest.epoch) {
        None => latest,
        Some(epoch) => {
            // The archiver of the restored log has to know the archive by its latest epoch too.
            former.push(latest.epoch);
            let found = ArchiveHead::find_at(target, &head::of_epoch(epoch)).await?;
            let no_epoch =
                || RestoreError::NoSuchAim(format!("--epoch {epoch}: the archive has no such epoch"));
            found.ok_or_else(no_epoch)?.0
        }
    };
    let found: BTreeMap<String, Remade> = restoring.found().await?.into_iter().collect();
    let epoch = epoch_of(&head, &found, aim)?;
    if let Aim::Positions(positions) = aim
        && let Some(unknown) =
            positions.keys().find(|stream| *stream == AUDIT || !head.ends.contains_key(*stream))
    {
        return Err(RestoreError::NoSuchAim(format!(
            "--to-position {unknown}=…: the archive has no such log stream; AUDIT is always restored to its end"
        )));
    }
    let mut streams = Vec::new();
    for (stream, end) in &head.ends {
        let upto = match aim {
            Aim::Time(time) if stream != AUDIT => last_until(target, &head.epoch, stream, end, *time).await?,
            Aim::Positions(positions) => positions.get(stream).copied().unwrap_or(end.last),
            _ => end.last,
        };
        if upto > end.last || upto.0 + 1 < end.first.0 {
            return Err(RestoreError::NoSuchAim(format!(
                "--to-position {stream}={upto}: the archive has {} to {}",
                end.first, end.last
            )));
        }
        let found = found.get(stream).cloned();
        streams.push(StreamPlan { stream: stream.clone(), end: end.clone(), upto, found });
    }
    streams.sort_by_key(|planned| planned.stream != AUDIT);
    let superfluous = found.into_keys().filter(|stream| !head.ends.contains_key(stream)).collect();
    let layout = Layout { streams: head.streams, replicas: replicas.unwrap_or(head.replicas) };
    let remake = Remake { epoch, from: head.epoch, former, layout };
    Ok(Plan { remake, streams, durables: head.durables, epochs, superfluous })
}

/// The epoch of the restored log: a new one, or that of an interrupted restore. Refuses what a restore must not touch.
fn epoch_of(head: &ArchiveHead, found: &BTreeMap<String, Remade>, aim: &Aim) -> Result<Epoch, RestoreError> {
    let in_the_way = |why: String| Err(RestoreError::InTheWay(why));
    let is_whole = |stream: &String| !matches!(found.get(stream), None | Some(Remade::Empty));
    let chat: Vec<&String> = head.ends.keys().filter(|stream| *stream != AUDIT).collect();
    let mut begun = None;
    for (stream, state) in found {
        match state {
            Remade::Begun { from, .. } if *from != head.epoch => {
                return in_the_way(format!(
                    "{stream} was created by a restore of epoch {from}, but this archive has epoch {}: name that \
                     one with --epoch, continue with the other archive, or delete the streams of that restore",
                    head.epoch
                ));
            }
            Remade::Begun { epoch, .. } => begun = Some(epoch.clone()),
            Remade::Whole(_) if !head.ends.contains_key(stream) => {
                return in_the_way(format!(
                    "{stream} is not empty, but the archive has no such stream: restore into other servers"
                ));
            }
            Remade::Whole(Some(epoch)) if *epoch != head.epoch => {
                return in_the_way(format!(
                    "{stream} is not empty and has epoch {epoch}, but the archive has epoch {}: name its epoch with \
                     --epoch if the archive has it too, restore into other servers, or delete its streams if you are \
                     sure that nobody needs them",
                    head.epoch
                ));
            }
            Remade::Whole(_) | Remade::Empty => {}
        }
    }
    let kept = found.iter().any(|(stream, state)| stream != AUDIT && matches!(state, Remade::Whole(_)));
    if kept && begun.is_none() && chat.iter().all(|stream| is_whole(stream)) {
        return in_the_way(
            "all streams of the log exist and have events: a restore needs empty servers, or a log that has lost a \
             stream. Restore into other servers (VERBATIM_NATS_URL, VERBATIM_DATABASE_URL), or delete the streams if you \
             are sure that nobody needs them"
                .into(),
        );
    }
    if kept && *aim != Aim::End {
        return in_the_way(
            "some streams of the log exist and have events, which are kept: an earlier point needs empty servers".into(),
        );
    }
    Ok(begun.unwrap_or_else(Restoring::new_epoch))
}

/// The last position before the first event that is later than a time.
async fn last_until(
    target: &ArchiveTarget,
    epoch: &Epoch,
    stream: &str,
    end: &StreamEnd,
    time: Time,
) -> Result<Position, RestoreError> {
    let (mut chain, missing) = Chain::find(target, epoch, stream, end).await?;
    refuse_missing(missing)?;
    let mut last = Position(end.first.0.saturating_sub(1));
    while let Some(segment) = next(&mut chain, target).await? {
        // A placeholder has no time of its own: it was stored by an earlier restore.
        for record in segment.records.iter().filter(|record| !record.is_placeholder()) {
            let named = record.header("ce-time").and_then(|named| named.parse::<Time>().ok());
            let stored = || time::OffsetDateTime::from_unix_timestamp_nanos(record.stored_at.into()).ok();
            if named.or_else(|| stored().map(Time::of)).is_some_and(|named| named > time) {
                return Ok(last);
            }
            last = record.position;
        }
    }
    Ok(end.last)
}

fn refuse_missing(missing: Vec<String>) -> Result<(), RestoreError> {
    missing.into_iter().next().map_or(Ok(()), |first| Err(RestoreError::Damaged(first)))
}

async fn next(chain: &mut Chain, target: &ArchiveTarget) -> Result<Option<Segment>, RestoreError> {
    chain.read(target).await?.transpose().map_err(RestoreError::Damaged)
}

/// Creates the streams, writes their records and creates the durables. After an interruption, the same call continues
/// after the last record.
pub(crate) async fn restore(
    target: &ArchiveTarget,
    restoring: &Restoring,
    plan: &Plan,
    written: impl Fn(u64),
) -> Result<Restored, RestoreError> {
    for stream in &plan.superfluous {
        restoring.remove_empty(stream).await?;
    }
    for planned in &plan.streams {
        restoring.make(&plan.remake, &planned.stream, planned.end.first).await?;
    }
    let mut erased = BTreeMap::new();
    let Restored { mut ends, mut fates, mut audited } = Restored::default();
    let (audit, chat): (Vec<_>, Vec<_>) = plan.streams.iter().partition(|planned| planned.stream == AUDIT);
    for planned in audit {
        let read = |record: &Record| {
            if let Some((stream, positions)) = erasure(record, &plan.remake.from) {
                erased.entry(stream).or_insert_with(BTreeSet::new).extend(positions);
            }
            if let Some(event) = record.audit_event() {
                fates.read(&event);
            }
        };
        let end = restore_stream(target, restoring, plan, planned, &BTreeSet::new(), &written, read).await?;
        audited = planned.upto;
        ends.insert(planned.stream.clone(), end);
    }
    fates.read_later_epochs(target, &plan.remake.from).await?;
    let none = BTreeSet::new();
    let restored: Vec<(String, RestoredEnd)> = stream::iter(chat.into_iter().map(|planned| {
        let gone = erased.get(&planned.stream).unwrap_or(&none);
        let written = &written;
        async move {
            let end = restore_stream(target, restoring, plan, planned, gone, written, |_| {}).await?;
            Ok::<_, RestoreError>((planned.stream.clone(), end))
        }
    }))
    .buffer_unordered(AT_ONCE)
    .try_collect()
    .await?;
    ends.extend(restored);
    for durable in &plan.durables {
        let end = ends.get(&durable.stream).map(|end| end.kept).unwrap_or_default();
        restoring.make_durable(&plan.remake, durable, end).await?;
    }
    Ok(Restored { ends, fates, audited })
}

/// The positions that an erasure has removed from a stream of this epoch, if this audit event lists some. The positions
/// of an earlier epoch may hold other events in this one, because a restore to an earlier point assigns positions a
/// second time.
fn erasure(record: &Record, of: &Epoch) -> Option<(String, Vec<Position>)> {
    #[derive(serde::Deserialize)]
    struct Erased {
        epoch: String,
        stream: String,
        positions: Vec<Position>,
    }
    (record.header("ce-type")? == "verbatim.erasure.positions.v1").then_some(())?;
    let Erased { epoch, stream, positions } = serde_json::from_slice(&record.payload).ok()?;
    (epoch == of.to_string()).then_some((stream, positions))
}

async fn restore_stream(
    target: &ArchiveTarget,
    restoring: &Restoring,
    plan: &Plan,
    planned: &StreamPlan,
    gone: &BTreeSet<Position>,
    written: impl Fn(u64),
    mut see: impl FnMut(&Record),
) -> Result<RestoredEnd, RestoreError> {
    let StreamPlan { stream, end, upto, .. } = planned;
    let (mut chain, missing) = Chain::find(target, &plan.remake.from, stream, end).await?;
    refuse_missing(missing)?;
    let stored = restoring.ends(stream).await?.last.max(Position(end.first.0.saturating_sub(1)));
    // Every record of AUDIT is read; of a large stream, only the records that are not restored yet.
    let compared = stored.min(*upto);
    if stream != AUDIT {
        chain.skip_to(compared.max(end.first));
    }
    let mut writer = restoring.writer(stream, stored);
    let mut again: Vec<Record> = Vec::new();
    loop {
        let segment = match next(&mut chain, target).await {
            Ok(Some(segment)) => segment,
            Ok(None) => break,
            // Everything to be restored comes before this segment.
            Err(RestoreError::Damaged(why)) if stream != AUDIT && writer.last() >= *upto => {
                tracing::warn!(stream, why, "it is not known which erasures the archive lists here");
                continue;
            }
            Err(e) => return Err(e),
        };
        segment.records.iter().for_each(&mut see);
        again.extend(segment.records.iter().filter_map(|record| told_again(record, *upto)));
        let records = whole(segment, plan.remake.layout.streams, gone);
        for record in records.iter().filter(|record| record.position == compared && compared >= end.first) {
            if !record.is_like(&restoring.record(stream, compared).await?) {
                return Err(NotRestored::Another { stream: stream.clone(), at: compared }.into());
            }
        }
        let begin = records.partition_point(|record| record.position <= stored);
        let until = records.partition_point(|record| record.position <= *upto);
        if begin < until {
            writer.write(&records[begin..until]).await?;
            written((until - begin) as u64);
        }
    }
    again.extend(behind_titles(&again));
    for (record, position) in again.iter_mut().zip(upto.0 + 1..) {
        record.position = Position(position);
    }
    let (there, missing) = again.split_at(again.partition_point(|record| record.position <= stored));
    for record in there {
        if !record.is_like(&restoring.record(stream, record.position).await?) {
            return Err(NotRestored::Another { stream: stream.clone(), at: record.position }.into());
        }
    }
    let last = Position(upto.0 + again.len() as u64);
    if stored > last && plan.streams.iter().any(|one| one.upto < one.end.last) {
        return Err(RestoreError::InTheWay(format!(
            "{stream} has events after {last}: an earlier point needs empty servers"
        )));
    }
    writer.write(missing).await?;
    written(missing.len() as u64);
    Ok(RestoredEnd { last: writer.last(), kept: Position(writer.last().0 - again.len() as u64) })
}

/// The records of a segment, with what an erasure leaves at each erased position. Erased text is never written, not
/// even for a moment.
fn whole(segment: Segment, streams: usize, gone: &BTreeSet<Position>) -> Vec<Record> {
    let Segment { begin, records, footer } = segment;
    let placeholder = |at: Position| Record::placeholder(&begin.stream, streams, at);
    if footer.holes.is_empty() && gone.is_empty() {
        return records;
    }
    let mut found = records.into_iter().peekable();
    let at = |at: u64| match found.next_if(|record| record.position.0 == at) {
        Some(record) if gone.contains(&record.position) => record.erased(&begin.stream, streams),
        Some(record) => record,
        None => placeholder(Position(at)),
    };
    (begin.first.0..=footer.last.0).map(at).collect()
}
