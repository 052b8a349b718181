use tokio::time::advance;

use crate::{
    domain::{ClientId, Event, MessageDeleted, MessageId, Recorded},
    live::searched::*,
};

fn conversation(n: usize) -> ConversationId {
    ConversationId::known(uuid::Uuid::from_u128(n as u128))
}

fn key(n: usize) -> ClientId {
    ClientId::try_from(format!("key-{n:08}")).expect("a key")
}

/// An event with a key, by the only user in these tests.
fn done(position: u64, of: usize, with: usize) -> Recorded {
    let deleted = MessageDeleted {
        message_id: MessageId::known(uuid::Uuid::nil()),
        message_position: Position::START,
        client_id: Some(key(with).into()),
    };
    let nothing = Recorded::meaningless(position, conversation(of), 0);
    Recorded { event: Some(Event::MessageDeleted(deleted)), ..nothing }
}

fn wait(known: &mut Searching, of: usize, after: u64) -> (Option<u64>, oneshot::Receiver<()>) {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let (answer, answered) = oneshot::channel();
    (known.wait(conversation(of), Position(after), answer, &NUMBER).expect("room"), answered)
}

fn at(known: &Searching, of: usize, with: usize) -> Option<Position> {
    let hash = known.hash(UserId::known(uuid::Uuid::nil()), RecordedKey::Plain(key(with).as_str()));
    let look = |keys: &mut Keys| {
        keys.used_at = Instant::now();
        keys.at.get(&hash).copied()
    };
    known.known.change(&conversation(of), look).flatten()
}

#[test]
fn what_is_followed_while_a_conversation_is_read_is_not_missed_and_the_first_of_a_key_counts() {
    let mut known = Searching::default();
    known.take_in(&done(4, 1, 4));
    let (search, mut answered) = wait(&mut known, 1, 0);
    known.take_in(&done(9, 1, 9));
    known.take_in(&done(7, 1, 9));
    known.take_in(&done(8, 2, 8));
    let (no_other, mut also) = wait(&mut known, 1, 3);
    assert_eq!(no_other, None, "one search is enough");
    assert!(answered.try_recv().is_err());
    known.end(conversation(1), search.expect("a search"), State::Whole(Position(6)));
    assert!(answered.try_recv().is_ok() && also.try_recv().is_ok());
    known.take_in(&done(10, 1, 10));
    let found = [4, 8, 9, 10].map(|with| at(&known, 1, with));
    assert_eq!(found, [None, None, Some(Position(7)), Some(Position(10))]);
}

#[test]
fn who_needs_more_than_is_being_read_has_all_of_it_read_and_nobody_is_forgotten() {
    let mut known = Searching::default();
    let (first, mut near) = wait(&mut known, 1, 5);
    let (second, mut far) = wait(&mut known, 1, 2);
    let (first, second) = (first.expect("a search"), second.expect("another"));
    known.end(conversation(1), first, State::Whole(Position(9)));
    assert!(near.try_recv().is_err() && far.try_recv().is_err(), "the first has been replaced");
    assert!(!known.is_wanted(conversation(1), first) && known.is_wanted(conversation(1), second));
    known.end(conversation(1), second, State::Whole(Position(9)));
    assert!(near.try_recv().is_ok() && far.try_recv().is_ok());
}

#[test]
fn a_search_that_comes_to_nothing_leaves_nothing_behind_and_nobody_waiting() {
    let mut known = Searching::default();
    let (search, mut answered) = wait(&mut known, 1, 0);
    known.take_in(&done(1, 1, 1));
    known.give_up(conversation(1), search.expect("a search"));
    assert!(known.known.is_empty() && known.known.weight() == 0);
    assert!(matches!(answered.try_recv(), Err(oneshot::error::TryRecvError::Closed)));
    let (again, answered) = wait(&mut known, 1, 0);
    drop(answered);
    assert!(!known.is_wanted(conversation(1), again.expect("another search")), "nobody waits any more");
}

#[tokio::test(start_paused = true)]
async fn what_is_used_outlives_what_is_not() {
    let mut known = Searching::default();
    for of in 0..2 {
        let search = wait(&mut known, of, 0).0.expect("a search");
        known.take_in(&done(1, of, of));
        known.end(conversation(of), search, State::Whole(Position(1)));
    }
    advance(IDLE).await;
    known.forget_idle(Instant::now());
    assert!(at(&known, 0, 0).is_some());
    advance(Duration::from_secs(1)).await;
    known.forget_idle(Instant::now());
    assert_eq!((at(&known, 0, 0), at(&known, 1, 1)), (Some(Position(1)), None));
    advance(IDLE + Duration::from_secs(1)).await;
    known.forget_idle(Instant::now());
    assert_eq!(known.known.weight(), 0);
}

#[test]
fn no_more_is_kept_than_the_limit() {
    let mut known = Searching::default();
    let searches = [0, 1].map(|of| wait(&mut known, of, 0).0.expect("a search"));
    for n in 0..MOST_OF_ONE {
        for of in [0, 1].map(conversation) {
            known.known.change(&of, |keys| keys.take_in(n as u64, Position(n as u64 + 1)));
        }
        assert!(known.known.weight() <= MOST_KEYS);
    }
    let counts = [0, 1].map(|of| known.count_of(conversation(of), searches[of]));
    let [Some(keys), None] = [counts[0].or(counts[1]), counts[0].and(counts[1])] else {
        panic!("one of two makes room: {counts:?}");
    };
    assert!(keys >= MOST_OF_ONE - 1);
    let longest = usize::from(counts[0].is_none());
    known.end(conversation(longest), searches[longest], State::TooLong);
    let is_empty = known.known.change(&conversation(longest), |keys| keys.at.is_empty());
    assert_eq!(is_empty, Some(true), "what is too long is not kept");
    assert_eq!(known.known.weight(), EACH);
}

#[test]
fn only_so_many_are_searched_at_once() {
    let mut known = Searching::default();
    for of in 0..MOST_SEARCHES {
        assert!(wait(&mut known, of, 0).0.is_some());
    }
    let (answer, _answered) = oneshot::channel();
    assert!(known.wait(conversation(MOST_SEARCHES), Position::START, answer, &AtomicU64::new(0)).is_err());
    assert_eq!(wait(&mut known, 5, 0).0, None, "those that are under way may be waited for");
}
