//! Going through what was missed, stream by stream, page by page.

use std::collections::{BTreeMap, HashMap};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::Behind;
use crate::{
    domain::{ConversationId, Fold, Position, UserId},
    log::{Log, Recorded, Replay, Unavailable},
    views::Memberships,
};

/// Conversations that are folded side by side.
const FOLDS: usize = 16;

/// What a user has missed between two points.
pub struct Missed {
    log: Log,
    user: UserId,
    /// Everything up to here has been given.
    at: Vec<Position>,
    to: Vec<Position>,
    /// The conversations of each stream in which something may have happened.
    moved: BTreeMap<usize, Vec<ConversationId>>,
    reading: Option<Reading>,
    /// The last position that was given of each conversation.
    heads: HashMap<ConversationId, Position>,
}

/// One stream that is being read.
struct Reading {
    stream: usize,
    replay: Replay,
    folds: HashMap<ConversationId, Fold>,
}

/// An event that the user may see.
#[derive(Debug, Clone)]
pub struct Shown {
    /// The event.
    pub recorded: Recorded,
    /// The position before it in the chain of its conversation.
    pub previous: Position,
}

/// Some of what was missed, and where the user is after it.
#[derive(Debug, Clone)]
pub struct Page {
    /// The events, in the order of their stream.
    pub events: Vec<Shown>,
    /// Everything up to here has been given.
    pub at: Vec<Position>,
}

impl Missed {
    pub(super) fn new(
        log: Log,
        user: UserId,
        from: Vec<Position>,
        to: Vec<Position>,
        memberships: &Memberships,
    ) -> Self {
        let mut moved: BTreeMap<usize, Vec<ConversationId>> = BTreeMap::new();
        for (id, last) in memberships.present.iter().chain(&memberships.past) {
            let stream = log.stream_of(*id);
            let of_stream = moved.entry(stream).or_default();
            let may_have_moved = *last > from[stream] || memberships.parked.contains(id);
            if may_have_moved && !of_stream.contains(id) {
                of_stream.push(*id);
            }
        }
        moved.retain(|stream, ids| !ids.is_empty() && from[*stream] < to[*stream]);
        Self { log, user, at: from, to, moved, reading: None, heads: HashMap::new() }
    }

    /// The last position that was given of each conversation in which something was.
    pub fn heads(&self) -> &HashMap<ConversationId, Position> {
        &self.heads
    }

    /// The next events, at most `limit` of the log's (fewer may be for this user to see); `None`
    /// when everything has been given.
    pub async fn page(&mut self, limit: usize) -> Result<Option<Page>, Behind> {
        loop {
            let Some(reading) = &mut self.reading else {
                let Some((stream, ids)) = self.moved.pop_first() else {
                    return Ok(self.rest());
                };
                self.reading = Some(self.begin(stream, &ids).await?);
                continue;
            };
            let read = reading.replay.page(limit).await?;
            let (stream, end) = (reading.stream, self.to[reading.stream]);
            let is_over = read.is_empty() || read.iter().any(|recorded| recorded.position >= end);
            let events = self.show(read.into_iter().filter(|recorded| recorded.position <= end));
            if is_over {
                self.at[stream] = end;
                if let Some(reading) = self.reading.take() {
                    reading.replay.end().await;
                }
            }
            if !events.is_empty() {
                return Ok(Some(Page { events, at: self.at.clone() }));
            }
        }
    }

    /// After all streams: nothing more to show, and the user is where they wanted to be.
    fn rest(&mut self) -> Option<Page> {
        if self.at == self.to {
            return None;
        }
        self.at.clone_from(&self.to);
        Some(Page { events: Vec::new(), at: self.at.clone() })
    }

    /// Folds the conversations as they were at the cursor, and reads on from there.
    async fn begin(&self, stream: usize, ids: &[ConversationId]) -> Result<Reading, Behind> {
        let from = self.at[stream];
        let folds = stream::iter(ids.to_vec())
            .map(|id| async move { Ok::<_, Unavailable>((id, self.log.fold(id, Some(from)).await?)) })
            .buffer_unordered(FOLDS)
            .try_collect()
            .await?;
        Ok(Reading { stream, replay: self.log.replay(stream, from, ids).await?, folds })
    }

    /// What of it counts and may be seen by this user.
    fn show(&mut self, read: impl Iterator<Item = Recorded>) -> Vec<Shown> {
        let Some(Reading { folds, stream, .. }) = &mut self.reading else { return Vec::new() };
        let mut events = Vec::new();
        for recorded in read {
            self.at[*stream] = recorded.position;
            let Some(fold) = folds.get_mut(&recorded.conversation) else { continue };
            let was_in = fold.conversation.membership(self.user).is_some();
            let Some(previous) = recorded.apply_to(fold) else { continue };
            let is_in = fold.conversation.membership(self.user).is_some();
            if was_in || is_in {
                self.heads.insert(recorded.conversation, recorded.position);
                events.push(Shown { recorded, previous });
            }
        }
        events
    }
}
