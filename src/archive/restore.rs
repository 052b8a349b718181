//! Restoring a log from an archive: writes each record again at its position.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use crate::{
    archive::{
        AccountFates, ArchiveTarget,
        chain::Chain,
        head::AUDIT,
        plan::{Plan, RestoreError, StreamPlan, next, refuse_missing},
        segment::Segment,
        told_again::{behind_titles, told_again},
    },
    domain::{Epoch, Position},
    log::{NotRestored, Record, Remade, Restoring, Writer},
};

/// How many streams are written concurrently.
const AT_ONCE: usize = 4;

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

/// Where a restored stream ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RestoredEnd {
    /// Its last record.
    pub last: Position,
    /// Its last record from the archive. The records after it repeat erasures that the archive lists later.
    pub kept: Position,
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
    if !chain.strays().is_empty() {
        tracing::warn!(files = ?chain.strays(), "ignored segments whose records others have");
    }
    let stored = restoring.ends(stream).await?.last.max(Position(end.first.0.saturating_sub(1)));
    // Every record of AUDIT is read; of a large stream, only the records that are not restored yet.
    let compared = stored.min(*upto);
    if stream != AUDIT {
        chain.skip_to(compared.max(end.first));
    }
    let mut writer = Writer::new(restoring, stream, stored);
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
        let begin = records.partition_point(|record| record.position <= writer.last());
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
    writer.write(missing).await?;
    written(missing.len() as u64);
    // A stream that was not lost may go on after the end of the archive. In any other, this restore has appended what
    // comes after the point, and it may have been interrupted after that.
    let goes_on =
        matches!(planned.found, Some(Remade::Whole(_) | Remade::Begun { is_kept: None | Some(true), .. }));
    let kept = if goes_on { Position(writer.last().0 - again.len() as u64) } else { *upto };
    Ok(RestoredEnd { last: writer.last(), kept })
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
