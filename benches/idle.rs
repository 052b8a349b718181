//! The cost of many idle sockets, and of a reconnect storm: all of them come back at once, each a hundred
//! events behind, while one user sends messages.

#![allow(clippy::disallowed_methods, reason = "a client has the clock and the ids of its own machine")]

mod stage;

use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use stage::{
    Stage, Talk,
    figures::{Figure, full, note},
    floor::{Floor, Plan},
    message, part,
    process::{Node, cpu, forget_peak, memory, peak, run},
    rest::{Person, Rest},
    sockets::{Audience, Visit},
    talker::Talker,
};
use verbatim::{clock::Clock, domain::ConversationId};

/// Sockets of one user, and users of one conversation.
const OF_EACH_USER: usize = 20;
const TOGETHER: usize = 10;
/// Events that every socket has missed.
const MISSED: usize = 100;
/// Connections that are opened concurrently, except in the storm.
const AT_ONCE: usize = 64;
/// The interval between heartbeats.
const HEARTBEAT: Duration = Duration::from_secs(25);
const MIB: f64 = 1024.0 * 1024.0;

fn main() {
    run(benchmark);
}

async fn benchmark(stage: &Stage) {
    let count = if full() { 10_000 } else { 4_000 };
    let settings = [("VERBATIM_PRESENCE_GRACE", "600")];
    let node = Node::start(stage, "api,gateway,projector", &settings).await;
    let rest = Rest::to(node.address, 64);
    let people = rest.people(count / OF_EACH_USER).await;
    let groups = stream::iter(people.chunks(TOGETHER)).then(async |group| (rest.group(group).await, group));
    let groups: Vec<(ConversationId, &[Person])> = groups.collect().await;
    let pair: [Person; 2] = rest.people(2).await.try_into().ok().expect("two");
    let meanwhile = rest.group(&pair).await;
    // A node that has just started has no traces of the setup in its memory.
    node.stop().await;
    let node = Node::start(stage, "api,gateway,projector", &settings).await;
    let rest = Rest::to(node.address, 64);

    let mut talker = Talker::start(node.address, &pair, meanwhile).await;
    let visits = people.iter().map(|user| Visit { token: user.token.clone(), cursor: None });
    let visits: Vec<Visit> = visits.flat_map(|visit| std::iter::repeat_n(visit, OF_EACH_USER)).collect();
    let calm = talker.talk(Duration::from_secs(5)).await;

    let (audience, cursors) = idle(&node, &visits).await;
    drop(audience);
    miss(stage, &groups).await;
    let last = rest.say(&pair[0], meanwhile).await;
    rest.viewed(&pair[0], meanwhile, last).await;
    storm(&node, &cursors, &calm, &mut talker).await;
    drop(talker);
    node.stop().await;
}

/// Connects sockets that then only wait. Returns them, and the cursor of each.
async fn idle(node: &Node, visits: &[Visit]) -> (Audience, Vec<Visit>) {
    let count = visits.len();
    let figure =
        |what: &str, unit, floor| Figure::new("idle", format!("{count} sockets: {what}"), unit).beside(floor);
    let plan = Plan { sockets: count, each: count, frame: 150, missed: 0, queued: false };
    let floor = Floor::start(plan);
    let bare = come(floor.pid(), floor.address, visits).await;
    let bare_bytes = bare.bytes(floor.pid(), count);
    let before = cpu(floor.pid());
    floor.say(0);
    bare.audience.until(|counts| counts.events >= count as u64).await;
    let beat = (cpu(floor.pid()) - before).as_secs_f64() / HEARTBEAT.as_secs_f64();
    drop(bare.audience);
    drop(floor);

    let ours = come(node.pid(), node.address, visits).await;
    let (before, lasting) = (cpu(node.pid()), HEARTBEAT * if full() { 3 } else { 1 });
    tokio::time::sleep(lasting).await;
    let waiting = (cpu(node.pid()) - before).as_secs_f64() / lasting.as_secs_f64();
    assert_eq!(ours.audience.counts().returned, 0, "nobody who waits is cut off");

    let bytes = figure("memory of each idle socket", "bytes", "accept(2) and no more")
        .goal("at most 3,000 bytes")
        .drawn("idle");
    note(bytes, ours.bytes(node.pid(), count), Some(bare_bytes));
    let handshakes = figure("all handshakes, 64 at once", "s", "accept, read, write").goal("at most 2.5 s");
    note(handshakes, ours.took.as_secs_f64(), Some(bare.took.as_secs_f64()));
    let beats = figure("share of one CPU, with heartbeats", "%", "write(2) to each").goal("at most 0.5 %");
    note(beats, waiting * 100.0, Some(beat * 100.0));

    let cursors = ours.audience.counts().cursors.clone();
    let at = |visit: &Visit| Visit { cursor: cursors.get(&visit.token).cloned(), ..visit.clone() };
    let resuming = visits.iter().map(at).collect();
    (ours.audience, resuming)
}

/// Connected sockets, the server's memory before, and how long the connecting took.
struct Come {
    audience: Audience,
    before: f64,
    took: Duration,
}

impl Come {
    /// The memory that each socket has taken in the server by now.
    fn bytes(&self, pid: u32, count: usize) -> f64 {
        (memory(pid) - self.before) / count as f64
    }
}

async fn come(pid: u32, address: std::net::SocketAddr, visits: &[Visit]) -> Come {
    let (before, begun) = (memory(pid), Instant::now());
    let audience = Audience::connect(address, visits.to_vec(), AT_ONCE).await;
    let took = begun.elapsed();
    audience.settle().await;
    Come { audience, before, took }
}

/// Sends messages to all groups while nobody is connected.
async fn miss(stage: &Stage, groups: &[(ConversationId, &[Person])]) {
    let clock = Clock::system();
    let talks: Vec<Talk> =
        groups.iter().map(|(id, people)| (*id, [people[0].id, people[1].id, people[2].id])).collect();
    // Every conversation gets the same number of messages, because the number of talks is not a multiple of the step.
    let appends = (0..talks.len() * MISSED).map(|n| {
        let (draft, _) = message(&clock, &talks, n);
        async move { stage.log.append(&draft).await.expect("a message") }
    });
    stream::iter(appends).buffer_unordered(1_000).for_each(async |_| ()).await;
}

/// Reconnects all sockets at once.
async fn storm(node: &Node, visits: &[Visit], calm: &[Duration], talker: &mut Talker) {
    let count = visits.len();
    let figure = |what: &str, unit, floor| {
        Figure::new("storm", format!("{count} sockets, each {MISSED} events behind: {what}"), unit)
            .beside(floor)
    };
    let plan = Plan { sockets: count, each: count, frame: 400, missed: MISSED, queued: false };
    let floor = Floor::start(plan);
    let (before, begun) = (cpu(floor.pid()), Instant::now());
    let bare = Audience::connect(floor.address, visits.to_vec(), count).await;
    let (bare_took, bare_cpu) = (begun.elapsed(), cpu(floor.pid()) - before);
    drop((bare, floor));

    let memory = memory(node.pid());
    forget_peak(node.pid());
    let (before, begun) = (cpu(node.pid()), Instant::now());
    let storm = async {
        let audience = Audience::connect(node.address, visits.to_vec(), count).await;
        (audience, begun.elapsed(), cpu(node.pid()) - before)
    };
    // The talker sends from the first moment to the last.
    let ((audience, took, spent), beside) =
        tokio::join!(storm, talker.talk(bare_took.max(Duration::from_secs(5))));
    let owed = (count * MISSED) as u64;
    audience.until(|counts| counts.events >= owed).await;
    assert_eq!(audience.counts().events, owed, "everybody is given what they missed, once");

    let floor_is = "accept, and all of it in one write(2)";
    let until = figure("time until all have caught up", "s", floor_is).goal("at most 8 s").drawn("storm");
    note(until, took.as_secs_f64(), Some(bare_took.as_secs_f64()));
    let cost = figure("CPU time per event", "µs", floor_is).goal("at most 3 µs");
    let each = |cpu: Duration| cpu.as_secs_f64() * 1e6 / owed as f64;
    note(cost, each(spent), Some(each(bare_cpu)));
    for (p, name, goal) in [(0.5, "p50", ""), (0.99, "p99", "at most 5 x"), (1.0, "maximum", "")] {
        let latency =
            figure(&format!("{name} of other sends meanwhile"), "ms", "the same in calm").goal(goal);
        note(latency, part(&beside, p), Some(part(calm, p)));
    }
    let most = figure("peak memory", "MiB", "before it");
    note(most, peak(node.pid()) / MIB, Some(memory / MIB));
    let returned = audience.counts().returned;
    note(figure("sockets told to come back later", "", ""), returned as f64, None);
}
