//! Conversations that wait for a look-up of their heads. A few look-ups of a stream are in flight at once; the next one
//! covers all conversations that have begun to wait in the meantime. So a lone reader never waits for others, and many
//! readers at once cost few look-ups.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

use crate::{
    domain::{ConversationId, Recorded},
    log::errors::NotRead,
};

/// The look-ups of a stream that are in flight at once. While a server is slow to answer one of them, the other
/// continues.
const UNDER_WAY: usize = 2;

type Heads = Result<Vec<Recorded>, NotRead>;

/// A conversation, and the reader that waits for its heads.
type Waiting = (ConversationId, oneshot::Sender<Heads>);

/// The readers of one stream that wait for heads.
#[derive(Default)]
pub(in crate::log) struct Gathered(Mutex<State>);

#[derive(Default)]
struct State {
    waiting: VecDeque<Waiting>,
    under_way: usize,
}

/// The right to look up the waiting conversations, until none is waiting.
pub(in crate::log) struct Turn<'a> {
    gathered: &'a Gathered,
    is_over: bool,
}

impl Gathered {
    /// Adds a conversation to the next look-up. Also says whether the caller has to start one, because too few are in
    /// flight.
    pub(in crate::log) fn join(&self, conversation: ConversationId) -> (oneshot::Receiver<Heads>, bool) {
        let (answer, answered) = oneshot::channel();
        let mut state = self.state();
        state.waiting.push_back((conversation, answer));
        let has_to_ask = state.under_way < UNDER_WAY;
        state.under_way += usize::from(has_to_ask);
        (answered, has_to_ask)
    }

    /// The turn of a caller that has to ask.
    pub(in crate::log) fn turn(&self) -> Turn<'_> {
        Turn { gathered: self, is_over: false }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn<'_> {
    /// Takes those that have waited longest. If none is waiting, the turn is over from this moment on: a reader that
    /// joins later has to start another one.
    pub(in crate::log) fn next(&mut self, most: usize) -> Option<Vec<Waiting>> {
        let mut state = self.gathered.state();
        state.waiting.retain(|(_, answer)| !answer.is_closed());
        if state.waiting.is_empty() {
            state.under_way -= 1;
            self.is_over = true;
            return None;
        }
        let count = state.waiting.len().min(most);
        Some(state.waiting.drain(..count).collect())
    }
}

impl Drop for Turn<'_> {
    /// After a panic, the next turn takes those that still wait.
    fn drop(&mut self) {
        if !self.is_over {
            self.gathered.state().under_way -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u128) -> ConversationId {
        ConversationId::known(uuid::Uuid::from_u128(n))
    }

    fn ids(waiting: Option<Vec<Waiting>>) -> Vec<ConversationId> {
        waiting.into_iter().flatten().map(|(id, _)| id).collect()
    }

    #[test]
    fn a_look_up_takes_along_all_that_wait_and_the_next_reader_begins_another() {
        let gathered = Gathered::default();
        let (_first, has_to_ask) = gathered.join(id(1));
        assert!(has_to_ask, "nothing is under way");
        let mut turn = gathered.turn();
        assert_eq!(ids(turn.next(2)), [id(1)]);

        let (_second, has_to_ask) = gathered.join(id(2));
        assert!(has_to_ask, "one look-up may hang");
        let mut other = gathered.turn();
        let (_third, has_to_ask) = gathered.join(id(3));
        assert!(!has_to_ask, "two are under way");
        drop(gathered.join(id(4)));
        let (_fifth, _) = gathered.join(id(5));
        assert_eq!(ids(other.next(2)), [id(2), id(3)], "at most two at once");
        assert_eq!(ids(turn.next(2)), [id(5)], "and nobody who has gone away");

        assert!(turn.next(2).is_none());
        drop(turn);
        let (_sixth, has_to_ask) = gathered.join(id(6));
        assert!(has_to_ask, "one turn is over");
        drop(other);
        drop(gathered.turn());
        let (_seventh, has_to_ask) = gathered.join(id(7));
        assert!(has_to_ask, "a turn that broke off is over, too");
        assert_eq!(ids(gathered.turn().next(2)), [id(6), id(7)]);
    }
}
