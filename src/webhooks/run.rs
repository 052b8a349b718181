//! One run over the log for an endpoint: the ordinary delivery, or a replay. Pure: it tracks which events arrive, are
//! due, and are done.

use std::collections::{BTreeMap, HashMap};

use tokio::time::Instant;

use crate::{
    domain::{ConversationId, Position, ReplayId, Time},
    hooks::Held,
    webhooks::{
        endpoint::Endpoint,
        lane::{Key, Lane},
        teller::Batch,
    },
};

/// The most lanes of a run. At this number, no more events are read.
const LANES: usize = 4_096;
/// The most lanes among these that only remember parked events.
const NOTES: usize = 1_024;

/// How far a stream was read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Read {
    pub(super) at: Position,
    /// Where a replay ends.
    pub(super) until: Option<Position>,
    /// The stored cursor.
    pub(super) saved: Position,
}

/// The next step of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Send its next event.
    Send,
    /// Read its next events from the log: after the first position, up to the second.
    Fetch(Position, Position),
}

/// A run.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) id: Option<ReplayId>,
    pub(super) streams: BTreeMap<usize, Read>,
    pub(super) lanes: BTreeMap<Key, Lane>,
    /// The stored rows of lanes.
    pub(super) rows: HashMap<Key, Held>,
    /// Where the search for work begins, so that each lane gets its turn.
    turn: Option<Key>,
}

impl Run {
    pub(super) fn new(id: Option<ReplayId>) -> Self {
        Self { id, streams: BTreeMap::new(), lanes: BTreeMap::new(), rows: HashMap::new(), turn: None }
    }

    /// Adds a stored lane.
    pub(super) fn hold(&mut self, held: Held, now: (Instant, Time)) {
        let key = (held.conversation, held.only);
        let wait = held.next_at.since(now.1);
        let lane = Lane {
            behind: Some(Position(held.from.0.saturating_sub(1))),
            done: Position(held.from.0.saturating_sub(1)),
            until: held.until,
            attempt: held.attempt,
            parked: held.parked,
            next_at: (!wait.is_zero()).then(|| now.0 + wait),
            next_time: Some(held.next_at),
            ..Lane::default()
        };
        self.lanes.insert(key, lane);
        self.rows.insert(key, held);
    }

    /// Whether more may be read.
    pub(super) fn has_room(&mut self) -> bool {
        if self.lanes.len() >= LANES {
            self.forget_notes();
        }
        self.lanes.len() < LANES
    }

    /// Forgets idle lanes that only remember a parked event, if there are too many. The receiver still detects its hole
    /// by the chain of positions.
    fn forget_notes(&mut self) {
        let is_note = |lane: &Lane| lane.is_idle() && lane.attempt == 0;
        let mut notes = self.lanes.values().filter(|lane| is_note(lane)).count();
        self.lanes.retain(|_, lane| {
            let goes = notes > NOTES && is_note(lane);
            notes -= usize::from(goes);
            !goes
        });
    }

    /// Queues the next events of a stream. Returns the bytes that they take up in memory.
    pub(super) fn arrive(&mut self, stream: usize, batch: &Batch, endpoint: &Endpoint, room: usize) -> usize {
        let Some(read) = self.streams.get_mut(&stream) else { return 0 };
        let end = read.until.unwrap_or(Position::MAX);
        let mut bytes = 0;
        for told in &batch.events {
            let at = told.recorded.position;
            if at > read.at && at <= end && endpoint.wants(told) {
                let only = if endpoint.is_ordered { Position::START } else { at };
                let lane = self.lanes.entry((told.recorded.conversation, only)).or_default();
                bytes += lane.arrive(told, bytes < room);
            }
        }
        read.at = read.at.max(batch.upto.min(end));
        bytes
    }

    /// The next lane with something to do, and when the next waiting lane is due.
    pub(super) fn next(
        &mut self,
        now: Instant,
        is_ordered: bool,
        may_fetch: bool,
        stream_of: impl Fn(ConversationId) -> usize,
    ) -> (Option<(Key, Step)>, Option<Instant>) {
        let (mut found, mut wakes) = (None, None::<Instant>);
        let turn = self.turn;
        let behind = self.lanes.range(..).filter(|(key, _)| turn.is_some_and(|turn| **key <= turn));
        let ahead = self.lanes.range(..).filter(|(key, _)| turn.is_none_or(|turn| **key > turn));
        for (key, lane) in ahead.chain(behind) {
            if lane.is_busy || is_ordered && self.is_behind_another(*key) {
                continue;
            }
            if let Some(at) = lane.due_at().filter(|at| *at > now) {
                wakes = Some(wakes.map_or(at, |wakes| wakes.min(at)));
                continue;
            }
            match (lane.queue.front(), lane.behind) {
                (Some(_), _) => found = Some((*key, Step::Send)),
                (None, Some(after)) if may_fetch => {
                    let upto = self.end_of(*key, lane, stream_of(key.0));
                    found = Some((*key, Step::Fetch(after, upto)));
                }
                _ => continue,
            }
            break;
        }
        if let Some((key, _)) = found {
            self.turn = Some(key);
        }
        (found, wakes)
    }

    /// Whether a single event of an ordered endpoint has to wait for an earlier one of its conversation.
    fn is_behind_another(&self, (conversation, only): Key) -> bool {
        only > Position::START
            && self.lanes.range((conversation, Position(1))..(conversation, only)).next().is_some()
    }

    /// How far the log has events of a lane.
    fn end_of(&self, key: Key, lane: &Lane, stream: usize) -> Position {
        let read = self.streams.get(&stream).map(|read| read.at);
        if key.1 > Position::START { key.1 } else { lane.until.or(read).unwrap_or(Position::START) }
    }

    /// The lane whose event probes a receiver that is away: a failed lane if there is one, and the first that is due. If
    /// none has an event that can be read now, this returns when to try again to read one.
    pub(super) fn probe(&self, now: Instant) -> Result<Key, Option<Instant>> {
        let is_readable = |lane: &Lane| lane.reads_at.is_none_or(|at| at <= now);
        let ready = || self.lanes.iter().filter(|(_, lane)| !lane.is_busy && !lane.is_idle());
        let readable = ready().filter(|(_, lane)| is_readable(lane));
        let probe = readable.min_by_key(|(_, lane)| (lane.attempt == 0, lane.next_at));
        probe.map(|(key, _)| *key).ok_or_else(|| ready().filter_map(|(_, lane)| lane.reads_at).min())
    }

    /// The next step of the probe's lane.
    pub(super) fn step_of(&self, key: Key, stream: usize) -> Option<Step> {
        let lane = self.lanes.get(&key)?;
        match (lane.queue.front(), lane.behind) {
            (Some(_), _) => Some(Step::Send),
            (None, Some(after)) => Some(Step::Fetch(after, self.end_of(key, lane, stream))),
            (None, None) => None,
        }
    }

    /// Queues the events that were read from the log for a lane. Returns the bytes that they take up in memory.
    pub(super) fn fetched(&mut self, key: Key, batch: &Batch, endpoint: &Endpoint, stream: usize) -> usize {
        let Some(lane) = self.lanes.get(&key) else { return 0 };
        let (end, is_named) = (self.end_of(key, lane, stream), self.is_named(key));
        let Some(lane) = self.lanes.get_mut(&key) else { return 0 };
        (lane.is_busy, lane.reads_at) = (false, None);
        let mut bytes = 0;
        let behind = lane.behind.unwrap_or_default();
        for told in &batch.events {
            if told.recorded.position > behind && (is_named || endpoint.wants(told)) {
                lane.queue.push_back(told.clone());
                bytes += told.recorded.data.len();
            }
        }
        // The stream may have been read further meanwhile, and the events that came then are only in the log.
        lane.behind = (batch.upto < end).then_some(batch.upto);
        if lane.behind.is_none() {
            lane.oldest = None;
        }
        // The filters may have changed, so that the endpoint no longer wants the failed event.
        if lane.is_idle() {
            (lane.attempt, lane.next_at, lane.next_time) = (0, None, None);
        }
        self.settle(key);
        bytes
    }

    /// Drops the waiting events of a lane that the endpoint no longer wants. Returns the bytes that are freed.
    pub(super) fn keep_wanted(&mut self, key: Key, endpoint: &Endpoint) -> usize {
        let is_named = self.is_named(key);
        let lane = self.lanes.get_mut(&key).filter(|_| !is_named);
        let freed = lane.map_or(0, |lane| lane.keep(|told| endpoint.wants(told)));
        self.settle(key);
        freed
    }

    /// Whether a replay names the event of a lane, which is then sent, whatever the filters are now. Such a replay reads
    /// no streams.
    fn is_named(&self, key: Key) -> bool {
        key.1 > Position::START && self.streams.is_empty()
    }

    /// Removes a lane that has nothing to send and nothing to remember.
    pub(super) fn settle(&mut self, key: Key) {
        let is_over = |lane: &Lane| {
            let remembers = lane.attempt > 0 || lane.parked > 0 && key.1 == Position::START;
            lane.is_idle() && (!remembers || self.id.is_some())
        };
        if self.lanes.get(&key).is_some_and(is_over) {
            self.lanes.remove(&key);
        }
    }

    /// Makes all lanes due at once, because the receiver has come back.
    pub(super) fn is_back(&mut self) {
        for lane in self.lanes.values_mut() {
            lane.next_at = None;
        }
    }

    /// Whether a replay has reached its end.
    pub(super) fn is_over(&self) -> bool {
        let is_read = |read: &Read| read.until.is_some_and(|until| read.at >= until);
        self.id.is_some() && self.lanes.is_empty() && self.streams.values().all(is_read)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_lane_that_could_not_be_read_waits_while_another_probes() {
        let now: (Instant, Time) = (Instant::now(), "2026-11-24T13:10:00Z".parse().expect("a time"));
        let later = |seconds| now.0 + Duration::from_secs(seconds);
        let [one, two] = [1, 2].map(|number| ConversationId::known(uuid::Uuid::from_u128(number)));
        let mut run = Run::new(None);
        for conversation in [one, two] {
            let held = Held {
                run: None,
                conversation,
                only: Position::START,
                from: Position(7),
                until: Some(Position(9)),
                attempt: 1,
                parked: 0,
                next_at: now.1.plus(Duration::from_secs(3_600)),
            };
            run.hold(held, now);
        }
        let mut fails = |conversation, seconds| {
            let lane = run.lanes.get_mut(&(conversation, Position::START)).expect("a lane");
            lane.reads_at = Some(later(seconds));
            run.probe(now.0)
        };
        assert_eq!(fails(one, 1), Ok((two, Position::START)));
        assert_eq!(fails(two, 2), Err(Some(later(1))));
        assert_eq!(run.probe(later(1)), Ok((one, Position::START)));
        run.is_back();
        assert_eq!(run.next(now.0, true, true, |_| 0), (None, Some(later(1))));
        let (found, _) = run.next(later(1), true, true, |_| 0);
        assert_eq!(found, Some(((one, Position::START), Step::Fetch(Position(6), Position(9)))));
    }
}
