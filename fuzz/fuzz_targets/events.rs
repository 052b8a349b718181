//! The parser of stored events: an event in the log is parsed and folded, or it is malformed. No event stops a reader.
//!
//! A line is an event: the lane of the subject, the type, and the data, separated by spaces.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use verbatim_fuzz::{
    domain::{AsOf, ConversationId, Event, EventId, Fold, Past, Position, Recorded, Time, UserId},
    log,
};

static CONVERSATION: LazyLock<ConversationId> = LazyLock::new(|| id("01930f3d-0c11-7a52-9b3e-4d5f60718293"));
static ANA: LazyLock<UserId> = LazyLock::new(|| id("01930f3c-5a7b-7c3d-8e4f-0123456789ab"));
static EVENT: LazyLock<EventId> = LazyLock::new(|| id("01930f3e-0000-7000-8000-000000000001"));
static TIME: LazyLock<Time> = LazyLock::new(|| id("2026-11-24T13:10:00.123Z"));

fuzz_target!(|text: &str| {
    let (mut fold, mut head) = (Fold::default(), Position(0));
    let mut past = Past::of(AsOf::Position(Position::MAX));
    for (line, position) in text.lines().zip(1..) {
        let Some(recorded) = read(line, position) else { continue };
        let event = recorded.event.as_ref();
        if let Some(previous) = fold.apply(recorded.position, recorded.actor, recorded.lane.clone(), event) {
            assert_eq!(previous, head, "the chain has no gap");
            head = recorded.position;
        }
        past.take(recorded);
    }
});

/// An event that can be parsed. Checks that its data are the same event after a round trip.
fn read(line: &str, position: u64) -> Option<Recorded> {
    let mut parts = line.splitn(3, ' ');
    let (lane, word, data) = (parts.next()?, parts.next()?, parts.next()?);
    let (conversation, lane) = log::place(&format!("chat.{:02x}.{}.{lane}", CONVERSATION.shard(), *CONVERSATION))?;
    let event = Event::read(word, data.as_bytes()).transpose().ok()?;
    if let Some(event) = &event {
        let again = Event::read(word, &event.data().expect("an event is JSON")).expect("a type that is known");
        assert_eq!(*event, again.expect("what was written is read"));
        if event.lane() != lane {
            return None;
        }
    }
    Some(Recorded {
        position: Position(position),
        conversation,
        lane,
        id: *EVENT,
        actor: *ANA,
        via: None,
        time: *TIME,
        word: word.to_owned(),
        event,
        data: data.to_owned().into(),
        poison: None,
        erased: None,
    })
}

fn id<T: std::str::FromStr>(text: &str) -> T {
    text.parse().ok().expect("a constant")
}
