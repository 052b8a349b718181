//! The cost until a message is acknowledged, which means that it is on disk. It is compared with single
//! publishes to JetStream in the same nats-server, which are synced one by one.

#![allow(clippy::disallowed_methods, reason = "a client has the clock and the ids of its own machine")]

mod stage;

use std::{
    fs::File,
    io::Write as _,
    time::{Duration, Instant},
};

use async_nats::jetstream::{self, stream::StorageType};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use stage::{
    Stage, cpu_of,
    figures::{Figure, full},
    floor::{Floor, Plan},
    part,
    process::{Node, cpu, run},
    rest::{Person, Rest},
    sockets::{Audience, Visit},
    talk::{micros, paced, spent},
};
use verbatim::{dev::NatsUser, domain::ConversationId};

/// Messages in flight.
const IN_FLIGHT: usize = 64;
/// Concurrent senders in the hot conversation.
const HOT: usize = 200;
/// Sockets of the listeners, and messages a second for them.
const SOCKETS: usize = 100;
const RATE: u32 = 200;
/// Bytes of a message of the floor, about as many as of a message in the log.
const PAYLOAD: usize = 400;
const FLOOR: &str = "single publishes";

fn main() {
    run(benchmark);
}

/// The floor: publishes and waits for the disk.
struct Bare {
    client: async_nats::Client,
    jetstream: jetstream::Context,
}

async fn benchmark(stage: &Stage) {
    let client = stage.nats.connect(NatsUser::Operator).await.expect("NATS");
    let jetstream = jetstream::new(client.clone());
    let config = jetstream::stream::Config {
        name: "FLOOR".to_owned(),
        subjects: vec!["floor.*".to_owned()],
        storage: StorageType::File,
        ..Default::default()
    };
    jetstream.create_stream(config).await.expect("a stream");
    let bare = Bare { client, jetstream };

    let node = Node::start(stage, "api,gateway,projector", &[]).await;
    let rest = Rest::to(node.address, HOT);
    let people = rest.people(HOT).await;
    let hot = rest.group(&people).await;
    let groups = people.chunks(HOT / IN_FLIGHT).take(IN_FLIGHT);
    let talks: Vec<(Person, ConversationId)> =
        stream::iter(groups).then(async |group| (group[0].clone(), rest.group(group).await)).collect().await;

    let in_many = async |n: usize| {
        let (who, talk) = &talks[n % talks.len()];
        rest.say(who, *talk).await
    };
    let in_one = async |n: usize| rest.say(&people[n % HOT], hot).await;
    let figure = |what: String, unit| Figure::new("sends", what, unit).beside(FLOOR);
    let mut rate = figure(format!("{IN_FLIGHT} in flight"), "1/s").goal("at least 0.9 x").drawn("sends");
    let mut costs = ["the node", "nats-server", "Postgres"]
        .map(|who| figure(format!("{IN_FLIGHT} in flight: CPU time of {who} per send"), "µs"));
    let of_all = format!("{IN_FLIGHT} in flight: CPU time of all three processes per send");
    let mut all = figure(of_all, "µs").goal("at most 130 µs");
    let mut alone = figure("one alone: p50".to_owned(), "ms")
        .beside("a GET of /v1/info, and then a single publish")
        .goal("at most 1.3 x");
    let mut many = figure(format!("{HOT} in flight in {IN_FLIGHT} conversations"), "1/s").drawn("sends");
    let mut one = figure(format!("{HOT} in flight in one conversation"), "1/s")
        .beside("the same in 64 conversations")
        .goal("at least 0.8 x")
        .drawn("sends");
    for _ in 0..if full() { 5 } else { 2 } {
        let nats = cpu(stage.nats.pid());
        let floor = busy(IN_FLIGHT, async |n| {
            bare.publish(n).await;
        })
        .await;
        let floor_cost = micros(cpu(stage.nats.pid()) - nats) / floor.count as f64;

        let pids = || [cpu(node.pid()), cpu(stage.nats.pid()), cpu_of(stage.postgres.pid())];
        let before = pids();
        let ours = busy(IN_FLIGHT, async |n| {
            in_many(n).await;
        })
        .await;
        // The work of the projector for these messages is part of their cost.
        let last = in_many(0).await;
        rest.viewed(&talks[0].0, talks[0].1, last).await;
        let spent = pids();
        rate.round(ours.rate(), Some(floor.rate()));
        let each: [f64; 3] = std::array::from_fn(|n| micros(spent[n] - before[n]) / ours.count as f64);
        for (n, cost) in costs.iter_mut().enumerate() {
            cost.round(each[n], (n == 1).then_some(floor_cost));
        }
        all.round(each.iter().sum(), None);

        let publish = one_by_one(async |n| {
            bare.publish(n).await;
        })
        .await;
        let request =
            one_by_one(async |_| drop(rest.ask("GET", "/v1/info", &people[0].token, None).await)).await;
        alone.round(
            one_by_one(async |n| {
                in_many(n).await;
            })
            .await,
            Some(request + publish),
        );

        let floor = busy(HOT, async |n| {
            bare.publish(n).await;
        })
        .await
        .rate();
        let ours = busy(HOT, async |n| {
            in_many(n).await;
        })
        .await
        .rate();
        many.round(ours, Some(floor));
        let hot = busy(HOT, async |n| {
            in_one(n).await;
        })
        .await
        .rate();
        one.round(hot, Some(ours));
    }
    [rate].into_iter().chain(costs).chain([all, alone, many, one]).for_each(Figure::note);
    heard(stage, &bare, &node, &rest).await;
    node.stop().await;
}

/// Measures the time from a send until the last of many sockets has the message.
async fn heard(stage: &Stage, bare: &Bare, node: &Node, rest: &Rest) {
    let people = rest.people(1 + SOCKETS / 20).await;
    let talk = rest.group(&people).await;
    let visits = people[1..].iter().map(|user| Visit { token: user.token.clone(), cursor: None });
    let visits: Vec<Visit> = visits.flat_map(|visit| std::iter::repeat_n(visit, 20)).collect();
    let lasting = Duration::from_secs(if full() { 10 } else { 4 });

    let what = format!("to the last of {SOCKETS} sockets at {RATE}/s: p50");
    let floor = "core NATS round trip + fdatasync + write(2) to each";
    let mut figure = Figure::new("sends", what, "ms").beside(floor).goal("at most 1.4 x");
    for _ in 0..if full() { 3 } else { 1 } {
        let audience = Audience::connect(node.address, visits.clone(), SOCKETS).await;
        audience.settle().await;
        let say = async |_| {
            rest.say(&people[0], talk).await;
        };
        let ours = async || SOCKETS as u64 * paced(RATE, lasting, say).await;
        let ours = spent(&audience, node.pid(), ours).await;

        let frame = audience.counts().frame;
        let plan = Plan { sockets: SOCKETS, each: SOCKETS, frame, missed: 0, queued: false };
        let floor = Floor::start(plan);
        let audience = Audience::connect(floor.address, visits.clone(), SOCKETS).await;
        let say = async |_| floor.say(0);
        let writes = async || SOCKETS as u64 * paced(RATE, lasting, say).await;
        let writes = spent(&audience, floor.pid(), writes).await;
        let least = part(&writes.last, 0.5) + bare.round_trip().await + sync(stage);
        figure.round(part(&ours.last, 0.5), Some(least));
    }
    figure.note();
}

impl Bare {
    async fn publish(&self, n: usize) -> u64 {
        let payload = Bytes::from_static(&[b'a'; PAYLOAD]);
        let publish = self.jetstream.publish(format!("floor.{}", n % IN_FLIGHT), payload).await;
        publish.expect("NATS").await.expect("an acknowledgement").sequence
    }

    /// p50 of a request and its answer, in milliseconds.
    async fn round_trip(&self) -> f64 {
        let mut asked = self.client.subscribe("echo").await.expect("NATS");
        let client = self.client.clone();
        let answering = tokio::spawn(async move {
            while let Some(question) = asked.next().await {
                let reply = question.reply.expect("a question");
                client.publish(reply, question.payload).await.expect("NATS");
            }
        });
        self.client.flush().await.expect("NATS");
        let payload = Bytes::from_static(&[b'a'; PAYLOAD]);
        let ask = async |_| {
            self.client.request("echo", payload.clone()).await.expect("an answer");
        };
        let p50 = one_by_one(ask).await;
        answering.abort();
        p50
    }
}

/// p50 of a synced write on the disk of the log, in milliseconds.
fn sync(stage: &Stage) -> f64 {
    let mut file = File::create(stage.dir().join("synced")).expect("the folder of the stage");
    let mut times: Vec<Duration> = (0..200)
        .map(|_| {
            let begun = Instant::now();
            file.write_all(&[b'a'; PAYLOAD]).expect("disk");
            file.sync_data().expect("disk");
            begun.elapsed()
        })
        .collect();
    times.sort_unstable();
    part(&times, 0.5)
}

struct Busy {
    count: usize,
    took: Duration,
}

impl Busy {
    fn rate(&self) -> f64 {
        self.count as f64 / self.took.as_secs_f64()
    }
}

/// Sends with `in_flight` messages in flight.
async fn busy(in_flight: usize, send: impl AsyncFn(usize)) -> Busy {
    let lasting = Duration::from_secs(if full() { 8 } else { 3 });
    let begun = Instant::now();
    let mut going = (0..).take_while(|_| begun.elapsed() < lasting);
    let count = stream::iter(going.by_ref()).map(|n| send(n)).buffer_unordered(in_flight).count().await;
    Busy { count, took: begun.elapsed() }
}

/// p50 of single sends with pauses between them, in milliseconds.
async fn one_by_one(send: impl AsyncFn(usize)) -> f64 {
    let mut times = Vec::new();
    for n in 0..200 {
        let begun = Instant::now();
        send(n).await;
        times.push(begun.elapsed());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    times.sort_unstable();
    part(&times, 0.5)
}
