//! One stream on its way into the archive: it is read in order, and written as segments.

use std::time::Duration;

use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep, sleep_until},
};

use crate::{
    archive::{
        ArchiveError, ArchiveTarget,
        claim::Term,
        head::StreamEnd,
        segment::{SegmentWriter, Written},
        target::Replaces,
    },
    domain::{Epoch, Position},
    log::{Log, RecordReader},
    telemetry::METRICS,
};

/// A segment is written at the latest this long after its first record.
const YOUNG: Duration = Duration::from_secs(10);

/// The wait before a hole is read again.
const AFTER_A_HOLE: Duration = Duration::from_secs(60);

/// A stream and how far it is archived.
pub(super) struct Kept {
    pub(super) epoch: Epoch,
    pub(super) stream: String,
    pub(super) end: StreamEnd,
    /// Where the archiver stops; `None`: never.
    pub(super) until: Option<Position>,
}

/// A stream whose archive has made progress.
pub(super) struct Further {
    pub(super) stream: String,
    pub(super) end: StreamEnd,
}

/// Archives a stream: for ever, or up to a position.
pub(super) async fn keep(
    log: &Log,
    target: &ArchiveTarget,
    kept: Kept,
    term: Term,
    mut flush: watch::Receiver<u64>,
    further: mpsc::Sender<Further>,
) -> Result<(), ArchiveError> {
    let Kept { epoch, stream, mut end, until } = kept;
    let mut reader = log.records(&stream, end.last);
    let is_done = |end: &StreamEnd| until.is_some_and(|until| end.last >= until);
    while !is_done(&end) {
        let written = match next_segment(&epoch, &stream, &mut reader, &end, until, &mut flush).await {
            // The other streams are archived meanwhile.
            Err(ArchiveError::Hole(damaged)) if until.is_none() => {
                METRICS.archive_refusals.inc();
                tracing::error!(stream = damaged.stream, last = %damaged.last, why = damaged.why,
                    "could not archive a stream beyond a hole that nothing explains; see deploy/DISASTERS.md");
                sleep(AFTER_A_HOLE).await;
                reader = log.records(&stream, end.last);
                continue;
            }
            written => written?,
        };
        let Some(Written { name, file, footer }) = written else { continue };
        term.is_valid()?;
        target.put(&name, file, Replaces::Nothing).await?;
        METRICS.archived.inc_by(footer.records);
        end = StreamEnd {
            first: end.first,
            last: footer.last,
            sha256: Some(footer.sha256),
            segments: end.segments + 1,
        };
        let _ = further.send(Further { stream: stream.clone(), end: end.clone() }).await;
    }
    Ok(())
}

/// Reads until a segment is full, old enough, or asked for.
async fn next_segment(
    epoch: &Epoch,
    stream: &str,
    reader: &mut RecordReader,
    end: &StreamEnd,
    until: Option<Position>,
    flush: &mut watch::Receiver<u64>,
) -> Result<Option<Written>, ArchiveError> {
    let failed = |error| ArchiveError::File { path: stream.to_owned(), error };
    let mut writer = SegmentWriter::begin(epoch, stream, Position(end.last.0 + 1)).map_err(failed)?;
    let mut due: Option<Instant> = None;
    while !writer.is_full() && until.is_none_or(|until| writer.last() < until) {
        let records = tokio::select! {
            records = reader.batch() => match records {
                Ok(records) => records,
                // The records before a hole are good, and are kept.
                Err(_) if !writer.is_empty() => break,
                Err(damaged) => return Err(damaged.into()),
            },
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => break,
            changed = flush.changed() => match changed {
                Ok(()) => break,
                Err(_) => return Err(ArchiveError::Lost),
            },
        };
        due.get_or_insert_with(|| Instant::now() + YOUNG);
        for record in &records {
            writer.add(record).map_err(failed)?;
        }
    }
    if writer.is_empty() {
        return Ok(None);
    }
    writer.end(end.sha256.clone()).map(Some).map_err(failed)
}
