//! What a stream has given lately, kept in memory: whoever was away for a moment is told from here.
//! A storm of reconnects asks for the same few events, and costs the servers nothing.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use super::Recorded;
use crate::domain::{ConversationId, Position};

/// The most bytes that all streams together keep.
const BYTES: usize = 32 << 20;
/// What an event takes besides its data.
const EACH: usize = 512;

/// The latest events of one stream, without a hole. Cheap to clone.
#[derive(Clone)]
pub(super) struct Tail(Arc<Mutex<Kept>>);

struct Kept {
    events: VecDeque<Recorded>,
    bytes: usize,
    limit: usize,
}

impl Tail {
    /// Keeps nothing yet, and later its share.
    pub(super) fn one_of(streams: usize) -> Self {
        Self(Arc::new(Mutex::new(Kept { events: VecDeque::new(), bytes: 0, limit: BYTES / streams })))
    }

    /// Takes in what a follower has read. Of several followers the one that is farthest counts.
    pub(super) fn extend(&self, batch: &[Recorded]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for recorded in batch {
            kept.push(recorded);
        }
    }

    /// What happened in conversations after a position, up to and with another; `None` if not all of
    /// it is here.
    pub(super) fn between(
        &self,
        after: Position,
        upto: Position,
        conversations: &HashSet<ConversationId>,
    ) -> Option<VecDeque<Recorded>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (first, last) = (kept.events.front()?.position, kept.events.back()?.position);
        if after.0 + 1 < first.0 || last < upto {
            return None;
        }
        let begin = kept.events.partition_point(|recorded| recorded.position <= after);
        let wanted = kept.events.range(begin..).take_while(|recorded| recorded.position <= upto);
        Some(wanted.filter(|recorded| conversations.contains(&recorded.conversation)).cloned().collect())
    }
}

impl Kept {
    fn push(&mut self, recorded: &Recorded) {
        let next = self.events.back().map_or(recorded.position.0, |last| last.position.0 + 1);
        if recorded.position.0 < next {
            return;
        }
        if recorded.position.0 > next {
            self.events.clear();
            self.bytes = 0;
        }
        self.bytes += size(recorded);
        self.events.push_back(recorded.clone());
        while self.bytes > self.limit
            && let Some(oldest) = self.events.pop_front()
        {
            self.bytes -= size(&oldest);
        }
    }
}

/// About what it takes: the data stands there as it was stored, and once more as it was understood.
fn size(recorded: &Recorded) -> usize {
    EACH + 2 * recorded.data.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{EventId, Lane, Time, UserId};

    fn recorded(position: u64, conversation: ConversationId, bytes: usize) -> Recorded {
        Recorded {
            position: Position(position),
            conversation,
            lane: Lane::Timeline,
            id: EventId::known(uuid::Uuid::nil()),
            actor: UserId::known(uuid::Uuid::nil()),
            time: Time::of(time::OffsetDateTime::UNIX_EPOCH),
            word: "something.new".into(),
            event: None,
            data: vec![b' '; bytes].into(),
        }
    }

    fn conversation(number: u128) -> ConversationId {
        ConversationId::known(uuid::Uuid::from_u128(number))
    }

    fn positions(tail: &Tail, after: u64, upto: u64, of: &[ConversationId]) -> Option<Vec<u64>> {
        let of = of.iter().copied().collect();
        let found = tail.between(Position(after), Position(upto), &of)?;
        Some(found.iter().map(|recorded| recorded.position.0).collect())
    }

    #[test]
    fn it_gives_what_it_has_without_a_hole_and_nothing_else() {
        let (one, other) = (conversation(1), conversation(2));
        let tail = Tail::one_of(1);
        assert_eq!(positions(&tail, 0, 0, &[one]), None, "nothing is kept yet");
        tail.extend(&[recorded(5, one, 0), recorded(6, other, 0), recorded(7, one, 0)]);
        assert_eq!(positions(&tail, 4, 7, &[one]), Some(vec![5, 7]));
        assert_eq!(positions(&tail, 5, 7, &[one, other]), Some(vec![6, 7]));
        assert_eq!(positions(&tail, 4, 6, &[one]), Some(vec![5]));
        assert_eq!(positions(&tail, 7, 7, &[one]), Some(vec![]));
        assert_eq!(positions(&tail, 3, 7, &[one]), None, "4 is not kept");
        assert_eq!(positions(&tail, 4, 8, &[one]), None, "8 has not come yet");
    }

    #[test]
    fn a_follower_that_is_behind_changes_nothing_and_a_gap_begins_anew() {
        let one = conversation(1);
        let tail = Tail::one_of(1);
        tail.extend(&[recorded(5, one, 0), recorded(6, one, 0)]);
        tail.extend(&[recorded(1, one, 0), recorded(6, one, 0)]);
        assert_eq!(positions(&tail, 4, 6, &[one]), Some(vec![5, 6]));
        tail.extend(&[recorded(9, one, 0)]);
        assert_eq!(positions(&tail, 4, 9, &[one]), None);
        assert_eq!(positions(&tail, 8, 9, &[one]), Some(vec![9]));
    }

    #[test]
    fn it_keeps_no_more_bytes_than_its_share() {
        let one = conversation(1);
        let tail = Tail::one_of(32);
        for position in 1..=100 {
            tail.extend(&[recorded(position, one, 50_000)]);
        }
        let kept = tail.0.lock().expect("lock");
        assert!(kept.bytes <= 1 << 20 && kept.events.len() == (1 << 20) / 100_512);
        assert_eq!(kept.events.back().map(|recorded| recorded.position), Some(Position(100)));
    }
}
