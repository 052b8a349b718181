//! The cost of delivering a message to all members, compared with a bare server that writes prepared
//! frames of the same size to the same number of sockets. The node is pinned to one CPU and the load to
//! another; messages are sent over REST.

#![allow(clippy::disallowed_methods, reason = "a client has the clock and the ids of its own machine")]

mod stage;

use std::time::Duration;

use stage::{
    Stage,
    figures::{Figure, full},
    floor::{Floor, Plan},
    part,
    process::{Node, run},
    rest::{Person, Rest},
    sockets::{Audience, Visit},
    talk::{flat_out, paced, replayed, spent},
};
use verbatim::domain::ConversationId;

/// Sockets of one user.
const OF_EACH_USER: usize = 5;
/// Connections that are opened concurrently.
const AT_ONCE: usize = 64;

/// How fast messages are sent.
#[derive(Clone, Copy)]
enum Pace {
    /// Messages a second.
    Rate(u32),
    /// Messages in flight.
    Window(usize),
}

/// A number of conversations, and of sockets in each.
#[derive(Clone, Copy)]
struct Shape {
    conversations: usize,
    each: usize,
}

struct Crowd {
    shape: Shape,
    conversations: Vec<ConversationId>,
    listeners: Vec<Person>,
}

fn main() {
    run(benchmark);
}

async fn benchmark(stage: &Stage) {
    let small = if full() { 2_000 } else { 500 };
    // With a long grace period, users who reconnect between two rounds never go offline.
    let settings = [("VERBATIM_PRESENCE_GRACE", "600")];
    let node = Node::start(stage, "api,gateway,projector", &settings).await;
    let rest = Rest::to(node.address, 512);
    let speaker = rest.people(1).await.remove(0);
    let one = Crowd::gather(&rest, &speaker, Shape { conversations: 1, each: 1_000 }).await;
    let many = Crowd::gather(&rest, &speaker, Shape { conversations: small, each: OF_EACH_USER }).await;
    let say = async |conversation| {
        rest.say(&speaker, conversation).await;
    };

    compare(&node, &one, Pace::Rate(20), "", &say).await;
    compare(&node, &one, Pace::Window(16), "", &say).await;
    compare(&node, &many, Pace::Window(512), "", &say).await;
    // Here the measured node neither accepts the messages nor projects them.
    let gateway = Node::start(stage, "gateway", &settings).await;
    compare(&gateway, &one, Pace::Rate(20), ", a gateway alone", &say).await;
    compare(&gateway, &many, Pace::Window(512), ", a gateway alone", &say).await;
    gateway.stop().await;
    node.stop().await;
}

impl Crowd {
    /// Creates conversations of the speaker, who has no socket, with users who have several sockets each.
    async fn gather(rest: &Rest, speaker: &Person, shape: Shape) -> Self {
        let users = shape.each / OF_EACH_USER;
        let listeners = rest.people(shape.conversations * users).await;
        let groups = listeners.chunks(users).map(|group| {
            let people: Vec<Person> = [speaker].into_iter().chain(group).cloned().collect();
            async move { rest.group(&people).await }
        });
        let conversations = futures_util::future::join_all(groups).await;
        Self { shape, conversations, listeners }
    }

    fn visits(&self) -> Vec<Visit> {
        let visits = self.listeners.iter().map(|user| Visit { token: user.token.clone(), cursor: None });
        visits.flat_map(|visit| std::iter::repeat_n(visit, OF_EACH_USER)).collect()
    }
}

/// Measures node and floor alternately. The floor writes at the same moments as the node did.
async fn compare(node: &Node, crowd: &Crowd, pace: Pace, beside: &str, say: &impl AsyncFn(ConversationId)) {
    let goal = match (crowd.shape.conversations, pace) {
        (1, Pace::Rate(_)) => "at most 1.15 x",
        (1, Pace::Window(_)) => "at most 1.3 x",
        _ => "at most 1.25 x",
    };
    let Shape { conversations, each } = crowd.shape;
    let queued = matches!(pace, Pace::Window(_));
    let (how, floor_is) = match pace {
        Pace::Rate(rate) => (format!("{rate} messages/s"), "write(2)"),
        Pace::Window(_) => ("saturated".to_owned(), "writev(2)"),
    };
    let name = format!("{conversations} x {each} sockets, {how}{beside}");
    let figure = |what: &str, unit| Figure::new("fan-out", format!("{name}: {what}"), unit).beside(floor_is);
    let mut cost = figure("CPU time per delivery", "µs").goal(goal).drawn("fan-out");
    let mut rate = figure("deliveries", "1/s");
    let mut latencies = [(0.5, "p50"), (0.99, "p99")].map(|(p, name)| (p, figure(name, "ms")));
    let mut frame = 400;
    for _ in 0..if full() { 3 } else { 2 } {
        let audience = Audience::connect(node.address, crowd.visits(), AT_ONCE).await;
        audience.settle().await;
        let nth = |n: usize| crowd.conversations[n.wrapping_mul(7_919) % conversations];
        let say = async |n| say(nth(n)).await;
        let talk = async |lasting: Duration| match pace {
            Pace::Rate(rate) => each as u64 * paced(rate, lasting, &say).await,
            Pace::Window(window) => {
                each as u64 * flat_out(&audience, each as u64, window, lasting, &say).await
            }
        };
        spent(&audience, node.pid(), async || talk(Duration::from_secs(1)).await).await;
        let lasting = Duration::from_secs(if full() { 8 } else { 3 });
        let ours = spent(&audience, node.pid(), async || talk(lasting).await).await;
        frame = audience.counts().frame.max(frame);
        drop(audience);

        let floor = Floor::start(Plan { sockets: conversations * each, each, frame, missed: 0, queued });
        let audience = Audience::connect(floor.address, crowd.visits(), AT_ONCE).await;
        let say = async |n: usize| floor.say(n.wrapping_mul(7_919) % conversations);
        let again = async || each as u64 * replayed(&ours.moments, say).await;
        let bare = spent(&audience, floor.pid(), again).await;

        cost.round(ours.each(), Some(bare.each()));
        rate.round(ours.rate(), None);
        for (p, latency) in &mut latencies {
            latency.round(part(&ours.latencies, *p), Some(part(&bare.latencies, *p)));
        }
    }
    cost.note();
    match pace {
        Pace::Rate(_) => latencies.into_iter().for_each(|(_, latency)| latency.note()),
        Pace::Window(_) => rate.note(),
    }
}
