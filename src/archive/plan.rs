//! The plan of a restore: compares the archive with what the servers already have, and refuses what a restore would mix.

use std::collections::BTreeMap;

use crate::{
    archive::{
        ArchiveError, ArchiveHead, ArchiveTarget,
        chain::Chain,
        head::{self, AUDIT, StreamEnd},
        segment::Segment,
        told_again::{behind_titles, hides_again, told_again},
    },
    domain::{Epoch, Position, Time},
    log::{KeptDurable, Layout, NotRestored, OpenError, Record, Remade, Remake, Restoring},
};

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
    pub(super) superfluous: Vec<String>,
}

/// What a restore does with a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StreamPlan {
    /// The stream.
    pub stream: String,
    /// How far it is archived.
    pub(super) end: StreamEnd,
    /// The last position that is restored.
    pub upto: Position,
    /// The state of the stream on the servers, if it exists there.
    pub found: Option<Remade>,
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
    let found = with_finished(found, &head.epoch);
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
        let planned = StreamPlan { stream: stream.clone(), end: end.clone(), upto, found };
        refuse_later(target, restoring, &head.epoch, &planned, aim).await?;
        streams.push(planned);
    }
    streams.sort_by_key(|planned| planned.stream != AUDIT);
    let superfluous = found.into_keys().filter(|stream| !head.ends.contains_key(stream)).collect();
    let layout = Layout { streams: head.streams, replicas: replicas.unwrap_or(head.replicas) };
    let remake = Remake { epoch, from: head.epoch, former, layout };
    Ok(Plan { remake, streams, durables: head.durables, epochs, superfluous })
}

/// Takes streams that an interrupted restore has finished for streams that it has begun: they have its epoch already.
fn with_finished(mut found: BTreeMap<String, Remade>, from: &Epoch) -> BTreeMap<String, Remade> {
    let begun = found.values().find_map(|state| match state {
        Remade::Begun { from: its, epoch, .. } if its == from => Some(epoch.clone()),
        _ => None,
    });
    for state in found.values_mut() {
        if let Remade::Whole(Some(its)) = state
            && begun.as_ref() == Some(its)
        {
            *state = Remade::Begun { from: from.clone(), epoch: its.clone(), is_kept: None };
        }
    }
    found
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
    let is_kept =
        |state: &Remade| matches!(state, Remade::Whole(_) | Remade::Begun { is_kept: Some(true), .. });
    let kept = found.iter().any(|(stream, state)| stream != AUDIT && is_kept(state));
    if kept && begun.is_none() && chat.iter().all(|stream| is_whole(stream)) {
        return in_the_way(
            "all streams of the log exist and have events: a restore needs empty servers, or a log that has lost a \
             stream. Restore into other servers (VERBATIM_DATABASE_URL, and VERBATIM_NATS_OPERATOR_URL, which comes before \
             VERBATIM_NATS_URL), or delete the streams if you are sure that nobody needs them"
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

/// Refuses a stream that a restore to a later point, or from a newer archive, has begun: no event is deleted. A stream
/// that was not lost may go on after the end of the archive.
async fn refuse_later(
    target: &ArchiveTarget,
    restoring: &Restoring,
    epoch: &Epoch,
    planned: &StreamPlan,
    aim: &Aim,
) -> Result<(), RestoreError> {
    let StreamPlan { stream, end, upto, found } = planned;
    let is_kept = match found {
        None | Some(Remade::Empty) => return Ok(()),
        Some(Remade::Begun { is_kept, .. }) => is_kept.unwrap_or(true),
        Some(Remade::Whole(_)) => true,
    };
    if is_kept && *aim == Aim::End {
        return Ok(());
    }
    let stored = restoring.ends(stream).await?.last;
    // The last steps of a restore append one event to AUDIT and finish the streams. It may have been killed in between.
    let mut last = Position(upto.0 + u64::from(stream == AUDIT));
    if stored > last {
        last.0 += again(target, epoch, stream, end, *upto).await?;
    }
    while stored > last && hides_again(&restoring.record(stream, Position(last.0 + 1)).await?) {
        last.0 += 1;
    }
    if stored > last {
        return Err(RestoreError::InTheWay(format!(
            "{stream} has events after {last}: an earlier point, or an older archive, needs empty servers. A restore that \
             was interrupted continues with its own archive and point"
        )));
    }
    Ok(())
}

/// How many records a restore up to a position appends after it, because the archive lists erasures later.
async fn again(
    target: &ArchiveTarget,
    epoch: &Epoch,
    stream: &str,
    end: &StreamEnd,
    upto: Position,
) -> Result<u64, RestoreError> {
    let (mut chain, _) = Chain::find(target, epoch, stream, end).await?;
    chain.skip_to(Position(upto.0 + 1));
    let mut again: Vec<Record> = Vec::new();
    loop {
        match next(&mut chain, target).await {
            Ok(Some(segment)) => {
                again.extend(segment.records.iter().filter_map(|record| told_again(record, upto)));
            }
            Ok(None) => break,
            // A restore passes over it too.
            Err(RestoreError::Damaged(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok((again.len() + behind_titles(&again).len()) as u64)
}

pub(super) fn refuse_missing(missing: Vec<String>) -> Result<(), RestoreError> {
    missing.into_iter().next().map_or(Ok(()), |first| Err(RestoreError::Damaged(first)))
}

pub(super) async fn next(chain: &mut Chain, target: &ArchiveTarget) -> Result<Option<Segment>, RestoreError> {
    chain.read(target).await?.transpose().map_err(RestoreError::Damaged)
}
