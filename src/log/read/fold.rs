//! A conversation folded from its events.

use std::{collections::HashMap, sync::Arc};

use futures_util::{StreamExt as _, stream};

use crate::{
    domain::{ConversationId, Fold, Lane, Position, Recorded},
    log::{Log, NotRead, Unavailable},
    telemetry::METRICS,
};

/// The events of a roster that were read, and the roster before them.
#[derive(Default)]
struct Roster {
    /// The beginning of the conversation, if it was read.
    begun: Position,
    start: Fold,
    events: Vec<Recorded>,
}

impl Roster {
    fn begun(events: Vec<Recorded>) -> Self {
        let begun = events.first().filter(|first| first.begins()).map(|first| first.position);
        Self { begun: begun.unwrap_or_default(), start: Fold::default(), events }
    }

    fn read(&self) -> Position {
        self.events.last().map_or(Position::START, |event| event.position)
    }

    /// The roster as it was before a position. The position must be after the start.
    fn before(&self, position: Position) -> Fold {
        let mut fold = self.start.clone();
        for recorded in self.events.iter().take_while(|recorded| recorded.position < position) {
            recorded.apply_to(&mut fold);
        }
        fold
    }
}

impl Recorded {
    /// Applies this event to a fold. Returns the position before it in the chain, or `None` if it is void, cannot be
    /// read or was read before.
    pub fn apply_to(&self, fold: &mut Fold) -> Option<Position> {
        let seen = fold.read;
        if self.poison.is_some() {
            fold.read = seen.max(self.position);
            return None;
        }
        let previous = fold.apply(self.position, self.actor, self.lane, self.event.as_ref());
        if previous.is_none() && self.position > seen {
            METRICS.void_events.inc();
        }
        previous
    }
}

/// The most conversations of one look-up. With their lanes they stay far below the 1,024 messages that nats-server
/// returns at once.
pub(crate) const FOLDS: usize = 64;
/// Rosters that are read at the same time.
const ROSTERS: usize = 8;

impl Log {
    /// Folds a conversation up to and including a position, or to its end. The fold has the whole roster and the last
    /// event that counts.
    pub async fn fold(&self, id: ConversationId, up_to: Option<Position>) -> Result<Fold, NotRead> {
        let erased = self.erased(self.stream_of(id));
        loop {
            let explained = erased.count();
            let heads = match up_to {
                Some(limit) => self.heads(id, limit).await?,
                None => self.heads_of(&[id]).await?,
            };
            let (begun, fold) = self.folded(id, heads).await?;
            match self.damage(self.stream_of(id), begun, up_to.unwrap_or(Position::MAX)).await? {
                Some(damaged) => return Err(damaged.into()),
                None if erased.count() == explained => return Ok(fold),
                // A hole was explained in the meantime, so the skeleton of its event was not read.
                None => {}
            }
        }
    }

    /// Folds conversations of one stream, at most [`FOLDS`], to their ends, with one look-up for all of them, and one
    /// more for each whose roster has changed since it began. The results are in the order of `ids`.
    pub async fn fold_all(&self, ids: &[ConversationId]) -> Vec<Result<Fold, Unavailable>> {
        let Some(erased) = ids.first().map(|id| self.erased(self.stream_of(*id))) else { return Vec::new() };
        loop {
            let explained = erased.count();
            let folded = self.fold_once(ids).await;
            if erased.count() == explained {
                return folded;
            }
        }
    }

    async fn fold_once(&self, ids: &[ConversationId]) -> Vec<Result<Fold, Unavailable>> {
        let mut heads: HashMap<ConversationId, Vec<Recorded>> = HashMap::new();
        match self.heads_of(ids).await {
            Ok(found) => {
                for recorded in found {
                    heads.entry(recorded.conversation).or_default().push(recorded);
                }
            }
            Err(e) => return ids.iter().map(|_| Err(e.clone().into())).collect(),
        }
        let all: Vec<_> = ids.iter().map(|id| (*id, heads.remove(id).unwrap_or_default())).collect();
        let folded = stream::iter(all).map(|(id, heads)| self.folded(id, heads)).buffered(ROSTERS);
        let folded: Vec<_> = folded.collect().await;
        let Some(stream) = ids.first().map(|id| self.stream_of(*id)) else { return Vec::new() };
        let extent = self.extent(stream).await;
        let check = |folded: Result<(Position, Fold), NotRead>| {
            let ((begun, fold), extent) = (folded?, extent.as_ref().map_err(Clone::clone)?);
            match self.damage_of(stream, extent, begun, Position::MAX) {
                None => Ok(fold),
                Some(damaged) => Err(Unavailable::because(damaged)),
            }
        };
        folded.into_iter().map(check).collect()
    }

    /// Folds a conversation up to its heads, and returns where it begins. The heads are read first and limit the fold:
    /// an event that is stored between the two reads still comes from the follower. The caller checks for holes only
    /// *afterwards*, because a missing event may have been one of this conversation, unless its position is before the
    /// beginning.
    async fn folded(&self, id: ConversationId, heads: Vec<Recorded>) -> Result<(Position, Fold), NotRead> {
        let read = heads.iter().map(|recorded| recorded.position).max().unwrap_or_default();
        let roster = match heads.iter().find(|recorded| recorded.lane == Lane::Roster) {
            None => Roster::default(),
            // The beginning is appended only to an empty roster, so here it is the whole roster.
            Some(last) if last.begins() => Roster::begun(vec![last.clone()]),
            Some(last) => self.roster(id, last.position).await?,
        };
        let head = self.last_that_counts(id, &roster, heads).await?;
        let fold = roster.before(Position::MAX);
        Ok((roster.begun, Fold { head, read, ..fold }))
    }

    /// The roster up to and including its event at `last`: a short one is read completely, a long one from a snapshot
    /// on. The first event that is read proves the snapshot. A snapshot of another log, as in views that were restored
    /// from a backup, is not used.
    async fn roster(&self, id: ConversationId, last: Position) -> Result<Roster, NotRead> {
        let mut roster = Roster::begun(self.roster_page(id, Position(1), last).await?);
        if roster.read() < last
            && let Some(snapshot) = self.snapshots.last(id, last).await
            && snapshot.at.position > roster.read()
        {
            let events = self.roster_page(id, snapshot.at.position, last).await?;
            if events.first().is_some_and(|event| event.point() == snapshot.at) {
                roster.start = snapshot.into();
                // The view may not know yet that the title of its snapshot is erased.
                let conversation = &mut roster.start.conversation;
                let erased = self.erased(self.stream_of(id));
                if conversation.titled().is_some_and(|titled| erased.at(titled.at).is_some()) {
                    Arc::make_mut(conversation).forget_title();
                }
                roster.events = events;
            } else {
                tracing::warn!(conversation = %id, "could not use a roster snapshot of another log; reading the whole roster");
            }
        }
        while roster.read() < last {
            let from = Position(roster.read().0 + 1);
            roster.events.extend(self.roster_page(id, from, last).await?);
        }
        Ok(roster)
    }

    /// The last event of the chain. Void events are skipped.
    async fn last_that_counts(
        &self,
        id: ConversationId,
        roster: &Roster,
        mut heads: Vec<Recorded>,
    ) -> Result<Position, NotRead> {
        while let Some(last) = heads.iter().max_by_key(|recorded| recorded.position) {
            let then = roster.before(last.position);
            if last.poison.is_none() && then.conversation.counts(last.actor, last.lane) {
                return Ok(last.position);
            }
            heads = self.heads(id, Position(last.position.0 - 1)).await?;
        }
        Ok(Position::START)
    }
}
