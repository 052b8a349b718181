//! What has to be stored of a run: its cursors, and the lanes that may lag behind them.

use std::collections::HashMap;

use crate::{
    domain::{ConversationId, Position, ReplayId, Time},
    hooks::{Changes, Held, StreamCursor},
    webhooks::{
        lane::{Key, Lane},
        run::Run,
    },
};

/// The differences between a run and its stored state.
#[derive(Debug, Default)]
pub(super) struct Unsaved {
    cursors: Vec<(usize, Position)>,
    held: Vec<(Key, Held)>,
    released: Vec<Key>,
}

impl Unsaved {
    /// Compares a run with its stored state.
    ///
    /// A lane whose next event is at or before the stored cursor keeps its row, even when it no longer has a failure:
    /// the cursor never goes back, so without the row the next owner would not read that event.
    pub(super) fn of(run: &Run, stream_of: impl Fn(ConversationId) -> usize, now: Time) -> Self {
        let mut unsaved = Self::default();
        let mut first: HashMap<usize, Position> = HashMap::new();
        let mut rows = 0;
        for (key, lane) in &run.lanes {
            let (stream, next) = (stream_of(key.0), lane.next());
            let saved = run.streams.get(&stream).map_or(Position::MAX, |read| read.saved);
            if lane.is_held() || next <= saved {
                rows += 1;
                let row = row(run.id, *key, lane, run.rows.get(key), now);
                if run.rows.get(key) != Some(&row) {
                    unsaved.held.push((*key, row));
                }
            } else {
                if run.rows.contains_key(key) {
                    unsaved.released.push(*key);
                }
                first.entry(stream).and_modify(|first| *first = next.min(*first)).or_insert(next);
            }
        }
        if rows < run.rows.len() + unsaved.held.len() {
            let gone = run.rows.keys().filter(|key| !run.lanes.contains_key(key));
            unsaved.released.extend(gone.copied());
        }
        for (stream, read) in &run.streams {
            let safe = first.get(stream).map_or(read.at, |first| Position(first.0 - 1)).max(read.saved);
            if safe != read.saved {
                unsaved.cursors.push((*stream, safe));
            }
        }
        unsaved
    }

    pub(super) fn is_nothing(&self) -> bool {
        self.cursors.is_empty() && self.held.is_empty() && self.released.is_empty()
    }

    /// Adds the differences to the changes of the endpoint.
    pub(super) fn add_to(&self, run: &Run, changes: &mut Changes) {
        let cursor = |&(stream, position): &(usize, Position)| StreamCursor {
            run: run.id,
            stream,
            position,
            until: run.streams.get(&stream).and_then(|read| read.until),
        };
        changes.cursors.extend(self.cursors.iter().map(cursor));
        changes.held.extend(self.held.iter().map(|(_, row)| *row));
        changes.released.extend(self.released.iter().map(|key| (run.id, key.0, key.1)));
    }

    /// Notes in the run that the differences are stored.
    pub(super) fn note_in(self, run: &mut Run) {
        for (stream, position) in self.cursors {
            if let Some(read) = run.streams.get_mut(&stream) {
                read.saved = position;
            }
        }
        run.rows.extend(self.held);
        for key in self.released {
            run.rows.remove(&key);
        }
    }
}

fn row(run: Option<ReplayId>, key: Key, lane: &Lane, before: Option<&Held>, now: Time) -> Held {
    // A lane that is due at once keeps the time of its row, so that the row does not change with each save.
    let next_at = lane.next_time.or(before.map(|row| row.next_at)).unwrap_or(now);
    Held {
        run,
        conversation: key.0,
        only: key.1,
        from: lane.next(),
        until: lane.until,
        attempt: lane.attempt,
        parked: lane.parked,
        next_at,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        domain::Recorded,
        webhooks::{run::Read, told::Told},
    };

    fn id(number: u128) -> ConversationId {
        ConversationId::known(uuid::Uuid::from_u128(number))
    }

    fn run(lanes: &[(u128, &[u64])], read: u64) -> Run {
        let mut run = Run::new(None);
        run.streams.insert(0, Read { at: Position(read), until: None, saved: Position::START });
        for (number, positions) in lanes {
            let lane = run.lanes.entry((id(*number), Position::START)).or_default();
            for position in *positions {
                let recorded = Recorded::meaningless(*position, id(*number), 1);
                lane.arrive(&Arc::new(Told { recorded, previous: Position::START }), true);
            }
        }
        run
    }

    fn now() -> Time {
        "2026-11-24T13:10:00Z".parse().expect("a time")
    }

    fn save(run: &mut Run) -> (Vec<u64>, Vec<(u128, u64)>, usize) {
        let unsaved = Unsaved::of(run, |_| 0, now());
        let cursors = unsaved.cursors.iter().map(|(_, position)| position.0).collect();
        let held = unsaved.held.iter().map(|((id, _), row)| (id.uuid().as_u128(), row.from.0)).collect();
        let released = unsaved.released.len();
        unsaved.note_in(run);
        (cursors, held, released)
    }

    #[test]
    fn the_cursor_stands_before_the_first_event_that_was_not_taken() {
        let mut run = run(&[(1, &[7, 9]), (2, &[8])], 20);
        assert_eq!(save(&mut run), (vec![6], vec![], 0));
        assert!(Unsaved::of(&run, |_| 0, now()).is_nothing());
        run.lanes.get_mut(&(id(1), Position::START)).expect("a lane").taken();
        assert_eq!(save(&mut run), (vec![7], vec![], 0));
    }

    #[test]
    fn a_held_conversation_lets_the_cursor_pass_and_its_row_stays_until_the_cursor_is_not_ahead() {
        let mut run = run(&[(1, &[7, 9]), (2, &[8])], 20);
        let (key, other) = ((id(1), Position::START), (id(2), Position::START));
        run.lanes.get_mut(&key).expect("a lane").attempt = 1;
        run.lanes.get_mut(&other).expect("a lane").taken();
        run.settle(other);
        assert_eq!(save(&mut run), (vec![20], vec![(1, 7)], 0));
        // The retry succeeds. The cursor is past 9, so a row says that 9 is next.
        run.lanes.get_mut(&key).expect("a lane").taken();
        assert_eq!(save(&mut run), (vec![], vec![(1, 9)], 0));
        run.lanes.get_mut(&key).expect("a lane").taken();
        run.settle(key);
        assert_eq!(save(&mut run), (vec![], vec![], 1));
        assert!(Unsaved::of(&run, |_| 0, now()).is_nothing());
    }
}
