//! Which erased events legal holds keep.

use std::collections::{BTreeSet, HashMap};

use crate::{
    accounts::holds::{HoldSubjects, LegalHold},
    domain::{HoldId, MessageId, UserId},
    log::ErasedEvent,
};

/// For each of the erased events, in order, the holds that keep it. A hold that keeps a message or one of its edits
/// keeps all of them, because an edit says little without the previous text.
pub(super) fn held(holds: &[LegalHold], events: &[ErasedEvent]) -> Vec<BTreeSet<HoldId>> {
    let keep = |event: &ErasedEvent| -> BTreeSet<HoldId> {
        let names = |hold: &&LegalHold| hold.names(event.actor, event.conversation, event.time);
        holds.iter().filter(names).map(|hold| hold.id).collect()
    };
    let mut of_messages: HashMap<MessageId, BTreeSet<HoldId>> = HashMap::new();
    for event in events {
        if let Some(message) = event.message {
            of_messages.entry(message).or_default().extend(keep(event));
        }
    }
    let by = |event: &ErasedEvent| match event.message {
        Some(message) => of_messages.get(&message).cloned().unwrap_or_default(),
        None => keep(event),
    };
    events.iter().map(by).collect()
}

/// The holds that keep the identity of an account.
pub(super) fn holds_of_account(holds: &[LegalHold], account: UserId) -> impl Iterator<Item = HoldId> {
    let names =
        move |hold: &&LegalHold| matches!(&hold.of, HoldSubjects::Users(users) if users.contains(&account));
    holds.iter().filter(names).map(|hold| hold.id)
}

#[cfg(test)]
mod tests {
    use time::{Duration, OffsetDateTime};
    use uuid::Uuid;

    use super::*;
    use crate::domain::{ConversationId, EventId, Position, Time};

    fn at(minute: u64) -> Time {
        Time::of(OffsetDateTime::UNIX_EPOCH + Duration::minutes(minute.cast_signed()))
    }

    /// An event in the conversation 1, as many minutes after the beginning as its position says.
    fn event(position: u64, actor: u128, message: u128, is_message: bool) -> ErasedEvent {
        ErasedEvent {
            conversation: ConversationId::known(Uuid::from_u128(1)),
            position: Position(position),
            time: at(position),
            id: EventId::known(Uuid::nil()),
            actor: UserId::known(Uuid::from_u128(actor)),
            message: Some(MessageId::known(Uuid::from_u128(message))),
            is_message,
            told_at: Position(100),
        }
    }

    fn hold(of: HoldSubjects, from: Option<u64>, to: Option<u64>) -> LegalHold {
        LegalHold {
            id: HoldId::known(Uuid::from_u128(9)),
            name: "a case".into(),
            of,
            from: from.map(at),
            to: to.map(at),
            placed_at: at(0),
            placed_by: None,
            lifted_at: None,
            lifted_by: None,
        }
    }

    fn of_user(id: u128) -> HoldSubjects {
        HoldSubjects::Users([UserId::known(Uuid::from_u128(id))].into())
    }

    fn of_conversation(id: u128) -> HoldSubjects {
        HoldSubjects::Conversations([ConversationId::known(Uuid::from_u128(id))].into())
    }

    fn kept(hold: LegalHold, events: &[ErasedEvent]) -> Vec<u64> {
        let held = held(&[hold], events);
        let kept = events.iter().zip(held).filter(|(_, by)| !by.is_empty());
        kept.map(|(event, _)| event.position.0).collect()
    }

    #[test]
    fn a_hold_keeps_what_its_users_said_or_what_was_said_in_its_conversations_and_titles_too() {
        let events = [event(10, 7, 70, true), event(20, 8, 80, true)];
        assert_eq!(kept(hold(of_user(7), None, None), &events), [10]);
        assert_eq!(kept(hold(of_conversation(1), None, None), &events), [10, 20]);
        assert!(kept(hold(of_conversation(2), None, None), &events).is_empty());
        assert_eq!(held(&[], &events), [BTreeSet::new(), BTreeSet::new()]);
        let title = ErasedEvent { message: None, ..event(30, 7, 0, false) };
        assert_eq!(kept(hold(of_user(7), None, None), std::slice::from_ref(&title)), [30]);
        assert!(kept(hold(of_user(8), None, None), &[title]).is_empty());
    }

    #[test]
    fn its_times_are_from_the_first_and_before_the_second() {
        let events = [10, 20, 30].map(|at| event(at, 7, u128::from(at), true));
        let between = |from, to| kept(hold(of_conversation(1), from, to), &events);
        assert_eq!(between(Some(20), None), [20, 30]);
        assert_eq!(between(None, Some(20)), [10]);
        assert_eq!(between(Some(20), Some(30)), [20]);
    }

    #[test]
    fn a_message_and_its_edits_are_kept_together() {
        let events = [event(10, 7, 70, true), event(20, 7, 70, false), event(25, 7, 71, true)];
        assert_eq!(kept(hold(of_user(7), Some(20), Some(21)), &events), [10, 20]);
    }

    #[test]
    fn a_hold_on_a_user_keeps_who_that_is_whatever_its_times_are() {
        let user = UserId::known(Uuid::from_u128(7));
        assert_eq!(holds_of_account(&[hold(of_user(7), Some(20), None)], user).count(), 1);
        assert_eq!(holds_of_account(&[hold(of_user(8), None, None)], user).count(), 0);
        assert_eq!(holds_of_account(&[hold(of_conversation(7), None, None)], user).count(), 0);
    }
}
