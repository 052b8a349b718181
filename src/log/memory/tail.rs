//! The newest events of a stream, as the leading follower of this process has read them. Other followers that have come
//! as far take the events from here, so the process reads and decodes a stream once.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use crate::domain::{Position, Recorded};

/// The most events that are kept, and the most bytes of their data.
const EVENTS: usize = 2_000;
const BYTES: usize = 4 << 20;

/// The tail of one stream. Cheap to clone.
#[derive(Clone)]
pub(in crate::log) struct Tail(Arc<Shared>);

struct Shared {
    kept: Mutex<Kept>,
    /// The position of the last event.
    end: watch::Sender<Position>,
}

/// Events without a hole; empty while the stream has no leading follower.
#[derive(Default)]
struct Kept {
    events: VecDeque<Recorded>,
    bytes: usize,
}

impl Default for Tail {
    fn default() -> Self {
        Self(Arc::new(Shared { kept: Mutex::default(), end: watch::Sender::new(Position::START) }))
    }
}

impl Tail {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The leading follower has read more events.
    pub(in crate::log) fn extend(&self, batch: &[Recorded]) {
        let Some(last) = batch.last() else { return };
        self.kept().extend(batch);
        self.0.end.send_replace(last.position);
    }

    /// The leading follower has ended: all others read for themselves.
    pub(in crate::log) fn end(&self) {
        *self.kept() = Kept::default();
        self.0.end.send_replace(Position::START);
    }

    /// At most `limit` events after a position; `None` if some of them are not kept.
    pub(in crate::log) fn after(&self, position: Position, limit: usize) -> Option<Vec<Recorded>> {
        let kept = self.kept();
        let first = kept.events.front()?.position;
        let skipped = usize::try_from((position.0 + 1).checked_sub(first.0)?).ok()?;
        (skipped <= kept.events.len())
            .then(|| kept.events.iter().skip(skipped).take(limit).cloned().collect())
    }

    /// Waits until the tail no longer ends at `from`.
    pub(in crate::log) async fn moved(&self, from: Position) {
        let mut end = self.0.end.subscribe();
        // `self` holds the sender, so this cannot fail.
        let _ = end.wait_for(|end| *end != from).await;
    }
}

impl Kept {
    fn extend(&mut self, batch: &[Recorded]) {
        if self.events.back().is_some_and(|last| last.position.0 + 1 != batch[0].position.0) {
            *self = Self::default();
        }
        self.bytes += batch.iter().map(|recorded| recorded.data.len()).sum::<usize>();
        self.events.extend(batch.iter().cloned());
        while self.events.len() > EVENTS || self.bytes > BYTES {
            let Some(oldest) = self.events.pop_front() else { return };
            self.bytes -= oldest.data.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ConversationId;

    fn events(from: u64, to: u64, bytes: usize) -> Vec<Recorded> {
        let nowhere = ConversationId::known(uuid::Uuid::nil());
        (from..=to).map(|position| Recorded::meaningless(position, nowhere, bytes)).collect()
    }

    fn told(tail: &Tail, after: u64) -> Option<Vec<u64>> {
        let batch = tail.after(Position(after), 3)?;
        Some(batch.iter().map(|recorded| recorded.position.0).collect())
    }

    #[test]
    fn who_is_as_far_is_told_what_comes_next_and_nobody_else_is() {
        let tail = Tail::default();
        assert_eq!(told(&tail, 0), None, "nobody leads");
        tail.extend(&events(5, 7, 1));
        tail.extend(&events(8, 8, 1));
        assert_eq!(told(&tail, 3), None, "4 is not kept");
        assert_eq!(told(&tail, 4), Some(vec![5, 6, 7]));
        assert_eq!(told(&tail, 6), Some(vec![7, 8]));
        assert_eq!(told(&tail, 8), Some(vec![]));
        assert_eq!(told(&tail, 9), None, "the one who leads is behind");
        tail.end();
        assert_eq!(told(&tail, 8), None);
    }

    #[test]
    fn it_has_a_bound_and_no_hole() {
        let tail = Tail::default();
        tail.extend(&events(1, EVENTS as u64 + 1, 1));
        assert_eq!((told(&tail, 0), told(&tail, 1)), (None, Some(vec![2, 3, 4])));
        tail.extend(&events(EVENTS as u64 + 2, EVENTS as u64 + 10, BYTES / 8));
        assert_eq!(told(&tail, EVENTS as u64 + 1), None);
        assert_eq!(tail.kept().events.len(), 8);
        tail.extend(&events(9_000, 9_000, 1));
        assert_eq!((told(&tail, 8_998), told(&tail, 8_999)), (None, Some(vec![9_000])));
    }

    #[tokio::test]
    async fn who_waits_is_woken_by_what_comes_and_by_the_end() {
        let tail = Tail::default();
        tail.extend(&events(1, 1, 1));
        tokio::join!(tail.moved(Position(1)), async { tail.extend(&events(2, 2, 1)) });
        tokio::join!(tail.moved(Position(2)), async { tail.end() });
    }
}
