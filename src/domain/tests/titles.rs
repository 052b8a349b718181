//! Erased titles: the conversation has no title until a later event sets one, whichever way its events are
//! folded.

use crate::domain::tests::*;

/// The entry of an erasure for a roster event.
fn entry(of: &Recorded) -> ErasedEntry {
    ErasedEntry {
        position: of.position,
        id: of.id,
        kind: of.word.clone(),
        lane: of.lane.word().into(),
        actor: of.actor,
        time: of.time,
        message_id: None,
        message_position: None,
        client_hash: None,
        counts: true,
        data: data_without_title(&of.data),
    }
}

/// A group that was renamed twice and changed once, at the positions 1 to 4.
fn renamed() -> Vec<Recorded> {
    let events = [
        created(Kind::Group, Some("first"), &[(ANA, Role::Owner), (BEN, Role::Member)]),
        updated(Some("second"), None),
        updated(None, Some(History::SinceJoin)),
        updated(Some("third"), Some(History::Full)),
    ];
    events.into_iter().zip(1..).map(|(event, at)| happened(Position(at), ANA, event)).collect()
}

/// The events, followed by an event that erases the titles at some of the positions.
fn erasing(events: &[Recorded], positions: &[u64]) -> Vec<Recorded> {
    let is_named = |event: &&Recorded| positions.contains(&event.position.0);
    let erased = events.iter().filter(is_named).map(entry).collect();
    let erased = ContentErased { request_id: ANA.uuid(), reason: "request".into(), erased };
    let at = Position(events.len() as u64 + 1);
    let told = happened(at, DOE, Event::ContentErased(erased));
    events.iter().cloned().chain([told]).collect()
}

/// The events as read after the titles are gone.
fn left(events: &[Recorded], positions: &[u64]) -> Vec<Recorded> {
    let of = |event: &Recorded| match positions.contains(&event.position.0) {
        true => entry(event).skeleton(event.conversation, Position(5), event.time),
        false => event.clone(),
    };
    events.iter().map(of).collect()
}

fn folded(events: &[Recorded]) -> Fold {
    let mut fold = Fold::default();
    for Recorded { position, actor, lane, event, .. } in events {
        fold.apply(*position, *actor, *lane, event.as_ref());
    }
    fold
}

#[test]
fn there_is_no_title_until_somebody_gives_another_whichever_way_one_folds() {
    for erased in [&[1][..], &[2], &[4], &[1, 2], &[2, 4], &[1, 4], &[1, 2, 4]] {
        let mut events = erasing(&renamed(), erased);
        let present = if erased.contains(&4) { None } else { Some("third") };
        assert_eq!(folded(&events).conversation.title(), present, "{erased:?}");
        assert_eq!(folded(&events), folded(&left(&events, erased)), "{erased:?}");
        // A reader of only the roster lane gets the same result.
        let roster: Vec<_> = left(&events, erased).into_iter().filter(|e| e.lane == Lane::Roster).collect();
        assert_eq!(folded(&roster).conversation, folded(&events).conversation, "{erased:?}");

        events.push(happened(Position(6), BEN, updated(Some("fourth"), None)));
        assert_eq!(folded(&events).conversation.title(), Some("fourth"));
        assert_eq!(folded(&events), folded(&left(&events, erased)), "{erased:?}");
    }
}

#[test]
fn all_else_that_the_event_said_stays() {
    let events = erasing(&renamed(), &[1, 2, 4]);
    let (whole, erased) = (folded(&renamed()).conversation, folded(&left(&events, &[1, 2, 4])).conversation);
    assert_eq!(erased.history(), History::Full);
    assert_eq!(erased.members().collect::<Vec<_>>(), whole.members().collect::<Vec<_>>());
    let json = |data: &str| data_without_title(data.as_bytes()).map(|left| left.as_str().to_owned());
    assert_eq!(json(r#"{"title":"x","newer":1.50}"#).as_deref(), Some(r#"{"newer":1.50}"#));
    assert_eq!(json(r#"{"title":"x","client_id":"about-ben"}"#).as_deref(), Some("{}"));
    assert_eq!(json(r#"{"history":"full"}"#), None, "there is no title to erase");
}

#[test]
fn an_erased_title_may_be_given_again_and_a_title_that_stays_not() {
    let given = |erased: &[u64]| folded(&erasing(&renamed(), erased)).conversation;
    assert_eq!(given(&[1, 2]).decide(ANA, retitle("third")), Ok(None));
    assert_eq!(given(&[1, 2, 4]).decide(ANA, retitle("third")), Ok(Some(updated(Some("third"), None))));
}

#[test]
fn an_erasure_of_messages_changes_no_roster() {
    let mut fold = folded(&renamed());
    let before = fold.conversation.clone();
    let erasing = Recorded::erasing(5, renamed()[0].conversation, &[4]);
    fold.apply(erasing.position, DOE, erasing.lane, erasing.event.as_ref());
    assert!(std::sync::Arc::ptr_eq(&before, &fold.conversation));
}
