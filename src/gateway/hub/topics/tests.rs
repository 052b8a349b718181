#![allow(clippy::unwrap_used)]

use std::time::Duration;

use proptest::prelude::*;
use serde_json::Value;
use tokio::{
    io::AsyncReadExt as _,
    net::{TcpListener, TcpStream},
    time::timeout,
};
use uuid::Uuid;

use crate::{
    credentials::{Identity, Proof, Scopes},
    domain::{
        ConversationCreated, EventId, History, Kind, LoginId, MemberAdded, MemberRemoved, NewMember,
        Recorded, Role, Status, Time,
    },
    gateway::{
        hub::{
            listeners::{Listeners, Session},
            topics::*,
        },
        wire::{limits::SocketLimits, socket::Socket, websocket},
    },
};

const LUNCH: u128 = 1;
/// The user who creates the conversation. She has no session here.
const ANA: u128 = 10;
/// The users with sessions here.
const HERE: [u128; 2] = [11, 12];

fn conversation(number: u128) -> ConversationId {
    ConversationId::known(Uuid::from_u128(number))
}

fn user(number: u128) -> UserId {
    UserId::known(Uuid::from_u128(number))
}

fn at(position: u64) -> Point {
    Point { position: Position(position), event: EventId::known(Uuid::from_u128(position.into())) }
}

fn created(position: u64, number: u128, members: &[u128]) -> Recorded {
    let member = |number: &u128| NewMember { user_id: user(*number), role: Role::Owner };
    let members = members.iter().map(member).collect();
    let created =
        ConversationCreated { kind: Kind::Group, title: None, history: History::default(), members };
    Recorded::happened(position, conversation(number), user(ANA), Some(Event::ConversationCreated(created)))
}

fn added(position: u64, number: u128, who: u128) -> Recorded {
    let event = Event::MemberAdded(MemberAdded { user_id: user(who), role: Role::Member, client_id: None });
    Recorded::happened(position, conversation(number), user(ANA), Some(event))
}

fn removed(position: u64, number: u128, who: u128) -> Recorded {
    let event = Event::MemberRemoved(MemberRemoved { user_id: user(who), client_id: None });
    Recorded::happened(position, conversation(number), user(ANA), Some(event))
}

fn said(position: u64, number: u128, who: u128) -> Recorded {
    Recorded::happened(position, conversation(number), user(who), None)
}

fn folded(log: &[Recorded]) -> Fold {
    let mut fold = Fold::default();
    for recorded in log {
        recorded.apply_to(&mut fold);
    }
    fold
}

/// A user with a session here, and the client's end of the socket.
struct Guest {
    listener: Arc<Listener>,
    session: Arc<Session>,
    client: TcpStream,
}

impl Guest {
    async fn of(listeners: &Listeners, number: u128) -> Self {
        let door = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(door.local_addr().unwrap()).await.unwrap();
        let (stream, _) = door.accept().await.unwrap();
        let (socket, _incoming) = Socket::open(stream, Bytes::new(), SocketLimits::default());
        let caller = Identity {
            user: user(number),
            login: LoginId::known(Uuid::nil()),
            expires_at: Time::of(time::OffsetDateTime::UNIX_EPOCH),
            proof: Proof::Login,
            via: None,
            scopes: Scopes::PERSON,
        };
        let session = Session::new(Uuid::from_u128(number), &caller, socket, None);
        let listener = listeners.enter(&session);
        listener.settle(listener.settling().unwrap());
        Self { listener, session, client }
    }

    /// Marks a place between the frames of the guest.
    fn mark(&self, number: usize) {
        self.session.socket.send(&websocket::text(format!(r#"{{"op":"mark","n":{number}}}"#).as_bytes()));
    }

    /// All frames up to and including a mark, or up to a close frame.
    async fn frames(&mut self, last: usize) -> Vec<Value> {
        let mut frames = Vec::new();
        loop {
            let mut head = [0; 2];
            timeout(Duration::from_secs(5), self.client.read_exact(&mut head)).await.unwrap().unwrap();
            let length = match head[1] {
                126 => usize::from(self.client.read_u16().await.unwrap()),
                length => usize::from(length),
            };
            let mut payload = vec![0; length];
            self.client.read_exact(&mut payload).await.unwrap();
            if head[0] == 0x88 {
                let code = u16::from_be_bytes([payload[0], payload[1]]);
                frames.push(serde_json::json!({ "op": "closed", "code": code }));
                return frames;
            }
            let frame: Value = serde_json::from_slice(&payload).unwrap();
            let is_last = frame["op"] == "mark" && frame["n"] == last;
            frames.push(frame);
            if is_last {
                return frames;
            }
        }
    }
}

/// The position and the previous position of each event among the frames.
fn chain(frames: &[Value]) -> Vec<(u64, u64)> {
    let events = frames.iter().filter(|frame| frame["op"] == "event");
    events.map(|f| (f["position"].as_u64().unwrap(), f["previous"].as_u64().unwrap())).collect()
}

/// The chain of events that a member gets when the log is read again from the beginning.
fn visible(log: &[Recorded], to: UserId) -> Vec<(u64, u64)> {
    let (mut fold, mut seen) = (Fold::default(), Vec::new());
    for recorded in log {
        let was_in = fold.conversation.membership(to).is_some();
        let previous = recorded.apply_to(&mut fold);
        if let Some(previous) = previous.filter(|_| was_in || fold.conversation.membership(to).is_some()) {
            seen.push((recorded.position.0, previous.0));
        }
    }
    seen
}

/// A step in the life of a conversation that is unknown to this node at first.
#[derive(Debug, Clone, Copy)]
enum Step {
    Add(u128),
    Remove(u128),
    Say(u128),
    /// The reading of the conversation finishes.
    Read,
    /// Events of other conversations advance the stream.
    Elsewhere,
    /// The last session of one of [`HERE`] ends.
    Leave(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let who = prop_oneof![Just(ANA), Just(HERE[0]), Just(HERE[1]), Just(99)];
    let step = prop_oneof![
        4 => who.clone().prop_map(Step::Add),
        3 => who.clone().prop_map(Step::Remove),
        6 => who.prop_map(Step::Say),
        3 => Just(Step::Read),
        1 => Just(Step::Elsewhere),
        1 => (0..2_usize).prop_map(Step::Leave),
    ];
    prop::collection::vec(step, 1..40)
}

/// The task of a stream, with control over its log.
struct Stage {
    topics: Topics,
    log: Vec<Recorded>,
    tracked: Option<Arc<Tracked>>,
    /// The conversation as it was before the first held event.
    reading: Option<(Position, Fold)>,
    position: u64,
}

impl Stage {
    fn new() -> Self {
        let log = vec![created(1, LUNCH, &[ANA])];
        Self { topics: Topics::new(0), log, tracked: None, reading: None, position: 1 }
    }

    fn happens(&mut self, recorded: Recorded, added: Vec<Arc<Listener>>) {
        let before = folded(&self.log);
        self.log.push(recorded.clone());
        if self.topics.is_held(conversation(LUNCH)) {
            self.topics.hold(&recorded, added, at(recorded.position.0 - 1)).unwrap();
        } else if let Some(tracked) = &self.tracked {
            if let Some(previous) = tracked.apply(&recorded) {
                self.topics.show(&recorded, previous, tracked, added);
            }
        } else if !added.is_empty() {
            self.topics.hold(&recorded, added, at(recorded.position.0 - 1)).unwrap();
            self.reading = Some((Position(recorded.position.0 - 1), before));
        }
        self.topics.flush_all();
        self.position = recorded.position.0;
    }

    fn is_read(&mut self) {
        let Some((before, fold)) = self.reading.take() else { return };
        let tracked = &mut self.tracked;
        self.topics
            .show_held(conversation(LUNCH), before, fold, |fold| tracked.insert(Tracked::of(fold)).clone());
    }
}

/// Whenever the reading finishes and whichever sessions leave meanwhile, each user gets all visible events, in order
/// and once, and no user gets a position while an event before it is missing.
async fn plays(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let (listeners, mut stage) = (Listeners::default(), Stage::new());
    let mut guests: Vec<Option<Guest>> = Vec::new();
    for number in HERE {
        guests.push(Some(Guest::of(&listeners, number).await));
    }
    let mut reached: Vec<Vec<u64>> = vec![Vec::new(); HERE.len()];
    for (n, step) in steps.iter().chain([&Step::Read]).enumerate() {
        let next = stage.position + 1;
        let here = |number| listeners.get(user(number)).into_iter().collect();
        match *step {
            Step::Add(who) if folded(&stage.log).conversation.membership(user(who)).is_none() => {
                stage.happens(added(next, LUNCH, who), here(who));
            }
            Step::Remove(who) => stage.happens(removed(next, LUNCH, who), Vec::new()),
            Step::Say(who) => stage.happens(said(next, LUNCH, who), Vec::new()),
            Step::Read => stage.is_read(),
            Step::Elsewhere => stage.position = next,
            Step::Leave(index) => {
                if let Some(mut gone) = guests[index].take() {
                    let listener = listeners.leave(&gone.session).unwrap();
                    stage.topics.unsubscribe(&listener, conversation(LUNCH));
                    stage.topics.forget(&listener);
                    gone.mark(n);
                    let seen = chain(&gone.frames(n).await);
                    let all = visible(&stage.log, user(HERE[index]));
                    prop_assert!(all.starts_with(&seen), "{seen:?} of {all:?}");
                }
            }
            Step::Add(_) => {}
        }
        for (guest, reached) in guests.iter().zip(&mut reached) {
            if let Some(guest) = guest {
                guest.mark(n);
                reached.push(guest.listener.reached(&[at(stage.position)])[0].position.0);
            }
        }
    }
    for (index, guest) in guests.iter_mut().enumerate() {
        let Some(guest) = guest else { continue };
        let frames = guest.frames(steps.len()).await;
        let all = visible(&stage.log, user(HERE[index]));
        prop_assert_eq!(&chain(&frames), &all);
        for (n, reached) in reached[index].iter().enumerate() {
            let until = frames.iter().position(|frame| frame["op"] == "mark" && frame["n"] == n).unwrap();
            let given = chain(&frames[..until]).len();
            let wanted = all.iter().filter(|(position, _)| position <= reached).count();
            prop_assert!(given >= wanted, "after step {n} everything up to {reached} is said to be given");
        }
        prop_assert_eq!(*reached[index].last().unwrap(), stage.position, "nothing is held at the end");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
    #[test]
    fn whenever_a_conversation_is_read_everybody_is_shown_the_same(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(plays(steps))?;
    }
}

#[tokio::test]
async fn nothing_is_left_of_who_goes_before_the_conversation_has_been_read() {
    let (listeners, mut stage) = (Listeners::default(), Stage::new());
    let guest = Guest::of(&listeners, HERE[0]).await;
    stage.happens(added(2, LUNCH, HERE[0]), vec![guest.listener.clone()]);
    assert!(stage.topics.holds_for(&guest.listener, [].into_iter()));
    let listener = listeners.leave(&guest.session).unwrap();
    stage.topics.forget(&listener);
    assert!(!stage.topics.holds_any(), "nobody waits for it any more");
    stage.is_read();
    assert!(stage.topics.all.is_empty() && listener.topics().is_empty());
}

#[tokio::test]
async fn what_was_given_up_is_not_shown_by_a_reading_that_comes_later() {
    let (listeners, mut stage) = (Listeners::default(), Stage::new());
    let mut guest = Guest::of(&listeners, HERE[0]).await;
    stage.happens(added(2, LUNCH, HERE[0]), vec![guest.listener.clone()]);
    assert_eq!(guest.listener.reached(&[at(2)]), [at(1)]);
    stage.topics.send_elsewhere(conversation(LUNCH));
    assert_eq!(guest.frames(0).await, [serde_json::json!({ "op": "closed", "code": 4411 })]);
    assert!(guest.listener.settling().is_some(), "the next session joins everything anew");
    let old = stage.reading.take();
    stage.happens(removed(3, LUNCH, HERE[0]), Vec::new());
    stage.happens(added(4, LUNCH, HERE[0]), vec![guest.listener.clone()]);
    let new = std::mem::replace(&mut stage.reading, old);
    stage.is_read();
    assert!(stage.topics.is_held(conversation(LUNCH)), "that reading is of another time");
    stage.reading = new;
    stage.is_read();
    assert!(!stage.topics.holds_any() && stage.topics.all.contains_key(&conversation(LUNCH)));
}

#[tokio::test]
async fn no_more_is_held_than_a_socket_takes() {
    let (listeners, mut stage) = (Listeners::default(), Stage::new());
    let guest = Guest::of(&listeners, HERE[0]).await;
    stage.happens(added(2, LUNCH, HERE[0]), vec![guest.listener.clone()]);
    let too_many =
        (3..1_000).find(|n| stage.topics.hold(&said(*n, LUNCH, ANA), Vec::new(), at(*n - 1)).is_err());
    assert_eq!(too_many, Some(258), "the 257th event");
    assert_eq!(stage.topics.held_for(Duration::ZERO, Instant::now()), [conversation(LUNCH)]);
    assert_eq!(stage.topics.held_for(Duration::from_secs(60), Instant::now()), []);
}

#[tokio::test]
async fn a_head_is_told_until_a_beat_with_it_has_been() {
    let (listeners, mut stage) = (Listeners::default(), Stage::new());
    let guest = Guest::of(&listeners, HERE[0]).await;
    stage.happens(added(2, LUNCH, HERE[0]), vec![guest.listener.clone()]);
    stage.is_read();
    let beat = |topics: &mut Topics, told| {
        let (number, moved) = topics.beat(told);
        (number, moved.into_iter().flat_map(|(_, heads)| heads).map(|head| head.head.0).collect::<Vec<_>>())
    };
    let (first, heads) = beat(&mut stage.topics, 0);
    assert_eq!(heads, [2]);
    let (second, heads) = beat(&mut stage.topics, 0);
    assert_eq!(heads, [2], "the answer of the first came too late");
    stage.happens(said(3, LUNCH, HERE[0]), Vec::new());
    let (third, heads) = beat(&mut stage.topics, second);
    assert_eq!(heads, [3], "it has moved again");
    assert_eq!(beat(&mut stage.topics, third).1, [0; 0]);
    assert!(first < second && second < third);
}

#[tokio::test]
async fn a_beat_names_no_conversation_that_was_left_meanwhile() {
    let (listeners, mut stage) = (Listeners::default(), Stage::new());
    let mut guest = Guest::of(&listeners, HERE[0]).await;
    stage.happens(added(2, LUNCH, HERE[0]), vec![guest.listener.clone()]);
    stage.is_read();
    let heads: Vec<_> = stage.topics.beat(0).1.into_iter().flat_map(|(_, heads)| heads).collect();
    guest.listener.beat("in", &heads, |_| false);
    stage.happens(removed(3, LUNCH, HERE[0]), Vec::new());
    guest.listener.beat("out", &heads, |_| false);
    guest.mark(1);
    let frames = guest.frames(1).await;
    let beats = frames.iter().filter(|frame| frame["op"] == "heartbeat");
    let named: Vec<usize> =
        beats.map(|beat| beat["heads"].as_object().map_or(0, serde_json::Map::len)).collect();
    assert_eq!(named, [1, 0]);
}

#[tokio::test]
async fn who_joins_is_told_the_head_and_hears_what_follows() {
    let (listeners, mut stage) = (Listeners::default(), Stage::new());
    stage.log.push(added(2, LUNCH, HERE[0]));
    let tracked = stage.tracked.insert(Tracked::of(folded(&stage.log))).clone();
    let mut guest = Guest::of(&listeners, HERE[0]).await;
    let stranger = Guest::of(&listeners, HERE[1]).await;
    let admission = stage.topics.join(&guest.listener, conversation(LUNCH), Some(&tracked));
    let wanted = Admission { id: conversation(LUNCH), since: Position(2), head: Position(2) };
    assert_eq!(admission, Some(wanted));
    assert_eq!(stage.topics.join(&stranger.listener, conversation(LUNCH), Some(&tracked)), None);
    stage.happens(said(3, LUNCH, ANA), Vec::new());
    stage.topics.typing(conversation(LUNCH), user(ANA));
    stage.topics.typing(conversation(LUNCH), user(99));
    let away = Event::PresenceChanged(PresenceChanged {
        status: Status::Away,
        last_seen_at: Time::of(time::OffsetDateTime::UNIX_EPOCH),
    });
    let away = Recorded::happened(1, conversation(LUNCH), user(ANA), Some(away));
    stage.topics.presence(&away, &Blocklist::default());
    guest.mark(1);
    let frames = guest.frames(1).await;
    let ops: Vec<&str> = frames.iter().map(|frame| frame["op"].as_str().unwrap()).collect();
    assert_eq!(ops, ["event", "typing", "presence", "mark"], "nothing of who is no member");
}
