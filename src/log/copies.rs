//! Erasing the copies of parked events. The stream REPLAY delivers parked events to consumers again, and keeps a copy
//! until its consumer has acknowledged it, or for 7 days.

use async_nats::jetstream::stream::Stream;

use crate::{
    domain::Position,
    log::{
        Log, Unavailable,
        absent::if_there,
        envelope,
        erase::{delete_at, follow},
        parked::event_of,
        streams::{
            layout::{self, is_not_found},
            parked::{REPLAY, REPLAYS},
        },
    },
};

/// The copies of erased events that were found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ErasedCopies {
    /// The sequences of the copies.
    pub sequences: Vec<u64>,
    /// Whether all replicas were as far as the leader when it was asked.
    pub replicas_follow: bool,
    /// Whether there has ever been a copy.
    pub were_there: bool,
}

/// The last sequence of the stream, and the number of positions that were listed as erased, at a time when no copy was
/// one of an erased event. Until one of the two grows, there is no such copy.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct CopiesRead {
    last: u64,
    listed: usize,
}

impl Log {
    /// The name of the stream of copies.
    pub(crate) const COPIES: &str = REPLAY;

    /// Looks for copies of events that the log lists as erased, as far as this process knows the lists.
    pub(crate) async fn erased_copies(&self, read: &mut CopiesRead) -> Result<ErasedCopies, Unavailable> {
        let stream = match self.jetstream.get_stream(REPLAY).await {
            Ok(stream) => stream,
            // A log of an older version has no such stream until it is migrated.
            Err(e) if is_not_found(e.kind()) => {
                return Ok(ErasedCopies { sequences: Vec::new(), replicas_follow: true, were_there: false });
            }
            Err(e) => return Err(Unavailable::because(e)),
        };
        let replicas_follow = follow(stream.cached_info());
        let listed = (0..self.layout.streams).map(|stream| self.erased(stream).count()).sum();
        let last = stream.cached_info().state.last_sequence;
        let now = CopiesRead { last, listed };
        let sequences = if *read == now { Vec::new() } else { self.found_in(&stream).await? };
        if sequences.is_empty() {
            *read = now;
        }
        Ok(ErasedCopies { sequences, replicas_follow, were_there: last > 0 })
    }

    async fn found_in(&self, copies: &Stream) -> Result<Vec<u64>, Unavailable> {
        let mut sequences = Vec::new();
        let mut from = copies.cached_info().state.first_sequence;
        loop {
            let copy = if_there(copies.get_first_raw_message_by_subject(REPLAYS, from).await);
            let Some(copy) = copy.map_err(Unavailable::because)? else { return Ok(sequences) };
            let erased = event_of(&copy.headers).and_then(|(stream, position)| {
                let stream = layout::index(&stream).filter(|stream| *stream < self.layout.streams)?;
                self.erased(stream).at(Position(position))
            });
            // An event of an earlier log may have been at the same position.
            if erased.is_some_and(|erased| erased.id == envelope::id(Some(&copy.headers))) {
                sequences.push(copy.sequence);
            }
            from = copy.sequence + 1;
        }
    }

    /// Deletes a copy. Its consumer may be faster.
    pub(crate) async fn erase_copy(&self, sequence: u64) -> Result<(), Unavailable> {
        let copies = self.jetstream.get_stream_no_info(REPLAY).await.map_err(Unavailable::because)?;
        delete_at(&copies, Position(sequence)).await.map_err(Unavailable::because)
    }
}
