//! The chain of the segments of a stream: which files belong to it, in order, and whether each of them follows the one
//! before it.

use std::collections::BTreeMap;

use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesOrdered};

use crate::{
    archive::{
        ArchiveError, ArchiveTarget,
        head::StreamEnd,
        segment::{self, Footer, Segment},
        target::KeptFile,
    },
    domain::{Epoch, Position},
};

/// How many segments are fetched at the same time, because a bucket takes a while to answer.
const AHEAD: usize = 4;

/// The segments of a stream, in order.
#[derive(Debug)]
pub(super) struct Chain {
    epoch: Epoch,
    stream: String,
    links: Vec<(Position, Position)>,
    /// The footer of the last segment that was read. A missing segment says nothing about the segment after it.
    before: Option<Footer>,
    next: usize,
    /// The files from `next` on that have been requested.
    ahead: FuturesOrdered<BoxFuture<'static, Result<Option<KeptFile>, ArchiveError>>>,
    end: StreamEnd,
    /// The files that are no part of the stream.
    strays: Vec<String>,
}

/// What the names of files say about the segments of a stream.
#[derive(Debug, PartialEq, Eq)]
struct Linked {
    /// The segments, in order.
    links: Vec<(Position, Position)>,
    /// The ranges without a segment.
    missing: Vec<(Position, Position)>,
    /// The segments that repeat what others have.
    strays: Vec<(Position, Position)>,
}

/// Finds the segments that cover a stream, from its end backwards. An archiver that was killed may have left a segment
/// behind that ends within a later one, and a copy of the archive may have kept it. A record that is read twice would
/// be restored twice.
fn linked(files: impl IntoIterator<Item = (Position, Position)>, end: &StreamEnd) -> Linked {
    let mut linked = Linked { links: Vec::new(), missing: Vec::new(), strays: Vec::new() };
    let mut by_last: BTreeMap<Position, Vec<Position>> = BTreeMap::new();
    for (first, last) in files {
        if first >= end.first && last <= end.last && first <= last {
            by_last.entry(last).or_default().push(first);
        }
    }
    let mut next = end.last.0 + 1;
    for (last, mut firsts) in by_last.into_iter().rev() {
        // The longest has what the others with the same end have.
        firsts.sort_unstable();
        let mut firsts = firsts.into_iter();
        if last.0 < next
            && let Some(first) = firsts.next()
        {
            if last.0 + 1 < next {
                linked.missing.push((Position(last.0 + 1), Position(next - 1)));
            }
            linked.links.push((first, last));
            next = first.0;
        }
        linked.strays.extend(firsts.map(|first| (first, last)));
    }
    if end.first.0 < next {
        linked.missing.push((end.first, Position(next - 1)));
    }
    linked.links.reverse();
    linked.missing.reverse();
    linked.strays.reverse();
    linked
}

impl Chain {
    /// Finds the segments of a stream. The problems name each missing segment.
    pub(super) async fn find(
        target: &ArchiveTarget,
        epoch: &Epoch,
        stream: &str,
        end: &StreamEnd,
    ) -> Result<(Self, Vec<String>), ArchiveError> {
        let files = target.list(&format!("log/{epoch}/{stream}")).await?;
        let Linked { links, missing, strays } =
            linked(files.iter().filter_map(|file| segment::positions(file)), end);
        let named = |(first, last): (Position, Position)| {
            format!("log/{epoch}/{stream}: the segment with {first} to {last} is missing")
        };
        let problems = missing.into_iter().map(named).collect();
        let strays =
            strays.into_iter().map(|(first, last)| segment::name(epoch, stream, first, last)).collect();
        let (epoch, stream, end) = (epoch.clone(), stream.to_owned(), end.clone());
        let ahead = FuturesOrdered::new();
        Ok((Self { epoch, stream, links, before: None, next: 0, ahead, end, strays }, problems))
    }

    /// The names of the files that are no part of the stream: what they have, other segments have as well.
    pub(super) fn strays(&self) -> &[String] {
        &self.strays
    }

    /// Skips the segments that end before a position. Call it before the first read.
    pub(super) fn skip_to(&mut self, position: Position) {
        self.next = self.links.partition_point(|(_, last)| *last < position);
    }

    /// The next file.
    async fn fetch(&mut self, target: &ArchiveTarget) -> Result<Option<KeptFile>, ArchiveError> {
        while self.ahead.len() < AHEAD
            && let Some((first, last)) = self.links.get(self.next + self.ahead.len())
        {
            let name = segment::name(&self.epoch, &self.stream, *first, *last);
            let target = target.clone();
            self.ahead.push_back(async move { target.get(&name).await }.boxed());
        }
        self.next += 1;
        self.ahead.next().await.transpose().map(Option::flatten)
    }

    /// Reads the next segment and checks its content, its name and its place; `None` after the last one. A bad segment
    /// is reported by its name, and the next call reads the segment after it.
    pub(super) async fn read(
        &mut self,
        target: &ArchiveTarget,
    ) -> Result<Option<Result<Segment, String>>, ArchiveError> {
        let Some((first, last)) = self.links.get(self.next).copied() else { return Ok(None) };
        let name = segment::name(&self.epoch, &self.stream, first, last);
        let is_begun = self.next > 0;
        let before = self.before.take().filter(|before| before.last.0 + 1 == first.0);
        let bad = |why: &str| Ok(Some(Err(format!("{name}: {why}"))));
        let Some(file) = self.fetch(target).await? else { return bad("it is missing") };
        let segment = match segment::read(&file.bytes) {
            Ok(segment) => segment,
            Err(why) => return bad(&why.to_string()),
        };
        let Segment { begin, records, footer } = &segment;
        if (&begin.epoch, &begin.stream, begin.first, footer.last) != (&self.epoch, &self.stream, first, last)
        {
            return bad(&format!(
                "its content is another segment, of {} with {} to {}",
                begin.stream, begin.first, footer.last
            ));
        }
        let follows = (first.0..=last.0).eq(records.iter().map(|record| record.position.0));
        if !follows && footer.holes.is_empty() {
            return bad("its records are not contiguous");
        }
        // An erasure gives a segment another checksum, and its successor stays as it is.
        if let Some(before) = &before
            && !footer.predecessor.as_ref().is_some_and(|named| before.has_been(named))
        {
            return bad("it does not follow the previous segment: one of the two belongs to another archive");
        }
        if !is_begun && footer.predecessor.is_some() {
            return bad("it is the first segment, but names a previous one");
        }
        if last == self.end.last && !self.end.sha256.as_ref().is_some_and(|named| footer.has_been(named)) {
            return bad("it is not the last segment that HEAD.json names");
        }
        self.before = Some(footer.clone());
        Ok(Some(Ok(segment)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(of: &[(u64, u64)]) -> Vec<(Position, Position)> {
        of.iter().map(|(first, last)| (Position(*first), Position(*last))).collect()
    }

    fn of(files: &[(u64, u64)], first: u64, last: u64) -> [Vec<(Position, Position)>; 3] {
        let end = StreamEnd { first: Position(first), last: Position(last), sha256: None, segments: 0 };
        let Linked { links, missing, strays } = linked(ranges(files), &end);
        [links, missing, strays]
    }

    #[test]
    fn segments_cover_a_stream_once_and_the_rest_is_named() {
        let whole = [(101, 200), (1, 100), (201, 230)];
        assert_eq!(of(&whole, 1, 230), [ranges(&[(1, 100), (101, 200), (201, 230)]), vec![], vec![]]);
        let left_behind = [(1, 100), (101, 150), (101, 200), (151, 230), (201, 230), (231, 240)];
        let covered = of(&left_behind, 1, 230);
        assert_eq!(covered[0], ranges(&[(1, 100), (101, 150), (151, 230)]));
        assert_eq!(covered[2], ranges(&[(101, 200), (201, 230)]), "what is beyond the end is no matter");
        assert_eq!(of(&[(3, 4), (8, 8)], 1, 9)[1], ranges(&[(1, 2), (5, 7), (9, 9)]));
        assert_eq!(of(&[], 5, 4), [vec![], vec![], vec![]], "an empty stream");
        assert_eq!(of(&[], 5, 6)[1], ranges(&[(5, 6)]));
    }
}
