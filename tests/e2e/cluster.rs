//! The log lies on three servers, and they fail one after another.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};
use verbatim::dev::Cluster;

use crate::world::{Conversation, Device, Person, World, assert_linked, eventually, key};

const LEADS: &str = "CHAT_0";

/// A message that somebody sent, as often as it took.
struct Sent {
    client_id: String,
    text: String,
    position: u64,
    /// How long it took from the first attempt to the acknowledgement.
    took: Duration,
    /// How often it was refused before.
    refused: usize,
}

/// Somebody sends one message after another.
struct Talk {
    stop: Arc<AtomicBool>,
    task: JoinHandle<Vec<Sent>>,
}

impl Talk {
    fn begins(who: &Person, to: &Conversation) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let task = tokio::spawn(talk(who.clone(), to.clone(), stop.clone()));
        Self { stop, task }
    }

    async fn ends(self) -> Vec<Sent> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.expect("nobody was refused otherwise than by 503")
    }
}

async fn talk(who: Person, to: Conversation, stop: Arc<AtomicBool>) -> Vec<Sent> {
    let mut all = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let (client_id, text) = (key(), format!("{} {}", who.name, all.len()));
        let (began, mut refused) = (Instant::now(), 0);
        let position = loop {
            let answer = who.sends(&to, &client_id, &text).await;
            if answer.status == 201 {
                break answer.body["position"].as_u64().expect("position");
            }
            assert!(answer.headers.contains_key("retry-after"), "{answer:?}");
            answer.refuses(503, "unavailable");
            refused += 1;
            sleep(Duration::from_millis(100)).await;
        };
        all.push(Sent { client_id, text, position, took: began.elapsed(), refused });
        sleep(Duration::from_millis(20)).await;
    }
    all
}

/// Two people at two nodes, who talk in one conversation and listen at both.
struct Scene {
    ana: Person,
    ben: Person,
    lunch: Conversation,
    devices: [Device; 2],
}

impl Scene {
    async fn begins(world: &World<Cluster>) -> Self {
        let (ana, ben) = (world.person_at(0, "ana").await, world.person_at(1, "ben").await);
        let lunch = ana.starts_group("Lunch", &[&ben]).await;
        let devices = [ana.connects().await, ben.connects().await];
        Self { ana, ben, lunch, devices }
    }

    fn talk(&self) -> [Talk; 2] {
        [Talk::begins(&self.ana, &self.lunch), Talk::begins(&self.ben, &self.lunch)]
    }

    /// What was acknowledged is there, once, in one order for everybody; a retry gets the same answer; the
    /// sockets that stayed open have seen every event. Answers how long the slowest send took.
    async fn holds_after(&mut self, talks: [Talk; 2]) -> Duration {
        let mut sent = Vec::new();
        for talk in talks {
            let own = talk.ends().await;
            assert!(own.is_sorted_by_key(|one| one.position), "the order of one sender");
            sent.extend(own);
        }
        let slowest = sent.iter().max_by_key(|one| one.took).expect("something was sent");
        eprintln!(
            "{} sent, the slowest took {:?}, {} refusals",
            sent.len(),
            slowest.took,
            sent.iter().map(|one| one.refused).sum::<usize>()
        );
        for tried in [slowest, sent.last().expect("something was sent")] {
            let again = self.ben.at(self.ana.address);
            let who = if tried.text.starts_with(&self.ana.name) { &self.ana } else { &again };
            let answer = who.sends(&self.lunch, &tried.client_id, &tried.text).await.expect(201);
            assert_eq!(answer["position"], tried.position, "a retry gets the same answer");
        }
        let last = self.ana.says(&self.lunch, "the end").await["position"].as_u64().expect("position");
        for device in &mut self.devices {
            device.sees("the end").await;
        }
        let mut acknowledged: Vec<(u64, String)> =
            sent.iter().map(|one| (one.position, one.text.clone())).collect();
        acknowledged.sort_unstable();
        acknowledged.push((last, "the end".into()));
        for device in &self.devices {
            assert_linked(&device.chain(&self.lunch));
            assert_eq!(said(device, &self.lunch), acknowledged, "what a socket saw");
        }
        let expected: Vec<&str> = acknowledged.iter().rev().take(50).rev().map(|(_, text)| &**text).collect();
        let history = self.ben.history(&self.lunch, last).await;
        assert_eq!(history[history.len().saturating_sub(50)..], expected);
        slowest.took
    }
}

/// The messages that a socket saw: position and text.
fn said(device: &Device, of: &Conversation) -> Vec<(u64, String)> {
    let is_said = |frame: &&serde_json::Value| {
        frame["op"] == "event"
            && frame["type"] == "message.sent"
            && frame["conversation_id"] == of.id.as_str()
    };
    let said = device.seen.iter().filter(is_said);
    said.map(|frame| {
        let text = frame["data"]["text"].as_str().expect("text");
        (frame["position"].as_u64().expect("position"), text.to_owned())
    })
    .collect()
}

async fn leader(world: &World<Cluster>) -> usize {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(leader) = world.nats.leader_of(LEADS).await {
            return leader;
        }
        assert!(Instant::now() < deadline, "nobody leads {LEADS}");
        sleep(Duration::from_millis(50)).await;
    }
}

/// Sends go on unaided.
async fn is_well_again(scene: &Scene) {
    let retried = key();
    eventually("sends go on unaided", || async {
        scene.ana.sends(&scene.lunch, &retried, "well").await.status == 201
    })
    .await;
}

#[tokio::test]
async fn the_leader_is_killed() {
    let mut world = World::with_cluster(1).await;
    let mut scene = Scene::begins(&world).await;
    let talks = scene.talk();
    sleep(Duration::from_secs(1)).await;
    let killed = leader(&world).await;
    world.nats.nats(killed).kill9();
    sleep(Duration::from_secs(10)).await;
    world.nats.nats(killed).start_again().await.expect("it starts again");
    world.nats.settled().await.expect("it catches up");
    scene.holds_after(talks).await;
    world.finish().await;
}
