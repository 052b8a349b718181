//! Properties that hold for every sequence of commands.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use crate::domain::tests::*;

const PEOPLE: [UserId; 5] = [ANA, BEN, CEM, DOE, person(5)];

/// A step of a user in a random sequence.
#[derive(Debug, Clone)]
enum Step {
    /// A command that is decided on the state so far.
    Command(UserId, Command),
    /// A message or receipt that is appended even if its sender is no longer a member.
    Late(UserId, Event),
}

/// A conversation after some steps: its log, and its state.
#[derive(Default)]
struct Played {
    log: Vec<Recorded>,
    fold: Fold,
    receipts: BTreeMap<UserId, ReceiptAdvanced>,
    messages: Vec<Said>,
}

/// A message as a lookup finds it.
#[derive(Debug, Clone)]
struct Said {
    message: FoundMessage,
    reactions: BTreeMap<UserId, BTreeSet<String>>,
}

/// A placeholder for the message with this number, which is looked up when a command is decided.
fn wanted(n: u64) -> FoundMessage {
    FoundMessage {
        id: MessageId::known(ANA.uuid()),
        position: Position(n),
        sender: ANA,
        text: String::new(),
        deleted: false,
        mine: BTreeSet::new(),
        pinned: false,
        pins: 0,
        expired: false,
    }
}

impl Played {
    /// The decision on a command, with the current receipts, head and messages.
    fn decide(&self, by: UserId, command: &Command) -> Result<Option<Event>, Rejection> {
        let mut command = command.clone();
        if let Command::Advance { known, head, .. } = &mut command {
            *known = self.receipts.get(&by).copied().unwrap_or(NEVER);
            *head = self.fold.head;
        }
        if let Command::Act { message, .. } = &mut command {
            // While there are no messages, a lookup finds nothing.
            let number = message.position.0 as usize;
            let Some(said) = self.messages.get(number % self.messages.len().max(1)) else {
                return Err(Rejection::NotFound);
            };
            **message = said.message.clone();
            message.mine = said.reactions.get(&by).cloned().unwrap_or_default();
            message.pins = self.messages.iter().filter(|said| said.message.pinned).count() as u64;
        }
        self.fold.conversation.decide(by, command)
    }

    /// Appends an event. The gap before it represents events of other conversations.
    fn append(&mut self, actor: UserId, event: Event, gap: u64) {
        let at = Position(self.fold.read.0 + 1 + gap);
        if self.fold.apply(at, actor, event.lane(), Some(&event)).is_some() {
            self.tell(at, actor, &event);
        }
        if let Event::ReceiptAdvanced(known) = event {
            self.receipts.insert(actor, known);
        }
        self.log.push(happened(at, actor, event));
    }
}

impl Played {
    /// Applies an event to the messages, as a view does.
    fn tell(&mut self, at: Position, actor: UserId, event: &Event) {
        if let Event::MessageSent(sent) = event {
            let text = sent.text.as_str().to_owned();
            let message = FoundMessage { position: at, sender: actor, text, ..wanted(0) };
            self.messages.push(Said { message, reactions: BTreeMap::new() });
        }
        let of = match event {
            Event::MessageEdited(MessageEdited { message_position, .. })
            | Event::MessageDeleted(MessageDeleted { message_position, .. })
            | Event::ReactionAdded(ReactionAdded { message_position, .. })
            | Event::ReactionRemoved(ReactionRemoved { message_position, .. })
            | Event::MessagePinned(MessagePinned { message_position, .. })
            | Event::MessageUnpinned(MessageUnpinned { message_position, .. }) => *message_position,
            _ => return,
        };
        let Some(Said { message, reactions }) =
            self.messages.iter_mut().find(|said| said.message.position == of && !said.message.deleted)
        else {
            return;
        };
        let mine = reactions.entry(actor).or_default();
        match event {
            Event::MessageEdited(edited) => message.text = edited.text.as_str().to_owned(),
            Event::MessageDeleted(_) => (message.deleted, message.pinned) = (true, false),
            Event::ReactionAdded(added) => drop(mine.insert(added.emoji.as_str().to_owned())),
            Event::ReactionRemoved(removed) => drop(mine.remove(removed.emoji.as_str())),
            Event::MessagePinned(_) => message.pinned = true,
            Event::MessageUnpinned(_) => message.pinned = false,
            _ => {}
        }
    }
}

const NEVER: ReceiptAdvanced = ReceiptAdvanced { delivered: Position::START, read: Position::START };

fn play(steps: &[(Step, u64)]) -> Played {
    let mut played = Played::default();
    for (step, gap) in steps {
        match step {
            Step::Command(by, command) => {
                if let Ok(Some(event)) = played.decide(*by, command) {
                    played.append(*by, event, *gap);
                }
            }
            Step::Late(actor, event) => played.append(*actor, event.clone(), *gap),
        }
    }
    played
}

fn fold(fold: &mut Fold, log: &[Recorded]) -> Vec<Option<Position>> {
    log.iter().map(|h| fold.apply(h.position, h.actor, h.lane, h.event.as_ref())).collect()
}

fn anybody() -> impl Strategy<Value = UserId> {
    proptest::sample::select(&PEOPLE)
}

fn any_role() -> impl Strategy<Value = Role> {
    proptest::sample::select(&[Role::Member, Role::Admin, Role::Owner])
}

fn any_history() -> impl Strategy<Value = History> {
    proptest::sample::select(&[History::Full, History::SinceJoin])
}

fn any_position() -> impl Strategy<Value = Option<Position>> {
    proptest::option::of(prop_oneof![4 => 0..60_u64, 1 => any::<u64>()].prop_map(Position))
}

fn any_title() -> impl Strategy<Value = Title> {
    proptest::sample::select(&["Lunch", "Dinner"]).prop_map(title)
}

fn any_act() -> impl Strategy<Value = Act> {
    let emoji = || {
        proptest::sample::select(&["👍", "❤️"])
            .prop_map(|sign| Emoji::try_from(sign.to_owned()).expect("a sign"))
    };
    prop_oneof![
        2 => proptest::sample::select(&["hi", "hello"]).prop_map(|words| Act::Edit(text(words))),
        1 => Just(Act::Delete),
        2 => emoji().prop_map(Act::React),
        1 => emoji().prop_map(Act::Unreact),
        2 => Just(Act::Pin),
        1 => Just(Act::Unpin),
    ]
}

fn any_member() -> impl Strategy<Value = NewMember> {
    (anybody(), any_role()).prop_map(|(user_id, role)| NewMember { user_id, role })
}

fn any_command() -> impl Strategy<Value = Command> {
    let update = (
        proptest::option::of(any_title()),
        proptest::option::of(any_history()),
        proptest::option::of(proptest::option::of(3_600_u64..3_602)),
    );
    prop_oneof![
        1 => (anybody(), any::<bool>()).prop_map(|(with, blocked)| Command::StartDirect { with, blocked }),
        2 => (any_title(), proptest::collection::vec(any_member(), 0..4))
            .prop_map(|(title, members)| Command::StartGroup { title, members }),
        2 => update.prop_map(|(title, history, retention)| {
            Command::Update { title, history, retention, client_id: None }
        }),
        5 => (anybody(), any_role()).prop_map(|(user, role)| add_as(user, role)),
        5 => anybody().prop_map(remove),
        5 => (anybody(), any_role()).prop_map(|(user, role)| change_role(user, role)),
        3 => any::<bool>().prop_map(|blocked| say_though("hi", blocked)),
        6 => (0..9_u64, any_act(), any::<bool>()).prop_map(|(n, act, blocked)| Command::Act {
            message: Box::new(wanted(n)),
            act,
            client_id: None,
            blocked,
        }),
        3 => (any_position(), any_position()).prop_map(|(delivered, read)| Command::Advance {
            delivered,
            read,
            known: NEVER,
            head: Position::START,
        }),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    let late = prop_oneof![Just(sent("late")), (0..9_u64).prop_map(|n| advanced(n, n))];
    prop_oneof![
        9 => (anybody(), any_command()).prop_map(|(by, command)| Step::Command(by, command)),
        1 => (anybody(), late).prop_map(|(by, event)| Step::Late(by, event)),
    ]
}

fn any_steps() -> impl Strategy<Value = Vec<(Step, u64)>> {
    let first = (anybody(), any_title(), proptest::collection::vec(any_member(), 0..4));
    let begins =
        first.prop_map(|(by, title, members)| (Step::Command(by, Command::StartGroup { title, members }), 0));
    let rest = || proptest::collection::vec((any_step(), 0..3_u64), 0..60);
    prop_oneof![
        4 => (begins, rest()).prop_map(|(first, rest)| [vec![first], rest].concat()),
        1 => rest(),
    ]
}

proptest! {
    #[test]
    fn members_always_have_an_owner_and_a_direct_conversation_its_two(steps in any_steps()) {
        for n in 0..=steps.len() {
            let conversation = play(&steps[..n]).fold.conversation;
            let roles: Vec<Role> = conversation.members().map(|(_, m)| m.role).collect();
            match conversation.kind() {
                _ if !conversation.exists() => prop_assert!(roles.is_empty()),
                Kind::Direct => prop_assert_eq!(roles, [Role::Member, Role::Member]),
                Kind::Group => prop_assert!(roles.is_empty() || roles.contains(&Role::Owner), "{:?}", roles),
            }
        }
    }

    #[test]
    fn deciding_again_after_its_own_event_makes_no_second_one(
        steps in any_steps(), by in anybody(), command in any_command(),
    ) {
        prop_assume!(!matches!(command, Command::Send { .. }));
        let mut played = play(&steps);
        let Ok(Some(event)) = played.decide(by, &command) else { return Ok(()) };
        let mine = |played: &Played| played.fold.conversation.membership(by).map(|m| m.role);
        let before = mine(&played);
        // The head only grows, so a position that was within the head stays within it.
        played.append(by, event, 0);
        let again = played.decide(by, &command);
        let starts = matches!(command, Command::StartDirect { .. } | Command::StartGroup { .. });
        if !starts && mine(&played) == before {
            prop_assert_eq!(again, Ok(None));
        } else {
            prop_assert!(!matches!(again, Ok(Some(_))), "{:?}", again);
        }
    }

    #[test]
    fn a_stranger_learns_nothing_but_not_found(
        steps in any_steps(), command in any_command(),
    ) {
        prop_assume!(!matches!(command, Command::StartDirect { .. } | Command::StartGroup { .. }));
        let stranger = person(99);
        prop_assert_eq!(play(&steps).decide(stranger, &command), Err(Rejection::NotFound));
    }

    #[test]
    fn what_happens_to_a_message_is_allowed_to_who_does_it(steps in any_steps()) {
        let steps: Vec<_> = steps.into_iter().filter(|(step, _)| matches!(step, Step::Command(..))).collect();
        let mut played = Played::default();
        for (step, gap) in steps {
            let Step::Command(by, command) = step else { continue };
            let Ok(Some(event)) = played.decide(by, &command) else { continue };
            let conversation = &played.fold.conversation;
            let has_charge = conversation.kind() == Kind::Group
                && conversation.membership(by).is_some_and(|m| m.role >= Role::Admin);
            let of = |at: Position| played.messages.iter().find(|said| said.message.position == at);
            if let Event::MessageEdited(MessageEdited { message_position, .. }) = &event {
                let said = &of(*message_position).expect("a message").message;
                prop_assert!(said.sender == by && !said.deleted);
            }
            if let Event::MessageDeleted(MessageDeleted { message_position, .. }) = &event {
                let said = &of(*message_position).expect("a message").message;
                prop_assert!((said.sender == by || has_charge) && !said.deleted);
            }
            if let Event::MessagePinned(MessagePinned { message_position, .. }) = &event {
                let said = &of(*message_position).expect("a message").message;
                prop_assert!((conversation.kind() == Kind::Direct || has_charge) && !said.pinned);
            }
            played.append(by, event, gap);
        }
    }

    #[test]
    fn receipts_rise_up_to_the_head_and_what_is_read_is_delivered(steps in any_steps()) {
        let steps: Vec<_> = steps.into_iter().filter(|(step, _)| matches!(step, Step::Command(..))).collect();
        let mut highest: BTreeMap<UserId, ReceiptAdvanced> = BTreeMap::new();
        for Recorded { position: at, actor, event, .. } in play(&steps).log {
            let Some(Event::ReceiptAdvanced(now)) = event else { continue };
            let before = highest.insert(actor, now).unwrap_or(NEVER);
            prop_assert!(now.read >= before.read && now.delivered >= before.delivered && now != before);
            prop_assert!(now.read <= now.delivered && now.delivered < at);
        }
    }

    #[test]
    fn the_chain_rises_and_links_exactly_what_counts(steps in any_steps()) {
        let log = play(&steps).log;
        let told = fold(&mut Fold::default(), &log);
        let mut members: BTreeSet<UserId> = BTreeSet::new();
        let mut last = Position::START;
        for (Recorded { position: at, actor, event, .. }, told) in log.iter().zip(told) {
            let event = event.as_ref().expect("an event");
            let counts = event.lane() == Lane::Roster || members.contains(actor);
            prop_assert_eq!(told, counts.then_some(last), "at {}", at);
            if counts {
                prop_assert!(last < *at);
                last = *at;
            }
            match event {
                Event::ConversationCreated(created) => members.extend(created.members.iter().map(|m| m.user_id)),
                Event::MemberAdded(added) => drop(members.insert(added.user_id)),
                Event::MemberRemoved(removed) => drop(members.remove(&removed.user_id)),
                _ => {}
            }
        }
    }

    #[test]
    fn reading_in_pieces_that_overlap_is_reading_at_once(
        steps in any_steps(), cut in any::<prop::sample::Index>(), overlap in 0..5_usize,
    ) {
        let Played { log, fold: whole, .. } = play(&steps);
        let cut = cut.index(log.len() + 1);
        let mut pieces = Fold::default();
        fold(&mut pieces, &log[..cut]);
        fold(&mut pieces, &log[cut.saturating_sub(overlap)..]);
        prop_assert_eq!(pieces, whole);
    }

    #[test]
    fn an_event_that_comes_twice_changes_nothing(steps in any_steps()) {
        let Played { log, fold: whole, .. } = play(&steps);
        let twice: Vec<_> = log.iter().flat_map(|happened| [happened.clone(), happened.clone()]).collect();
        let mut fold_of_twice = Fold::default();
        let told = fold(&mut fold_of_twice, &twice);
        prop_assert!(told.iter().skip(1).step_by(2).all(Option::is_none));
        prop_assert_eq!(fold_of_twice, whole);
        let mut conversation = Conversation::default();
        for Recorded { position, event, .. } in &twice {
            conversation.evolve(*position, event.as_ref().expect("an event"));
        }
        let mut once = Conversation::default();
        for Recorded { position, event, .. } in &log {
            once.evolve(*position, event.as_ref().expect("an event"));
        }
        prop_assert_eq!(conversation, once);
    }

    #[test]
    fn what_the_log_keeps_is_read_back_as_it_was(steps in any_steps()) {
        for event in play(&steps).log.into_iter().filter_map(|happened| happened.event) {
            let data = event.data().expect("it is JSON");
            let read = Event::read(event.word(), &data).expect("a type of ours").expect("its data");
            prop_assert_eq!(read, event);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn there_are_never_more_members_than_the_limit(
        commands in proptest::collection::vec((anybody(), any_command()), 0..60),
    ) {
        let member = |role| Membership { role, since: Position(1) };
        let mut members: BTreeMap<_, _> =
            (1000..).map(person).take(MAX_MEMBERS - 3).map(|user| (user, member(Role::Member))).collect();
        members.insert(ANA, member(Role::Owner));
        members.insert(BEN, member(Role::Admin));
        let mut conversation = Conversation::restored(Kind::Group, None, History::Full, None, members);
        for (n, (by, command)) in (2..).zip(commands) {
            if let Ok(Some(event)) = conversation.decide(by, command) {
                conversation.evolve(Position(n), &event);
            }
            prop_assert!(conversation.members().len() <= MAX_MEMBERS);
        }
    }
}
