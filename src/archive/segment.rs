//! A segment: consecutive records of one stream, as one file.
//!
//! The file is a Zstandard frame, followed by a skippable frame with the SHA-256 of the first, so `zstd -d` reads it
//! and every byte is covered. The frame holds a line of JSON about the segment, the records, and a footer in JSON. A
//! record is its length, position, time, subject, headers, payload and a CRC-32C; integers are little-endian.

use std::{
    collections::BTreeMap,
    io::{self, Read as _, Write as _},
};

use aws_lc_rs::digest::{Context, SHA256, digest};
use serde::{Deserialize, Serialize};

use crate::{
    archive::crc32c::crc32c,
    domain::{Epoch, EventId, Position},
    log::Record,
};

/// The most bytes of the records of a segment before compression; a segment may exceed it by one record.
pub(super) const MOST: usize = 16 << 20;
/// The most bytes that are read of a segment, after decompression.
const MOST_READ: u64 = 80 << 20;
/// The level of Zstandard.
const LEVEL: i32 = 3;
/// The first bytes of a frame that readers of Zstandard skip, and its length.
const SKIPPED: [u8; 8] = [0x50, 0x2a, 0x4d, 0x18, 32, 0, 0, 0];
const TRAILER: usize = SKIPPED.len() + 32;
/// The most former checksums that a segment names.
const FORMER: usize = 100;

/// The first line of a segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Begin {
    format: u32,
    pub(super) epoch: Epoch,
    pub(super) stream: String,
    pub(super) first: Position,
}

/// A hole that is explained: an erasure has removed these positions from the stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HoleEntry {
    pub(super) first: Position,
    pub(super) last: Position,
    /// The erasure that explains it.
    pub(super) request_id: String,
}

/// The end of a segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Footer {
    pub(super) last: Position,
    pub(super) records: u64,
    /// The checksum of everything before the footer.
    pub(super) sha256: String,
    /// The checksum of the previous segment; none in the first one.
    pub(super) predecessor: Option<String>,
    /// The positions without a record.
    pub(super) holes: Vec<HoleEntry>,
    /// The checksums that this segment had before erasures rewrote it, the first one first.
    pub(super) rewritten: Vec<String>,
}

impl Footer {
    /// Whether the segment has this checksum, or had it before a rewrite.
    pub(super) fn has_been(&self, sha256: &str) -> bool {
        self.sha256 == sha256 || self.rewritten.iter().any(|former| former == sha256)
    }
}

/// A segment that was read.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) begin: Begin,
    pub(super) records: Vec<Record>,
    pub(super) footer: Footer,
}

/// A segment that is being written.
pub(super) struct SegmentWriter {
    frame: zstd::stream::write::Encoder<'static, Vec<u8>>,
    hash: Context,
    begin: Begin,
    last: Position,
    records: u64,
    bytes: usize,
}

/// A finished segment.
pub(super) struct Written {
    pub(super) name: String,
    pub(super) file: Vec<u8>,
    pub(super) footer: Footer,
}

/// Why a file is no segment.
#[derive(Debug, thiserror::Error)]
pub(super) enum BadSegment {
    #[error("its content has changed since it was written")]
    Changed,
    #[error("it is not a segment: {0}")]
    Malformed(String),
}

impl From<io::Error> for BadSegment {
    fn from(error: io::Error) -> Self {
        Self::Malformed(error.to_string())
    }
}

/// The name of a segment.
pub(super) fn name(epoch: &Epoch, stream: &str, first: Position, last: Position) -> String {
    format!("log/{epoch}/{stream}/{first}-{last}.vseg.zst")
}

/// The positions in the name of a segment, without its folder.
pub(super) fn positions(file: &str) -> Option<(Position, Position)> {
    let (first, last) = file.strip_suffix(".vseg.zst")?.split_once('-')?;
    Some((Position(first.parse().ok()?), Position(last.parse().ok()?)))
}

/// A checksum in hexadecimal digits.
pub(super) fn sha256(bytes: &[u8]) -> String {
    hex(digest(&SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl SegmentWriter {
    pub(super) fn begin(epoch: &Epoch, stream: &str, first: Position) -> io::Result<Self> {
        let begin = Begin { format: 1, epoch: epoch.clone(), stream: stream.to_owned(), first };
        let frame = zstd::stream::write::Encoder::new(Vec::new(), LEVEL)?;
        let before = Position(first.0 - 1);
        let mut writer =
            Self { frame, hash: Context::new(&SHA256), begin, last: before, records: 0, bytes: 0 };
        let mut line = serde_json::to_vec(&writer.begin)?;
        line.push(b'\n');
        writer.put(&line)?;
        Ok(writer)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        self.frame.write_all(bytes)
    }

    /// Adds the next record.
    pub(super) fn add(&mut self, record: &Record) -> io::Result<()> {
        let body = body(record);
        self.put(&(body.len() as u32).to_le_bytes())?;
        self.put(&body)?;
        self.put(&crc32c(&body).to_le_bytes())?;
        self.last = record.position;
        self.records += 1;
        self.bytes += body.len();
        Ok(())
    }

    pub(super) fn last(&self) -> Position {
        self.last
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records == 0
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes >= MOST
    }

    pub(super) fn end(self, predecessor: Option<String>) -> io::Result<Written> {
        self.end_again(predecessor, Vec::new(), Vec::new())
    }

    fn end_again(
        mut self,
        predecessor: Option<String>,
        holes: Vec<HoleEntry>,
        rewritten: Vec<String>,
    ) -> io::Result<Written> {
        self.put(&0_u32.to_le_bytes())?;
        let footer = Footer {
            last: self.last,
            records: self.records,
            sha256: hex(self.hash.finish().as_ref()),
            predecessor,
            holes,
            rewritten,
        };
        self.frame.write_all(&serde_json::to_vec(&footer)?)?;
        let mut file = self.frame.finish()?;
        let sum = digest(&SHA256, &file);
        file.extend_from_slice(&SKIPPED);
        file.extend_from_slice(sum.as_ref());
        let Begin { epoch, stream, first, .. } = &self.begin;
        Ok(Written { name: name(epoch, stream, *first, footer.last), file, footer })
    }
}

fn body(record: &Record) -> Vec<u8> {
    let Record { position, stored_at, subject, headers, payload } = record;
    let mut body = Vec::with_capacity(24 + subject.len() + headers.len() + payload.len());
    body.extend_from_slice(&position.0.to_le_bytes());
    body.extend_from_slice(&stored_at.to_le_bytes());
    body.extend_from_slice(&(subject.len() as u32).to_le_bytes());
    body.extend_from_slice(&(headers.len() as u32).to_le_bytes());
    body.extend_from_slice(subject.as_bytes());
    body.extend_from_slice(headers);
    body.extend_from_slice(payload);
    body
}

/// Reads a segment and verifies its checksums. The caller checks the name of the file and its place in the chain.
pub(super) fn read(file: &[u8]) -> Result<Segment, BadSegment> {
    let end = file.len().checked_sub(TRAILER).ok_or(BadSegment::Changed)?;
    let (frame, trailer) = file.split_at(end);
    if trailer[..SKIPPED.len()] != SKIPPED || trailer[SKIPPED.len()..] != *digest(&SHA256, frame).as_ref() {
        return Err(BadSegment::Changed);
    }
    let mut content = Vec::new();
    zstd::stream::read::Decoder::with_buffer(frame)?.take(MOST_READ).read_to_end(&mut content)?;
    let malformed = |what: &str| BadSegment::Malformed(format!("{what} cannot be read"));
    let line = content.iter().position(|byte| *byte == b'\n').ok_or_else(|| malformed("its first line"))?;
    let begin: Begin = serde_json::from_slice(&content[..line]).map_err(|_| malformed("its first line"))?;
    if begin.format != 1 {
        return Err(BadSegment::Malformed(format!(
            "its format is {}, but this version reads only 1: use a newer version",
            begin.format
        )));
    }
    let mut rest = bytes::Bytes::from(content);
    let whole = rest.clone();
    let mut take = |length: usize| (rest.len() >= length).then(|| rest.split_to(length));
    take(line + 1).ok_or_else(|| malformed("its first line"))?;
    let mut records = Vec::new();
    loop {
        let number = |bytes: &[u8]| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        let length = number(&take(4).ok_or_else(|| malformed("a record"))?);
        if length == 0 {
            break;
        }
        let body = take(length as usize).ok_or_else(|| malformed("a record"))?;
        let sum = number(&take(4).ok_or_else(|| malformed("a record"))?);
        if crc32c(&body) != sum {
            return Err(BadSegment::Changed);
        }
        records.push(record(body).ok_or_else(|| malformed("a record"))?);
    }
    let footer: Footer = serde_json::from_slice(&rest).map_err(|_| malformed("its footer"))?;
    if sha256(&whole[..whole.len() - rest.len()]) != footer.sha256 {
        return Err(BadSegment::Changed);
    }
    Ok(Segment { begin, records, footer })
}

fn record(mut body: bytes::Bytes) -> Option<Record> {
    let mut take = |length: usize| (body.len() >= length).then(|| body.split_to(length));
    let position = u64::from_le_bytes(take(8)?.as_ref().try_into().ok()?);
    let stored_at = i64::from_le_bytes(take(8)?.as_ref().try_into().ok()?);
    let subject = u32::from_le_bytes(take(4)?.as_ref().try_into().ok()?);
    let headers = u32::from_le_bytes(take(4)?.as_ref().try_into().ok()?);
    let subject = String::from_utf8(take(subject as usize)?.to_vec()).ok()?;
    let headers = take(headers as usize)?;
    Some(Record { position: Position(position), stored_at, subject, headers, payload: body })
}

/// Rewrites a segment without these events, with the same content in their place as if an erased log had been archived.
/// `None` if the segment has none of them.
pub(super) fn without(
    file: &[u8],
    gone: &BTreeMap<Position, EventId>,
    streams: usize,
) -> Result<Option<Written>, BadSegment> {
    let Segment { begin, mut records, footer } = read(file)?;
    let mut has_changed = false;
    for record in &mut records {
        let is_gone = |id: &EventId| record.header("ce-id") == Some(&*id.to_string());
        if gone.get(&record.position).is_some_and(is_gone) {
            let left = record.erased(&begin.stream, streams);
            has_changed |= left != *record;
            *record = left;
        }
    }
    if !has_changed {
        return Ok(None);
    }
    let mut writer = SegmentWriter::begin(&begin.epoch, &begin.stream, begin.first)?;
    for record in &records {
        writer.add(record)?;
    }
    let Footer { sha256, predecessor, holes, mut rewritten, .. } = footer;
    // The first checksum stays: the next segment and the manifest name it, and never learn of a later one.
    if rewritten.len() >= FORMER {
        rewritten.remove(1);
    }
    rewritten.push(sha256);
    Ok(Some(writer.end_again(predecessor, holes, rewritten)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(first: u64, last: u64) -> Written {
        let epoch = Epoch("one".into());
        let mut writer = SegmentWriter::begin(&epoch, "CHAT_0", Position(first)).expect("a segment");
        for at in first..=last {
            writer.add(&sample(at)).expect("a record");
        }
        writer.end(Some("before".into())).expect("a file")
    }

    fn id(at: u64) -> EventId {
        EventId::known(uuid::Uuid::from_u128(u128::from(at) << 64))
    }

    fn sample(at: u64) -> Record {
        Record {
            position: Position(at),
            stored_at: 1_700_000_000_000_000_000 + at as i64,
            subject: "chat.00.id.timeline".into(),
            headers: format!("ce-id: {}\r\nce-type: two\r\n", id(at)).into(),
            payload: format!("{{\"text\":\"Grüße {at}\"}}").into(),
        }
    }

    #[test]
    fn a_segment_is_read_as_it_was_written_and_so_does_zstd() {
        let Written { name, file, footer } = written(7, 42);
        assert_eq!(name, "log/one/CHAT_0/7-42.vseg.zst");
        assert_eq!(positions("7-42.vseg.zst"), Some((Position(7), Position(42))));
        let segment = read(&file).expect("a segment");
        assert_eq!(segment.records, (7..=42).map(sample).collect::<Vec<_>>());
        assert_eq!((segment.footer.clone(), segment.begin.first), (footer, Position(7)));
        assert_eq!(segment.footer.predecessor.as_deref(), Some("before"));
        let mut all = Vec::new();
        zstd::stream::read::Decoder::new(&*file).expect("a frame").read_to_end(&mut all).expect("two frames");
        assert!(all.ends_with(b"\"rewritten\":[]}"));
    }

    #[test]
    fn each_flipped_bit_and_each_cut_is_seen() {
        let Written { file, .. } = written(1, 3);
        for at in 0..file.len() {
            let mut flipped = file.clone();
            flipped[at] ^= 1;
            assert!(read(&flipped).is_err(), "byte {at}");
            assert!(read(&file[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn what_is_gone_is_written_out_of_a_segment_and_all_else_stays() {
        let first = written(7, 42);
        let gone = |events: &[(u64, u64)]| -> BTreeMap<Position, EventId> {
            events.iter().map(|(at, event)| (Position(*at), id(*event))).collect()
        };
        let two = gone(&[(9, 9), (12, 12), (99, 99)]);
        let again = without(&first.file, &two, 1).expect("a segment").expect("it has two of them");
        assert_eq!(again.name, first.name);
        let segment = read(&again.file).expect("a segment");
        let left = (7..=42).map(|at| match at {
            9 | 12 => Record::placeholder("CHAT_0", 1, Position(at)),
            _ => sample(at),
        });
        assert_eq!(segment.records, left.collect::<Vec<_>>());
        assert_eq!(segment.footer.predecessor, first.footer.predecessor);
        assert_ne!(segment.footer.sha256, first.footer.sha256);
        assert!(segment.footer.has_been(&first.footer.sha256));

        let third = without(&again.file, &gone(&[(20, 20)]), 1).expect("a segment").expect("it has it");
        let former = [first.footer.sha256, again.footer.sha256];
        assert_eq!(read(&third.file).expect("a segment").footer.rewritten, former);

        // An event that is already gone, or another event at the same position, stays as it is.
        assert!(without(&third.file, &gone(&[(9, 9), (20, 20), (21, 22)]), 1).expect("a segment").is_none());
        let mut flipped = third.file.clone();
        flipped[30] ^= 1;
        assert!(
            without(&flipped, &gone(&[(30, 30)]), 1).is_err(),
            "what is damaged is not made to look whole"
        );
    }

    #[test]
    fn a_segment_names_its_first_checksum_and_so_many_of_the_latest() {
        let first = written(1, 2 * FORMER as u64);
        let mut file = first.file;
        for at in 1..=FORMER as u64 + 5 {
            let gone = [(Position(at), id(at))].into();
            file = without(&file, &gone, 1).expect("a segment").expect("it has it").file;
        }
        let rewritten = read(&file).expect("a segment").footer.rewritten;
        assert_eq!((rewritten.len(), &rewritten[0]), (FORMER, &first.footer.sha256));
    }
}
