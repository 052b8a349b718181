//! The chain of the segments of a stream: which files belong to it, in order, and whether each is the successor of the one
//! before.

use std::collections::BTreeMap;

use crate::{
    archive::{
        ArchiveError, ArchiveTarget,
        head::StreamEnd,
        segment::{self, Footer, Segment},
    },
    domain::{Epoch, Position},
};

/// The segments of a stream, in order.
#[derive(Debug)]
pub(super) struct Chain {
    epoch: Epoch,
    stream: String,
    links: Vec<(Position, Position)>,
    /// The footer of the segment that was read last.
    before: Option<Footer>,
    next: usize,
    end: StreamEnd,
}

impl Chain {
    /// Finds the segments of a stream. The problems are told by name: a segment that is missing.
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
        Ok((Self { epoch, stream, links, before: None, next: 0, end }, problems))
    }

    /// Passes over the segments that end before a position.
    pub(super) fn skip_to(&mut self, position: Position) {
        self.next = self.links.partition_point(|(_, last)| *last < position);
    }

    /// Reads the next segment and checks it, with its name and its place; `None` behind the last one. A bad segment is
    /// told by its name, and the next call reads the one behind it.
    pub(super) async fn read(
        &mut self,
        target: &ArchiveTarget,
    ) -> Result<Option<Result<Segment, String>>, ArchiveError> {
        let Some((first, last)) = self.links.get(self.next).copied() else { return Ok(None) };
        let name = segment::name(&self.epoch, &self.stream, first, last);
        let is_begun = self.next > 0;
        self.next += 1;
        let before = self.before.take();
        let bad = |why: &str| Ok(Some(Err(format!("{name}: {why}"))));
        let Some(file) = target.get(&name).await? else { return bad("it is missing") };
        let segment = match segment::read(&file) {
            Ok(segment) => segment,
            Err(why) => return bad(&why.to_string()),
        };
        let Segment { begin, records, footer } = &segment;
        if (&begin.epoch, &begin.stream, begin.first, footer.last) != (&self.epoch, &self.stream, first, last)
        {
            return bad(&format!(
                "it is another segment by its content, that of {} with {} to {}",
                begin.stream, begin.first, footer.last
            ));
        }
        let follows = (first.0..=last.0).eq(records.iter().map(|record| record.position.0));
        if !follows && footer.holes.is_empty() {
            return bad("its records do not follow one another");
        }
        // An erasure gives a segment another checksum, and its successor stays as it is.
        if let Some(before) = &before
            && !footer.predecessor.as_ref().is_some_and(|named| before.has_been(named))
        {
            return bad("it does not follow the segment before it, one of the two is of another archive");
        }
        if !is_begun && footer.predecessor.is_some() {
            return bad("it is the first segment, and says that another one is before it");
        }
        if last == self.end.last && !self.end.sha256.as_ref().is_some_and(|named| footer.has_been(named)) {
            return bad("it is not the last segment that HEAD.json names");
        }
        self.before = Some(footer.clone());
        Ok(Some(Ok(segment)))
    }
}
