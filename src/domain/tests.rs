//! The vocabulary of the tests of the rules: given some events, when a user gives a command, then the outcome
//! is an event or a rejection.

mod folds;
mod messages;
mod past;
mod properties;
mod receipts;
mod repeats;
mod roster;
mod titles;
mod versions;

use uuid::Uuid;

use crate::domain::*;

const ANA: UserId = person(1);
const BEN: UserId = person(2);
const CEM: UserId = person(3);
const DOE: UserId = person(4);

const fn person(n: u128) -> UserId {
    UserId::known(Uuid::from_u128(0x0193_0f3c_5a7b_7c3d_8e4f_0000_0000_0000 + n))
}

/// A conversation and the position of its last event.
#[derive(Clone)]
struct Given {
    conversation: Conversation,
    at: Position,
}

/// The decision on a command, and the conversation in which the command was decided.
struct Outcome(Given, Result<Option<Event>, Rejection>);

fn nothing() -> Given {
    Given { conversation: Conversation::default(), at: Position::START }
}

/// A group with one member, its owner.
fn group(owner: UserId) -> Given {
    nothing().when(owner, start_group("Lunch", &[])).goes_on()
}

fn direct(one: UserId, other: UserId) -> Given {
    nothing().when(one, start_direct(other)).goes_on()
}

impl Given {
    fn and(mut self, event: Event) -> Self {
        self.at.0 += 1;
        self.conversation.evolve(self.at, &event);
        self
    }

    fn with(self, user: UserId) -> Self {
        self.and(added(user, Role::Member))
    }

    fn with_admin(self, user: UserId) -> Self {
        self.and(added(user, Role::Admin))
    }

    fn with_owner(self, user: UserId) -> Self {
        self.and(added(user, Role::Owner))
    }

    fn when(self, by: UserId, command: Command) -> Outcome {
        let decision = self.conversation.decide(by, command);
        Outcome(self, decision)
    }

    fn since(&self, user: UserId) -> Option<u64> {
        self.conversation.membership(user).map(|membership| membership.since.0)
    }

    fn visible_from(&self, user: UserId) -> Option<u64> {
        self.conversation.visible_from(user).map(|position| position.0)
    }
}

impl Outcome {
    #[track_caller]
    fn then(self, event: Event) -> Given {
        assert_eq!(self.1, Ok(Some(event)));
        self.goes_on()
    }

    #[track_caller]
    fn then_nothing(self) {
        assert_eq!(self.1, Ok(None));
    }

    #[track_caller]
    fn then_rejected(self, rejection: Rejection) {
        assert_eq!(self.1, Err(rejection));
    }

    #[track_caller]
    fn goes_on(self) -> Given {
        let event = self.1.expect("it is allowed").expect("something happens");
        self.0.and(event)
    }
}

fn text(words: &str) -> Text {
    Text::try_from(words.to_owned()).expect("a text")
}

fn title(text: &str) -> Title {
    Title::try_from(text.to_owned()).expect("a title")
}

fn start_direct(with: UserId) -> Command {
    Command::StartDirect { with, blocked: false }
}

fn start_group(name: &str, members: &[UserId]) -> Command {
    Command::StartGroup {
        title: title(name),
        members: members.iter().copied().map(NewMember::plain).collect(),
    }
}

fn add(user: UserId) -> Command {
    add_as(user, Role::Member)
}

fn add_as(user: UserId, role: Role) -> Command {
    Command::Add { user, role, client_id: None }
}

fn remove(user: UserId) -> Command {
    Command::Remove { user, client_id: None }
}

fn change_role(user: UserId, role: Role) -> Command {
    Command::ChangeRole { user, role, client_id: None }
}

fn retitle(name: &str) -> Command {
    Command::Update { title: Some(title(name)), history: None, retention: None, client_id: None }
}

fn keep_history(history: History) -> Command {
    Command::Update { title: None, history: Some(history), retention: None, client_id: None }
}

fn say(words: &str) -> Command {
    say_with(words, None, None)
}

/// A command to send a message, where one of the two users may have blocked the other.
fn say_though(words: &str, blocked: bool) -> Command {
    match say(words) {
        Command::Send { message_id, new, quoted, .. } => Command::Send { message_id, new, quoted, blocked },
        other => other,
    }
}

fn say_with(words: &str, quoted: Option<FoundMessage>, metadata: Option<Metadata>) -> Command {
    let client_id = ClientId::try_from("client-1".to_owned()).expect("a key");
    let message_id = MessageId::known(ANA.uuid());
    let reply_to = quoted.as_ref().map(|quoted| quoted.id);
    let new = NewMessage { client_id, text: text(words), reply_to, metadata };
    Command::Send { message_id, new: Box::new(new), quoted: quoted.map(Box::new), blocked: false }
}

fn created(kind: Kind, name: Option<&str>, members: &[(UserId, Role)]) -> Event {
    Event::ConversationCreated(ConversationCreated {
        kind,
        title: name.map(str::to_owned),
        history: History::Full,
        members: members.iter().map(|&(user_id, role)| NewMember { user_id, role }).collect(),
    })
}

fn added(user_id: UserId, role: Role) -> Event {
    Event::MemberAdded(MemberAdded { user_id, role, client_id: None })
}

fn removed(user_id: UserId) -> Event {
    Event::MemberRemoved(MemberRemoved { user_id, client_id: None })
}

fn role_changed(user_id: UserId, role: Role) -> Event {
    Event::MemberRoleChanged(MemberRoleChanged { user_id, role, client_id: None })
}

fn updated(name: Option<&str>, history: Option<History>) -> Event {
    Event::ConversationUpdated(ConversationUpdated {
        title: name.map(str::to_owned),
        history,
        retention_s: None,
        client_id: None,
    })
}

fn message(words: &str) -> MessageSent {
    MessageSent {
        message_id: MessageId::known(ANA.uuid()),
        client_id: "client-1".into(),
        text: words.into(),
        reply_to: None,
        reply_to_position: None,
        metadata: None,
        mentions: Vec::new(),
    }
}

fn sent(words: &str) -> Event {
    Event::MessageSent(message(words))
}

fn advanced(delivered: u64, read: u64) -> Event {
    Event::ReceiptAdvanced(ReceiptAdvanced { delivered: Position(delivered), read: Position(read) })
}

/// An event at a position of a conversation.
fn happened(at: Position, actor: UserId, event: Event) -> Recorded {
    Recorded::happened(at.0, ConversationId::known(ANA.uuid()), actor, Some(event))
}
