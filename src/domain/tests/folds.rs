//! The fold: void events, and the chain of the events that count.

use crate::domain::tests::*;

/// Folds events at positions 10, 20, 30, … and returns the position before each of them in the chain.
fn chain(events: &[(UserId, Event)]) -> (Fold, Vec<Option<u64>>) {
    let mut fold = Fold::default();
    let told = events
        .iter()
        .zip(1..)
        .map(|((actor, event), n)| fold.apply(Position(10 * n), *actor, event.lane(), Some(event)))
        .map(|previous| previous.map(|p| p.0))
        .collect();
    (fold, told)
}

fn beginning() -> (UserId, Event) {
    (ANA, created(Kind::Group, Some("Lunch"), &[(ANA, Role::Owner), (BEN, Role::Member)]))
}

#[test]
fn each_event_names_the_one_before_it_and_the_first_names_none() {
    let (fold, told) = chain(&[beginning(), (BEN, sent("hi")), (ANA, advanced(20, 20))]);
    assert_eq!(told, [Some(0), Some(10), Some(20)]);
    assert_eq!((fold.head, fold.roster, fold.read), (Position(30), Position(10), Position(30)));
}

#[test]
fn what_was_said_or_read_after_a_removal_is_void() {
    let (fold, told) = chain(&[
        beginning(),
        (ANA, removed(BEN)),
        (BEN, sent("still here")),
        (BEN, advanced(20, 20)),
        (ANA, sent("bye")),
    ]);
    assert_eq!(told, [Some(0), Some(10), None, None, Some(20)], "the chain goes around what is void");
    assert_eq!((fold.head, fold.read), (Position(50), Position(50)));
}

#[test]
fn a_void_event_is_read_but_moves_no_head() {
    let (fold, told) = chain(&[beginning(), (CEM, sent("let me in"))]);
    assert_eq!(told, [Some(0), None]);
    assert_eq!((fold.head, fold.roster, fold.read), (Position(10), Position(10), Position(20)));
}

#[test]
fn what_was_said_before_coming_in_is_void_and_what_is_said_after_counts() {
    let (_, told) = chain(&[
        beginning(),
        (CEM, sent("too early")),
        (ANA, added(CEM, Role::Member)),
        (CEM, sent("hi")),
        (CEM, removed(CEM)),
        (CEM, sent("too late")),
    ]);
    assert_eq!(told, [Some(0), None, Some(10), Some(30), Some(40), None]);
}

#[test]
fn nothing_counts_in_a_conversation_without_a_beginning() {
    assert_eq!(chain(&[(ANA, sent("hi")), (ANA, advanced(1, 1))]).1, [None, None]);
}

#[test]
fn the_roster_is_as_it_was_decided_whoever_did_it() {
    let (fold, told) = chain(&[beginning(), (ANA, removed(ANA)), (ANA, added(CEM, Role::Owner))]);
    assert_eq!(told, [Some(0), Some(10), Some(20)], "decisions are guarded when they are appended");
    assert!(fold.conversation.membership(CEM).is_some());
}

#[test]
fn an_event_of_a_newer_version_is_part_of_the_chain() {
    let (mut fold, _) = chain(&[beginning()]);
    let before = fold.conversation.clone();
    assert_eq!(fold.apply(Position(20), ANA, Lane::Roster, None), Some(Position(10)));
    assert_eq!(fold.apply(Position(30), BEN, Lane::Timeline, None), Some(Position(20)));
    assert_eq!(fold.apply(Position(40), CEM, Lane::Timeline, None), None);
    assert_eq!((fold.head, fold.roster), (Position(30), Position(20)));
    assert_eq!(fold.conversation, before);
}

#[test]
fn what_was_read_before_changes_nothing() {
    let (mut fold, _) = chain(&[beginning(), (ANA, removed(BEN))]);
    let before = fold.clone();
    let late = added(CEM, Role::Owner);
    for at in [1, 10, 15, 20] {
        assert_eq!(fold.apply(Position(at), ANA, Lane::Roster, Some(&late)), None);
    }
    assert_eq!(fold, before);
}

#[test]
fn a_reader_keeps_the_roster_it_took() {
    let (mut fold, _) = chain(&[beginning()]);
    let taken = fold.conversation.clone();
    fold.apply(Position(20), ANA, Lane::Roster, Some(&removed(BEN)));
    assert!(taken.membership(BEN).is_some() && fold.conversation.membership(BEN).is_none());
}
