//! The rules for messages and acts on messages.

use crate::domain::tests::*;

/// A message of a sender at position 7, unchanged since it was sent.
fn of(sender: UserId) -> FoundMessage {
    FoundMessage {
        id: ID,
        position: Position(7),
        sender,
        text: "hi".to_owned(),
        deleted: false,
        mine: Default::default(),
        pinned: false,
        pins: 0,
        expired: false,
    }
}

fn gone(message: FoundMessage) -> FoundMessage {
    FoundMessage { text: String::new(), deleted: true, ..message }
}

fn with(message: FoundMessage, emoji: &str) -> FoundMessage {
    FoundMessage { mine: [emoji.to_owned()].into(), ..message }
}

fn pinned(message: FoundMessage) -> FoundMessage {
    FoundMessage { pinned: true, pins: 1, ..message }
}

fn emoji(sign: &str) -> Emoji {
    Emoji::try_from(sign.to_owned()).expect("one sign")
}

fn act(message: FoundMessage, act: Act) -> Command {
    act_though(message, act, false)
}

/// An act, where one of the two users may have blocked the other.
fn act_though(message: FoundMessage, act: Act, blocked: bool) -> Command {
    Command::Act { message: Box::new(message), act, client_id: None, blocked }
}

fn edit(message: FoundMessage, words: &str) -> Command {
    act(message, Act::Edit(text(words)))
}

const ID: MessageId = MessageId::known(Uuid::from_u128(7));
const AT: Position = Position(7);

fn edited(words: &str, mentions: &[UserId]) -> Event {
    Event::MessageEdited(MessageEdited {
        message_id: ID,
        message_position: AT,
        client_id: None,
        text: words.into(),
        mentions: mentions.to_vec(),
    })
}

fn deleted() -> Event {
    Event::MessageDeleted(MessageDeleted { message_id: ID, message_position: AT, client_id: None })
}

fn reacted(sign: &str) -> Event {
    let emoji = emoji(sign);
    Event::ReactionAdded(ReactionAdded {
        message_id: ID,
        message_position: AT,
        client_id: None,
        emoji: emoji.into(),
    })
}

fn took_back(sign: &str) -> Event {
    let emoji = emoji(sign);
    Event::ReactionRemoved(ReactionRemoved {
        message_id: ID,
        message_position: AT,
        client_id: None,
        emoji: emoji.into(),
    })
}

fn every_act() -> [Act; 6] {
    [
        Act::Edit(text("hello")),
        Act::Delete,
        Act::React(emoji("👍")),
        Act::Unreact(emoji("👍")),
        Act::Pin,
        Act::Unpin,
    ]
}

#[test]
fn only_the_sender_edits_and_the_same_text_again_is_nothing() {
    let given = || group(ANA).with(BEN).with_admin(CEM);
    given().when(BEN, edit(of(BEN), "hello")).then(edited("hello", &[]));
    given().when(BEN, edit(of(BEN), "hi")).then_nothing();
    for other in [ANA, CEM] {
        given().when(other, edit(of(BEN), "hello")).then_rejected(Rejection::NotTheSender);
    }
    direct(ANA, BEN).when(ANA, edit(of(BEN), "hello")).then_rejected(Rejection::NotTheSender);
}

#[test]
fn the_sender_deletes_and_so_do_admins_and_owners_of_a_group() {
    let given = || group(ANA).with(BEN).with_admin(CEM).with(DOE);
    for by in [BEN, CEM, ANA] {
        given().when(by, act(of(BEN), Act::Delete)).then(deleted());
        given().when(by, act(gone(of(BEN)), Act::Delete)).then_nothing();
    }
    given().when(DOE, act(of(BEN), Act::Delete)).then_rejected(Rejection::Forbidden);
    given().when(DOE, act(gone(of(BEN)), Act::Delete)).then_rejected(Rejection::Forbidden);
    direct(ANA, BEN).when(ANA, act(of(BEN), Act::Delete)).then_rejected(Rejection::NotTheSender);
}

#[test]
fn every_member_reacts_and_a_reaction_is_there_once() {
    let given = || group(ANA).with(BEN);
    let (up, heart) = (|| Act::React(emoji("👍")), || Act::React(emoji("❤️")));
    given().when(ANA, act(of(BEN), up())).then(reacted("👍"));
    given().when(BEN, act(of(BEN), up())).then(reacted("👍"));
    given().when(ANA, act(with(of(BEN), "👍"), up())).then_nothing();
    given().when(ANA, act(with(of(BEN), "👍"), heart())).then(reacted("❤️"));
    given().when(ANA, act(with(of(BEN), "👍"), Act::Unreact(emoji("👍")))).then(took_back("👍"));
    given().when(ANA, act(with(of(BEN), "👍"), Act::Unreact(emoji("❤️")))).then_nothing();
}

#[test]
fn a_member_has_no_more_reactions_to_a_message_than_the_limit() {
    let signs = (0..MAX_REACTIONS as u32).filter_map(|n| char::from_u32(0x1F600 + n)).map(String::from);
    let full = FoundMessage { mine: signs.collect(), ..of(BEN) };
    let given = || group(ANA).with(BEN);
    given().when(ANA, act(full.clone(), Act::React(emoji("👍")))).then_rejected(Rejection::TooManyReactions);
    given().when(ANA, act(full.clone(), Act::React(emoji("😀")))).then_nothing();
    given().when(ANA, act(full, Act::Unreact(emoji("😀")))).then(took_back("😀"));
}

#[test]
fn both_pin_in_a_direct_conversation_and_admins_and_owners_in_a_group() {
    let is_pinned =
        Event::MessagePinned(MessagePinned { message_id: ID, message_position: AT, client_id: None });
    let is_unpinned =
        Event::MessageUnpinned(MessageUnpinned { message_id: ID, message_position: AT, client_id: None });
    let in_group = || group(ANA).with(BEN).with_admin(CEM);
    for (given, by) in
        [(in_group(), ANA), (in_group(), CEM), (direct(ANA, BEN), ANA), (direct(ANA, BEN), BEN)]
    {
        given.clone().when(by, act(of(BEN), Act::Pin)).then(is_pinned.clone());
        given.clone().when(by, act(pinned(of(BEN)), Act::Pin)).then_nothing();
        given.clone().when(by, act(pinned(of(BEN)), Act::Unpin)).then(is_unpinned.clone());
        given.when(by, act(of(BEN), Act::Unpin)).then_nothing();
    }
    for what in [Act::Pin, Act::Unpin] {
        in_group().when(BEN, act(of(BEN), what)).then_rejected(Rejection::Forbidden);
    }
}

#[test]
fn a_conversation_has_no_more_pins_than_the_limit() {
    let full = FoundMessage { pins: MAX_PINS, ..of(BEN) };
    direct(ANA, BEN).when(ANA, act(full.clone(), Act::Pin)).then_rejected(Rejection::TooManyPins);
    direct(ANA, BEN).when(ANA, act(FoundMessage { pinned: true, ..full }, Act::Pin)).then_nothing();
}

#[test]
fn who_is_blocked_puts_nothing_before_the_other_but_may_take_away() {
    let direct = || direct(ANA, BEN);
    let mine = || with(pinned(of(BEN)), "👍");
    for speaks in [Act::Edit(text("new")), Act::React(emoji("👍")), Act::Pin] {
        direct().when(BEN, act_though(of(BEN), speaks.clone(), true)).then_rejected(Rejection::Blocked);
        direct().when(CEM, act_though(of(BEN), speaks, true)).then_rejected(Rejection::NotFound);
    }
    for takes_away in [Act::Delete, Act::Unreact(emoji("👍")), Act::Unpin] {
        direct().when(BEN, act_though(mine(), takes_away, true)).goes_on();
    }
    group(ANA)
        .with(BEN)
        .when(BEN, act_though(of(BEN), Act::Edit(text("new")), true))
        .then(edited("new", &[]));
}

#[test]
fn nothing_is_done_with_a_deleted_message() {
    let message = || gone(of(ANA));
    for (what, refused) in every_act().into_iter().zip([true, false, true, false, true, false]) {
        let outcome = group(ANA).when(ANA, act(message(), what));
        if refused { outcome.then_rejected(Rejection::MessageDeleted) } else { outcome.then_nothing() }
    }
    group(ANA).when(ANA, say_with("yes", Some(message()), None)).then_rejected(Rejection::BadReference);
}

#[test]
fn what_was_said_before_i_may_read_is_not_there_for_me() {
    let given = || group(ANA).with(BEN).and(updated(None, Some(History::SinceJoin))).with(CEM);
    let since = given().since(CEM).expect("a member");
    for (at, is_there) in [(since, false), (since + 1, true)] {
        let message = || FoundMessage { position: Position(at), ..of(CEM) };
        for what in every_act().into_iter().take(4) {
            let decided = given().when(CEM, act(message(), what)).1;
            assert_eq!(decided != Err(Rejection::NotFound), is_there, "{decided:?}");
        }
        let reply = given().when(CEM, say_with("yes", Some(message()), None)).1;
        assert_eq!(reply != Err(Rejection::BadReference), is_there, "{reply:?}");
    }
}

#[test]
fn strangers_and_former_members_do_nothing() {
    for what in every_act() {
        group(ANA).with(BEN).when(DOE, act(of(BEN), what.clone())).then_rejected(Rejection::NotFound);
        let former = group(ANA).with(BEN).and(removed(BEN));
        former.when(BEN, act(of(BEN), what)).then_rejected(Rejection::NotFound);
    }
    group(ANA).when(DOE, say_with("yes", Some(of(ANA)), None)).then_rejected(Rejection::NotFound);
}

#[test]
fn a_reply_names_what_it_answers_and_a_message_keeps_its_metadata() {
    let metadata = serde_json::from_str::<Metadata>(r#"{"priority":1}"#).expect("metadata");
    group(ANA).when(ANA, say_with("yes", Some(of(ANA)), Some(metadata.clone()))).then(Event::MessageSent(
        MessageSent {
            reply_to: Some(ID),
            reply_to_position: Some(AT),
            metadata: Some(metadata.into()),
            ..message("yes")
        },
    ));
}

#[test]
fn members_who_are_named_are_mentioned_once_and_nobody_else_is() {
    let words = format!("<@{CEM}> <@{BEN}>, <@{BEN}> <@{DOE}> <@nobody> <@ {ANA}> <@{ANA} @{ANA} <@{CEM}");
    let sent = Event::MessageSent(MessageSent { mentions: vec![BEN, CEM], ..message(&words) });
    let given = || group(ANA).with(BEN).with(CEM);
    given().when(ANA, say(&words)).then(sent);
    given().when(BEN, edit(of(BEN), &words)).then(edited(&words, &[BEN, CEM]));
    let given = given().and(removed(CEM));
    given.when(ANA, edit(of(ANA), &words)).then(edited(&words, &[BEN]));
}

#[test]
fn an_event_is_known_as_what_was_asked_for() {
    let other = MessageId::known(CEM.uuid());
    let Ok(Some(event)) = direct(ANA, BEN).when(ANA, act(of(ANA), Act::React(emoji("👍")))).1 else {
        panic!("it is allowed")
    };
    for what in every_act() {
        assert_eq!(what.made(ID, &event), what == Act::React(emoji("👍")));
        assert!(!what.made(other, &event));
    }
    assert!(!Act::React(emoji("❤️")).made(ID, &event));
    assert!(!Act::Edit(text("hello")).made(ID, &edited("hullo", &[])));
}

#[test]
fn an_expired_message_is_as_if_it_did_not_exist() {
    let expired = || FoundMessage { expired: true, ..of(ANA) };
    for one in every_act() {
        group(ANA).when(ANA, act(expired(), one)).then_rejected(Rejection::NotFound);
    }
    let answer = say_with("hi", Some(expired()), None);
    group(ANA).when(ANA, answer).then_rejected(Rejection::BadReference);
}
