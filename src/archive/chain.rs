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
        let by_first: BTreeMap<Position, Position> =
            files.iter().filter_map(|file| segment::positions(file)).collect();
        let (mut links, mut problems, mut next) = (Vec::new(), Vec::new(), end.first);
        let mut missing = |first: Position, last: Position| {
            problems.push(format!("log/{epoch}/{stream}: the segment with {first} to {last} is missing"));
        };
        for (first, last) in by_first.range(end.first..=end.last) {
            if *first > next {
                missing(next, Position(first.0 - 1));
            }
            links.push((*first, *last));
            next = Position(last.0 + 1);
        }
        if next <= end.last {
            missing(next, end.last);
        }
        let (epoch, stream, end) = (epoch.clone(), stream.to_owned(), end.clone());
        let ahead = FuturesOrdered::new();
        Ok((Self { epoch, stream, links, before: None, next: 0, ahead, end }, problems))
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
