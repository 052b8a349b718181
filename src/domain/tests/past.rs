//! A conversation in the past equals a fold of the events up to the point.

use crate::domain::tests::*;

fn at_second(n: u64) -> Time {
    let start: Time = "2026-11-24T14:00:00Z".parse().expect("time");
    start.plus(std::time::Duration::from_secs(n))
}

/// Events at positions 10, 20, 30, … , each with the second of its time.
fn log(events: &[(UserId, Event, u64)]) -> Vec<Recorded> {
    let happened = |((actor, event, second), n): (&(UserId, Event, u64), u64)| Recorded {
        time: at_second(*second),
        ..happened(Position(10 * n), *actor, event.clone())
    };
    events.iter().zip(1..).map(happened).collect()
}

fn past(log: &[Recorded], as_of: AsOf) -> Past {
    let mut past = Past::of(as_of);
    for happened in log {
        if !past.take(happened.clone()) {
            break;
        }
    }
    past
}

fn by_position(log: &[Recorded], position: u64) -> Past {
    past(log, AsOf::Position(Position(position)))
}

fn by_second(log: &[Recorded], second: u64) -> Past {
    past(log, AsOf::Time(at_second(second)))
}

fn members(past: &Past) -> Vec<(UserId, Role, Time)> {
    past.members().map(|(user, membership, joined)| (user, membership.role, joined)).collect()
}

fn texts(past: &Past) -> Vec<&str> {
    past.messages().values().map(|said| said.text.as_str()).collect()
}

fn a_day() -> Vec<Recorded> {
    log(&[
        (ANA, created(Kind::Group, Some("Lunch"), &[(ANA, Role::Owner), (BEN, Role::Member)]), 1),
        (ANA, sent("pizza?"), 2),
        (BEN, advanced(20, 20), 3),
        (ANA, added(CEM, Role::Member), 4),
        (ANA, role_changed(CEM, Role::Admin), 5),
        (ANA, removed(BEN), 6),
        (BEN, advanced(60, 60), 7),
        (ANA, added(BEN, Role::Member), 8),
    ])
}

#[test]
fn members_are_those_of_the_point() {
    let day = a_day();
    assert_eq!(members(&by_position(&day, 9)), []);
    let first = [(ANA, Role::Owner, at_second(1)), (BEN, Role::Member, at_second(1))];
    for position in [10, 11, 39] {
        assert_eq!(members(&by_position(&day, position)), first, "{position}");
    }
    assert_eq!(members(&by_position(&day, 40))[2], (CEM, Role::Member, at_second(4)));
    assert_eq!(members(&by_position(&day, 50))[2], (CEM, Role::Admin, at_second(4)));
    assert_eq!(members(&by_position(&day, 60)).len(), 2);
    assert_eq!(members(&by_position(&day, 80))[1], (BEN, Role::Member, at_second(8)));
}

#[test]
fn receipts_are_those_of_the_point_and_void_ones_are_none() {
    let day = a_day();
    let nothing = Marks::default();
    assert_eq!(by_position(&day, 29).marks(BEN), nothing);
    let mark = Mark { position: Position(20), at: Some(at_second(3)) };
    for position in [30, 70, 80] {
        assert_eq!(by_position(&day, position).marks(BEN), Marks { delivered: mark, read: mark });
    }
    assert_eq!(by_position(&day, 80).marks(ANA), nothing);
}

#[test]
fn a_time_means_the_last_event_that_is_not_after_it() {
    let day = a_day();
    for second in 0..10 {
        let (one, other) = (by_second(&day, second), by_position(&day, 10 * second));
        assert_eq!(members(&one), members(&other), "{second}");
        assert_eq!(texts(&one), texts(&other), "{second}");
        assert_eq!(one.marks(BEN), other.marks(BEN), "{second}");
    }
    assert_eq!(by_second(&day, 0).position(), Position::START);
    assert_eq!(by_second(&day, 9).position(), Position(80));
}

#[test]
fn order_is_the_logs_where_clocks_differ() {
    let log = log(&[
        (ANA, created(Kind::Group, Some("Lunch"), &[(ANA, Role::Owner)]), 1),
        (ANA, sent("from a clock that is ahead"), 9),
        (ANA, added(BEN, Role::Member), 2),
        (ANA, added(CEM, Role::Member), 5),
    ]);
    let then = by_second(&log, 3);
    assert_eq!((then.position(), members(&then).len()), (Position(30), 2));
    assert_eq!(texts(&then), ["from a clock that is ahead"], "it stands before what belongs to the point");
    assert_eq!(texts(&by_second(&log, 1)), [] as [&str; 0]);
}
