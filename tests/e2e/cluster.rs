//! The log is on three servers, which fail one after another.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_nats::jetstream::{self, stream::Config};
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};
use verbatim::{
    clock::Clock,
    dev::NatsUser,
    domain::{
        ClientId, ConversationCreated, ConversationId, Event, EventId, History, Kind, MemberAdded, NewMember,
        Point, Position, ReceiptAdvanced, Role, UserId,
    },
    live::Conversations,
    log::{APPEND_DEADLINE, Draft, Log, PAGE, Unavailable, Wanted},
    supervise::Supervisor,
};

use crate::{
    servers::Cluster,
    world::{Backbone as _, Conversation, Device, Node, Person, World, assert_linked, eventually, key},
};

/// A message that was retried until it was sent.
struct Sent {
    client_id: String,
    text: String,
    position: u64,
    /// The time from the first attempt to the acknowledgement.
    took: Duration,
    /// The number of refusals before that.
    refused: usize,
}

/// A task that sends one message after another.
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

/// Two people at two nodes, who send messages in one conversation and listen at both nodes.
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

    /// People whose sockets were closed resume, from their first cursor.
    async fn come_back(&mut self) {
        for (who, device) in [&self.ana, &self.ben].into_iter().zip(&mut self.devices) {
            while device.is_closed() {
                let hello = json!({ "op": "hello", "cursor": device.ready["cursor"] });
                let mut next = Device::says_hello(who.address, &who.token, hello).await;
                let answers = |frame: &Value| frame["op"] == "ready" || frame["op"] == "closed";
                let answer = next.waits_for("an answer", answers).await;
                next.ready = if answer["op"] == "ready" { answer } else { device.ready.clone() };
                *device = next;
            }
        }
    }

    /// Asserts that every acknowledged message is there, once, in the same order for everybody, that a retry gets the
    /// same answer, and that the sockets have seen every event. Returns the time of the slowest send.
    async fn holds_after(&mut self, talks: [Talk; 2]) -> Duration {
        let mut sent = Vec::new();
        for talk in talks {
            let own = talk.ends().await;
            assert!(own.is_sorted_by_key(|one| one.position), "the order of one sender");
            sent.extend(own);
        }
        self.come_back().await;
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
            let seen = said(device, &self.lunch);
            assert!(
                acknowledged.iter().all(|one| seen.contains(one)),
                "nothing acknowledged is lost: {seen:?}"
            );
            let texts: HashSet<&str> = seen.iter().map(|(_, text)| &**text).collect();
            assert_eq!(texts.len(), seen.len(), "nothing is there twice: {seen:?}");
        }
        let [one, other] = &self.devices;
        assert_eq!(said(one, &self.lunch), said(other, &self.lunch), "one order for everybody");
        let view = format!("/v1/conversations/{}?min_position={last}", self.lunch.id);
        let caught_up = Instant::now();
        eventually("the view has caught up", || async { self.ben.get(&view).await.status == 200 }).await;
        eprintln!("the view took {:?}", caught_up.elapsed());
        let history = self.ben.history(&self.lunch, last).await;
        let seen = said(one, &self.lunch);
        let expected: Vec<&str> = seen.iter().map(|(_, text)| &**text).collect();
        assert!(history.len() >= expected.len().min(20), "{history:?}");
        assert_eq!(history, expected[expected.len() - history.len()..]);
        slowest.took
    }
}

/// The messages that a socket received: position and text.
fn said(device: &Device, of: &Conversation) -> Vec<(u64, String)> {
    let is_said = |frame: &&Value| {
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

/// The leader of the conversation's stream, after people have been sending for a moment.
async fn leader(world: &World<Cluster>, scene: &Scene) -> usize {
    sleep(Duration::from_secs(1)).await;
    let shard = usize::from_str_radix(&scene.lunch.id[scene.lunch.id.len() - 2..], 16).expect("hex digits");
    let stream = format!("CHAT_{}", shard * world.streams / 256);
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(leader) = world.nats.leader_of(&stream).await {
            return leader;
        }
        assert!(Instant::now() < deadline, "nobody leads {stream}");
        sleep(Duration::from_millis(50)).await;
    }
}

/// A user's presence in the answer to another user at a node.
async fn status(asker: &Person, of: &Person) -> String {
    let answer = asker.get(&format!("/v1/users/{}/presence", of.id)).await.expect(200);
    answer["status"].as_str().expect("status").to_owned()
}

/// Asserts that both nodes know that both people are online, and notice that somebody has disconnected.
async fn presence_is_right(world: &World<Cluster>, scene: &Scene) {
    let Scene { ana, ben, lunch, .. } = scene;
    let cleo = world.person_at(1, "cleo").await;
    ana.invites(lunch, &cleo).await.expect(201);
    let device = cleo.connects().await;
    for node in &world.nodes {
        for of in [ana, ben, &cleo] {
            eventually(&format!("{} is here", of.name), || async {
                status(&ana.at(node.address), of).await == "online"
            })
            .await;
        }
    }
    device.leaves().await;
    for node in &world.nodes {
        eventually("cleo has gone", || async { status(&ben.at(node.address), &cleo).await == "offline" })
            .await;
        assert_eq!(status(&ben.at(node.address), ana).await, "online");
    }
}

#[tokio::test]
async fn the_leader_is_killed() {
    let mut world = World::with_cluster(4).await;
    let mut scene = Scene::begins(&world).await;
    let talks = scene.talk();
    let killed = leader(&world, &scene).await;
    world.nats.nats(killed).kill9();
    sleep(Duration::from_secs(8)).await;
    world.nats.nats(killed).start_again().await.expect("it starts again");
    world.nats.settled().await.expect("it catches up");
    let slowest = scene.holds_after(talks).await;
    assert!(slowest < APPEND_DEADLINE * 2, "one retry is enough: {slowest:?}");
    world.finish().await;
}

#[tokio::test]
async fn the_leader_hangs_and_comes_back() {
    let mut world = World::with_cluster(1).await;
    let mut scene = Scene::begins(&world).await;
    let talks = scene.talk();
    let frozen = leader(&world, &scene).await;
    world.nats.nats(frozen).freeze();
    sleep(Duration::from_secs(15)).await;
    world.nats.nats(frozen).thaw();
    world.nats.settled().await.expect("it catches up");
    scene.holds_after(talks).await;
    world.finish().await;
}

#[tokio::test]
async fn all_servers_are_replaced_one_after_another() {
    let mut world = World::with_cluster(1).await;
    let mut scene = Scene::begins(&world).await;
    let talks = scene.talk();
    for index in 0..world.nats.size() {
        world.nats.nats(index).lame_duck().await;
        world.nats.nats(index).start_again().await.expect("it starts again");
        world.nats.settled().await.expect("it catches up");
    }
    let slowest = scene.holds_after(talks).await;
    assert!(slowest < Duration::from_secs(4), "nobody waits for longer than a moment: {slowest:?}");
    world.finish().await;
}

#[tokio::test]
async fn two_of_three_are_lost_for_a_while() {
    let mut world = World::with_cluster(1).await;
    let mut scene = Scene::begins(&world).await;
    scene.ana.says(&scene.lunch, "before").await;
    let first = leader(&world, &scene).await;
    let lost = [first, (first + 1) % world.nats.size()];
    for index in lost {
        world.nats.nats(index).kill9();
    }
    let gone = Instant::now();
    let retried = [key(), key()];
    let (one, other) = tokio::join!(
        scene.ana.sends(&scene.lunch, &retried[0], "meanwhile"),
        scene.ben.sends(&scene.lunch, &retried[1], "meanwhile too"),
    );
    let patience = APPEND_DEADLINE + Duration::from_secs(1);
    assert!(gone.elapsed() < patience, "the answer comes in time: {:?}", gone.elapsed());
    for refused in [one, other] {
        assert!(refused.headers.contains_key("retry-after"), "{refused:?}");
        refused.refuses(503, "unavailable");
    }
    // A node cannot know whether the log is lost, or only the connection to it.
    for who in [&scene.ana, &scene.ben] {
        let history = format!("/v1/conversations/{}/messages", scene.lunch.id);
        eventually("nobody is let in", || async { who.get(&history).await.status == 503 }).await;
    }
    for device in &mut scene.devices {
        assert_eq!(device.is_closed_with().await, 4411);
    }
    sleep((gone + Duration::from_secs(12)).saturating_duration_since(Instant::now())).await;

    for index in lost {
        world.nats.nats(index).start_again().await.expect("it starts again");
    }
    for (who, client_id, text) in
        [(&scene.ana, &retried[0], "meanwhile"), (&scene.ben, &retried[1], "meanwhile too")]
    {
        eventually("sends go on unaided", || async {
            who.sends(&scene.lunch, client_id, text).await.status == 201
        })
        .await;
    }
    eprintln!("sends go on {:?} after the loss", gone.elapsed());
    let talks = scene.talk();
    world.nats.settled().await.expect("they catch up");
    scene.come_back().await;
    for device in &mut scene.devices {
        device.sees("meanwhile").await;
        device.sees("meanwhile too").await;
    }
    presence_is_right(&world, &scene).await;
    scene.holds_after(talks).await;
    world.finish().await;
}

/// The server that a node is connected to.
async fn server_of(node: &Node) -> usize {
    let (_, body) = node.readiness().await;
    let name = body["parts"]["log"]["server"].as_str().unwrap_or_default();
    name.strip_prefix("verbatim-").and_then(|index| index.parse().ok()).unwrap_or(usize::MAX)
}

#[tokio::test]
async fn a_node_leaves_a_server_that_is_cut_off_from_the_others() {
    let mut world = World::with_cluster(1).await;
    let mut scene = Scene::begins(&world).await;
    scene.ana.says(&scene.lunch, "before").await;
    let at = server_of(&world.nodes[0]).await;
    world.nats.cut_off(at).await.expect("the others start again");
    let cut = Instant::now();
    let retried = key();
    eventually("sends go on", || async {
        scene.ana.sends(&scene.lunch, &retried, "meanwhile").await.status == 201
    })
    .await;
    eprintln!("sends go on {:?} after the others are there again", cut.elapsed());
    eventually("it is at another server", || async { server_of(&world.nodes[0]).await != at }).await;
    // A node that has not heard from the log for some seconds has closed its sockets.
    for who in [&scene.ana, &scene.ben] {
        let history = format!("/v1/conversations/{}/messages", scene.lunch.id);
        eventually("both nodes hear of it again", || async { who.get(&history).await.status == 200 }).await;
    }
    scene.come_back().await;
    for device in &mut scene.devices {
        device.sees("meanwhile").await;
    }
    assert_eq!(world.nodes[0].tells("copies", "missing").await, "degraded");
    world.nodes[0].fires("VerbatimCopiesMissing").await;
    // The command may come to the server that is cut off: it picks one of the three.
    eventually("`check` warns of it", async || {
        world.runs(&["check"]).await.stdout.contains("WARNING  copies: ")
    })
    .await;
    world.nats.bring_back(at).await.expect("it starts again");
    world.nats.settled().await.expect("it catches up");
    for node in &world.nodes {
        node.is_ready().await;
    }
    let talks = scene.talk();
    sleep(Duration::from_secs(1)).await;
    scene.holds_after(talks).await;
    world.finish().await;
}

fn draft(clock: &Clock, conversation: ConversationId, actor: UserId, event: Event) -> Draft {
    let (id, time) = (clock.id(EventId::known), clock.now());
    Draft { conversation, id, actor, time, event, key: None, via: None, trace: None }
}

#[tokio::test]
async fn a_forgotten_setting_takes_no_copies_away() {
    let world = World::empty_cluster(3, 1).await;
    drop(
        Log::make(
            &world.nats.url_of(NatsUser::Operator),
            Wanted { replicas: Some(3), ..Wanted::default() },
            1,
            &Supervisor::new(),
        )
        .await
        .expect("the log is made"),
    );
    let refused =
        Log::open(world.nats.url(), Wanted { replicas: Some(1), ..Wanted::default() }, &Supervisor::new())
            .await
            .err();
    assert!(refused.is_some_and(|e| e.to_string().contains("VERBATIM_REPLICAS=3")));
    assert_eq!(world.nats.copies_of("CHAT_0").await.map(|copies| copies.len()), Some(3));

    // Copies that an operator has taken away come back, of every stream.
    let jetstream = jetstream::new(world.nats.client(NatsUser::Operator).await);
    for name in ["CHAT_0", "AUDIT", "ADVISORIES", "REPLAY"] {
        let stream = jetstream.get_stream(name).await.expect("the stream");
        let fewer = Config { num_replicas: 1, ..stream.cached_info().config.clone() };
        jetstream.update_stream(fewer).await.expect("an operator may");
    }
    let migrated = world.runs(&["migrate"]).await;
    for name in ["CHAT_0", "AUDIT", "ADVISORIES", "REPLAY"] {
        let told = format!("{name}: num_replicas was 1 and is now 3");
        assert!(migrated.code == Some(0) && migrated.stdout.contains(&told), "{migrated:?}");
    }
    world.finish_without_views().await;
}

/// Every server may answer a look-up of a conversation, even one that has hung for a moment. A node that trusted a
/// stale answer would miss for ever the events that it has already followed.
#[tokio::test]
async fn a_server_that_lags_behind_is_not_believed() {
    let mut world = World::empty_cluster(4, 1).await;
    let wanted = Wanted { streams: Some(1), replicas: Some(3) };
    drop(
        Log::make(&world.nats.url_of(NatsUser::Operator), wanted, 1, &Supervisor::new())
            .await
            .expect("the log is made"),
    );
    world.nats.settled().await.expect("the stream is there");
    let copies = world.nats.copies_of("CHAT_0").await.expect("a leader");
    let without = (0..4).find(|index| !copies.contains(index)).expect("one has no copy");
    // It sends its requests to any of the three others.
    let log = Log::open(world.nats.nats(without).url(), wanted, &Supervisor::new())
        .await
        .expect("the log is there");
    let clock = Clock::system();
    for _ in 0..4 {
        let (id, owner) = (clock.id(ConversationId::known), clock.id(UserId::known));
        let members = vec![NewMember { user_id: owner, role: Role::Owner }];
        let created =
            ConversationCreated { kind: Kind::Group, title: None, history: History::default(), members };
        let created = draft(&clock, id, owner, Event::ConversationCreated(created));
        let begun = log.append_roster(&created, Position::START).await.expect("stored").position;

        let lags = world.nats.nats(copies[1]);
        lags.freeze();
        // This gives it events to catch up with.
        let noise = (1..3_000).map(|n| {
            let receipt = ReceiptAdvanced { delivered: Position(n), read: Position(n) };
            draft(&clock, id, owner, Event::ReceiptAdvanced(receipt))
        });
        for stored in join_all(noise.map(|receipt| async {
            let r = receipt;
            log.append(&r).await
        }))
        .await
        {
            stored.expect("stored by the two others");
        }
        let added = MemberAdded { user_id: clock.id(UserId::known), role: Role::Member, client_id: None };
        let key = ClientId::try_from(key()).ok();
        let added = Draft { key, ..draft(&clock, id, owner, Event::MemberAdded(added)) };
        let last = log.append_roster(&added, begun).await.expect("stored by the two others").position;
        // Another attempt with the key, which finds the expected event, is answered with the first one.
        let again = Draft { id: clock.id(EventId::known), ..added.clone() };
        let repeated = log.append_roster(&again, last).await.expect("stored before");
        assert_eq!((repeated.position, repeated.duplicate), (last, true));
        let looks: Vec<_> = (0..30)
            .map(|_| {
                let followed =
                    Conversations::new(log.clone(), vec![Point { position: last, event: added.id }], 1);
                tokio::spawn(async move { followed.get(id).await })
            })
            .collect();
        let replays: Vec<_> = (0..9)
            .map(|_| {
                let log = log.clone();
                tokio::spawn(async move {
                    let (mut replay, mut seen) = (log.replay(0, begun, Position::MAX, &[id]).await?, begun);
                    while let Some(event) = replay.page(PAGE).await?.last() {
                        seen = event.position;
                    }
                    Ok::<_, Unavailable>(seen)
                })
            })
            .collect();
        sleep(Duration::from_millis(500)).await;
        lags.thaw();
        let mut replayed = 0;
        for replay in replays {
            if let Ok(seen) = replay.await.expect("no panic") {
                assert_eq!(seen, last, "a replay ends where this process has followed to");
                replayed += 1;
            }
        }
        assert!(replayed > 0, "some servers answered");
        let mut seen = Vec::new();
        for look in looks {
            let found = look.await.expect("no panic").expect("an answer").expect("the conversation");
            seen.push(found.roster().1);
        }
        assert_eq!(seen, [last; 30], "everybody sees what this process has followed");
    }
    drop(log);
    world.finish_without_views().await;
}
