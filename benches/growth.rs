//! How the cost of a delivery, of a send and of an idle socket grows with the sockets of a node and
//! with the conversations in the log; and the costs of one conversation with thousands of members.

#![allow(clippy::disallowed_methods, reason = "a client has the clock and the ids of its own machine")]

mod stage;

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use serde_json::json;
use stage::{
    Stage,
    figures::{Figure, full, note},
    floor::{Floor, Plan},
    process::{Node, cpu, memory, peak, run},
    rest::{Person, Rest},
    sockets::{Audience, Visit},
    talk::{flat_out, micros, paced, replayed, spent},
};
use verbatim::{
    app,
    clock::Clock,
    domain::{
        ConversationCreated, ConversationId, Event, EventId, History, Kind, MemberAdded, NewMember, Position,
        Role, UserId,
    },
    log::{Draft, Log},
    views::{Checkpoint, Progress},
};

/// Sockets of one user, and of one conversation.
const OF_EACH_USER: usize = 20;
const OF_EACH_GROUP: usize = 100;
const AT_ONCE: usize = 64;
const IN_FLIGHT: usize = 64;
const MIB: f64 = 1024.0 * 1024.0;
const ROLES: &str = "api,gateway,projector";
/// With a long grace period, users who reconnect between two measurements never go offline.
const SETTINGS: [(&str, &str); 1] = [("VERBATIM_PRESENCE_GRACE", "600")];

fn main() {
    run(benchmark);
}

async fn benchmark(stage: &Stage) {
    let (sockets, conversations) = if full() {
        ([1_000, 5_000, 15_000], [10, 1_000, 100_000])
    } else {
        ([500, 1_000, 2_000], [10, 1_000, 5_000])
    };
    crowd(stage, if full() { 5_000 } else { 1_000 }).await;
    long_roster(stage, if full() { 10_000 } else { 2_000 }).await;

    let node = Node::start(stage, ROLES, &SETTINGS).await;
    let rest = Rest::to(node.address, IN_FLIGHT);
    let everywhere = rest.people(1).await.remove(0);
    node.stop().await;
    let mut all = Vec::new();
    for count in conversations {
        all.extend(begin(stage, everywhere.id, count - all.len()).await);
        // Each of the two grows while the other has its middle value.
        let beside = if count == conversations[1] { &sockets[..] } else { &sockets[1..2] };
        for sockets in beside {
            grown(stage, &everywhere, &all, *sockets).await;
        }
    }
}

/// Creates conversations in the log. One person is in all of them, with two others in each.
async fn begin(stage: &Stage, everywhere: UserId, count: usize) -> Vec<ConversationId> {
    let clock = Clock::system();
    let begin = |_| {
        let members = vec![everywhere, clock.id(UserId::known), clock.id(UserId::known)];
        created(stage, members)
    };
    stream::iter(0..count).map(begin).buffer_unordered(256).collect().await
}

async fn created(stage: &Stage, members: Vec<UserId>) -> ConversationId {
    let clock = Clock::system();
    let id = clock.id(ConversationId::known);
    let actor = members[0];
    let event = Event::ConversationCreated(ConversationCreated {
        kind: Kind::Group,
        title: Some("A group".into()),
        history: History::Full,
        members: members.into_iter().map(|user_id| NewMember { user_id, role: Role::Owner }).collect(),
    });
    let draft = Draft {
        conversation: id,
        id: clock.id(EventId::known),
        actor,
        time: clock.now(),
        event,
        key: None,
        trace: None,
        via: None,
    };
    stage.log.append_roster(&draft, Position::START).await.expect("a conversation");
    id
}

/// Measures one line of the table: a fresh node with a number of sockets and of conversations.
async fn grown(stage: &Stage, everywhere: &Person, all: &[ConversationId], sockets: usize) {
    let name = format!("{sockets} sockets, {} conversations", all.len());
    let figure = |what: &str, unit| Figure::new("growth", format!("{name}: {what}"), unit);
    let node = Node::start(stage, ROLES, &SETTINGS).await;
    let rest = Rest::to(node.address, IN_FLIGHT);
    let people = rest.people(sockets / OF_EACH_USER).await;
    let groups: Vec<(&Person, ConversationId)> = stream::iter(people.chunks(OF_EACH_GROUP / OF_EACH_USER))
        .then(async |group| (&group[0], rest.group(group).await))
        .collect()
        .await;
    let last = rest.say(groups[0].0, groups[0].1).await;
    rest.viewed(groups[0].0, groups[0].1, last).await;
    // A node that has just started has no traces of the setup in its memory.
    node.stop().await;
    let node = Node::start(stage, ROLES, &SETTINGS).await;
    let rest = Rest::to(node.address, IN_FLIGHT);
    rest.viewed(groups[0].0, groups[0].1, last).await;

    let before = memory(node.pid());
    let visits = visits(&people, OF_EACH_USER);
    let audience = Audience::connect(node.address, visits.clone(), AT_ONCE).await;
    audience.settle().await;
    let idle = (memory(node.pid()) - before) / sockets as f64;
    let each = OF_EACH_GROUP as u64;
    let say = async |n: usize| {
        let (who, group) = groups[n % groups.len()];
        rest.say(who, group).await;
    };
    let lasting = Duration::from_secs(if full() { 5 } else { 2 });
    let talk = async || each * flat_out(&audience, each, IN_FLIGHT, lasting, say).await;
    let ours = spent(&audience, node.pid(), talk).await;
    let frame = audience.counts().frame;
    drop(audience);

    // Sends go to all conversations in turn, and then to a few that are in memory.
    let anywhere = sends(&node, &rest, everywhere, all, lasting).await;
    let few = sends(&node, &rest, everywhere, &all[..10], lasting).await;

    let floor = Floor::start(Plan { sockets, each: OF_EACH_GROUP, frame, missed: 0, queued: true });
    let audience = Audience::connect(floor.address, visits, AT_ONCE).await;
    let say = async |n: usize| floor.say(n % groups.len());
    let bare = spent(&audience, floor.pid(), async || each * replayed(&ours.moments, say).await).await;

    let delivery = figure("CPU time per delivery", "µs").beside("writev(2)").drawn("growth");
    note(delivery, ours.each(), Some(bare.each()));
    // With many conversations, most are not in memory when a message is sent to them.
    let goal = if all.len() >= 100_000 { "at most 1.3 x" } else { "" };
    let of_all = figure("CPU time of the node per send, anywhere", "µs").beside("in ten of them").goal(goal);
    note(of_all.drawn("growth-sends"), anywhere, Some(few));
    note(figure("CPU time of the node per send, in ten of them", "µs"), few, None);
    note(figure("memory of an idle socket", "bytes"), idle, None);
    note(figure("peak memory of the node", "MiB").drawn("growth-memory"), peak(node.pid()) / MIB, None);
    node.stop().await;
}

/// The CPU time of the node for each send, in microseconds. Sends as many messages as possible within `lasting`.
async fn sends(
    node: &Node,
    rest: &Rest,
    who: &Person,
    conversations: &[ConversationId],
    lasting: Duration,
) -> f64 {
    let (before, begun) = (cpu(node.pid()), std::time::Instant::now());
    let say = |n: usize| rest.say(who, conversations[n.wrapping_mul(7_919) % conversations.len()]);
    let said = (0..).take_while(|_| begun.elapsed() < lasting).map(say);
    let count = stream::iter(said).buffer_unordered(IN_FLIGHT).count().await;
    micros(cpu(node.pid()) - before) / count as f64
}

/// One conversation with thousands of members, each with a socket: the cost of a message, of a join, and of a presence
/// change.
async fn crowd(stage: &Stage, members: usize) {
    const TIMES: usize = 20;
    // If thousands connected at once, each would be told of all others. So this node announces no presence.
    let node = Node::start(stage, ROLES, &[("VERBATIM_PRESENCE_FAN_OUT", "0")]).await;
    let rest = Rest::to(node.address, IN_FLIGHT);
    let people = rest.people(members).await;
    let joining = rest.people(TIMES).await;
    let talk = rest.group(&people).await;
    let last = rest.say(&people[0], talk).await;
    rest.viewed(&people[0], talk, last).await;
    let figure = |what: &str| Figure::new("crowd", format!("{members} members: {what}"), "µs").drawn("crowd");

    let audience = Audience::connect(node.address, visits(&people, 1), AT_ONCE).await;
    audience.settle().await;

    let owed = members as u64;
    let lasting = Duration::from_secs(TIMES as u64 / 4);
    let say = async |_| {
        rest.say(&people[0], talk).await;
    };
    let message = spent(&audience, node.pid(), async || owed * paced(4, lasting, say).await).await;
    let frame = audience.counts().frame;
    let path = format!("/v1/conversations/{talk}/members");
    let join = async |n: usize| {
        rest.ask("POST", &path, &people[0].token, Some(json!({ "user_id": joining[n].id }))).await;
    };
    let join = spent(&audience, node.pid(), async || owed * paced(4, lasting, join).await).await;

    // The users who have joined connect to another node, one after the other, and disconnect again. That node
    // announces presence to large conversations too, which it would not do by default.
    let settings = [("VERBATIM_PRESENCE_GRACE", "1"), ("VERBATIM_PRESENCE_CROWD", "10000")];
    let other = Node::start(stage, "gateway", &settings).await;
    audience.forget();
    let before = cpu(node.pid());
    for one in visits(&joining, 1) {
        let here = Audience::connect(other.address, vec![one], 1).await;
        // This is long enough for the change to be announced.
        tokio::time::sleep(Duration::from_millis(500)).await;
        drop(here);
    }
    // After this wait, the last user counts as offline, too.
    tokio::time::sleep(Duration::from_secs(2)).await;
    audience.settle().await;
    let changes = audience.counts().presence as f64 / members as f64;
    assert!(changes >= 1.0, "somebody is told who is here");
    let change = micros(cpu(node.pid()) - before) / changes;
    drop(audience);

    let floor = Floor::start(Plan { sockets: members, each: members, frame, missed: 0, queued: false });
    let audience = Audience::connect(floor.address, visits(&people, 1), AT_ONCE).await;
    let say = async |_| floor.say(0);
    let bare = spent(&audience, floor.pid(), async || owed * paced(4, lasting, say).await).await;
    let bare = bare.each() * members as f64;

    let to_all = "write(2) to each";
    note(figure("CPU time of a message").beside(to_all), message.each() * members as f64, Some(bare));
    note(figure("CPU time of a join").beside(to_all), join.each() * members as f64, Some(bare));
    note(figure("CPU time of a presence change, if crowds are told").beside(to_all), change, Some(bare));
    other.stop().await;
    node.stop().await;
}

/// One conversation whose roster has changed `changes` times. It is read as by a node that does not have it in memory,
/// and as it was in the middle, as for a user who was away.
async fn long_roster(stage: &Stage, changes: u64) {
    let clock = Clock::system();
    let owner = clock.id(UserId::known);
    let [young, old] = [created(stage, vec![owner]).await, created(stage, vec![owner]).await];
    let [young_at, _] = [grow(stage, young, owner, 200).await, grow(stage, old, owner, changes / 2).await];
    let middle = stage.log.last(0).await.expect("the log answers");
    grow(stage, old, owner, changes / 2).await;
    let node = Node::start(stage, ROLES, &SETTINGS).await;
    let end = Checkpoint { stream: 0, position: stage.log.last(0).await.expect("the log answers") };
    let reached = Progress::new(stage.pool.clone()).reached(end, Duration::from_secs(60)).await;
    assert!(reached.expect("Postgres answers"), "the views are late");
    node.stop().await;

    let log = stage.log.clone().with_snapshots(app::snapshots(&stage.pool));
    let name = |what: &str| format!("{changes} changes of a roster: {what}");
    let figure = |what: &str| Figure::new("roster", name(what), "ms").beside("a roster of 200 changes");
    let (mut now, mut then) = (figure("read now"), figure("read as it was halfway"));
    let mut whole = figure("read from its beginning");
    let timed = async |log: &Log, id, at| {
        let begun = std::time::Instant::now();
        log.fold(id, at).await.expect("a fold");
        begun.elapsed().as_secs_f64() * 1e3
    };
    for _ in 0..5 {
        let floor = timed(&log, young, Some(young_at)).await;
        now.round(timed(&log, old, None).await, Some(floor));
        then.round(timed(&log, old, Some(middle)).await, Some(floor));
        whole.round(timed(&stage.log, old, None).await, Some(floor));
    }
    [now, then, whole].into_iter().for_each(Figure::note);
}

/// Adds `changes` people, one after the other, and returns the position of the last addition.
async fn grow(stage: &Stage, conversation: ConversationId, actor: UserId, changes: u64) -> Position {
    let clock = Clock::system();
    let mut last = stage.log.fold(conversation, None).await.expect("a fold").roster;
    for _ in 0..changes {
        let event = Event::MemberAdded(MemberAdded {
            user_id: clock.id(UserId::known),
            role: Role::Member,
            client_id: None,
        });
        let (id, time) = (clock.id(EventId::known), clock.now());
        let draft = Draft { conversation, id, actor, time, event, key: None, via: None, trace: None };
        last = stage.log.append_roster(&draft, last).await.expect("a change").position;
    }
    last
}

fn visits(people: &[Person], of_each: usize) -> Vec<Visit> {
    let visits = people.iter().map(|user| Visit { token: user.token.clone(), cursor: None });
    visits.flat_map(|visit| std::iter::repeat_n(visit, of_each)).collect()
}
