//! Postgres hangs or is gone, and people continue to send: their messages are acknowledged, and a retry does not
//! send a message twice, however old the message is.

use std::{
    collections::BTreeMap,
    sync::Mutex,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use serde_json::json;

use crate::{
    servers::PostgresOptions,
    world::{Answer, Conversation, Machine, Person, World, eventually, key},
};

/// People who write concurrently.
const WRITERS: usize = 6;
/// People who read concurrently: more than there are connections to Postgres.
const READERS: usize = 30;
/// The pause before the next message.
const PACE: Duration = Duration::from_millis(100);
/// A request that takes longer than this counts as hanging.
const HANGS: Duration = Duration::from_secs(5);

/// How long an outage lasts.
fn outage() -> Duration {
    let seconds = std::env::var("VERBATIM_OUTAGE_SECONDS");
    Duration::from_secs(seconds.map_or(6, |text| text.parse().expect("a number of seconds")))
}

/// The positions of acknowledged messages, by key.
#[derive(Default)]
struct Said(Mutex<BTreeMap<String, u64>>);

impl Said {
    fn count(&self) -> usize {
        self.0.lock().expect("lock").len()
    }

    /// Sends one message, and returns how long that took.
    async fn one_more(&self, who: &Person, to: &Conversation) -> Duration {
        let (key, begun) = (key(), Instant::now());
        let sent = who.sends(to, &key, &key).await;
        if sent.status == 201 {
            self.0.lock().expect("lock").insert(key, position(&sent));
        }
        begun.elapsed()
    }

    /// Sends for as long as the outage lasts. Returns the longest time of a send.
    async fn goes_on(&self, who: &Person, to: &Conversation) -> Duration {
        let (begun, mut longest) = (Instant::now(), Duration::ZERO);
        while begun.elapsed() < outage() {
            longest = longest.max(self.one_more(who, to).await);
            tokio::time::sleep(PACE).await;
        }
        longest
    }

    /// Retries all messages. Each has to get its first answer.
    async fn is_answered_again(&self, who: &Person, to: &Conversation) {
        let said = self.0.lock().expect("lock").clone();
        for (key, at) in said {
            let again = who.sends(to, &key, &key).await;
            assert_eq!((again.status.as_u16(), position(&again)), (201, at), "{key}: {}", again.body);
        }
    }
}

/// Sends requests that need Postgres for as long as the outage lasts, and gives up on each of them.
async fn reads_in_vain(who: &Person) {
    let begun = Instant::now();
    while begun.elapsed() < outage() {
        let _ = tokio::time::timeout(PACE * 20, who.get("/v1/me")).await;
        tokio::time::sleep(PACE).await;
    }
}

fn position(sent: &Answer) -> u64 {
    sent.body["position"].as_u64().unwrap_or_default()
}

/// The kinds of outage of Postgres.
enum Outage {
    Hangs,
    Gone,
    /// All packets between Postgres and the machine of the node are lost.
    Unreachable(Machine),
}

impl Outage {
    async fn adds_a_node(&self, world: &mut World) {
        match self {
            Self::Unreachable(machine) => world.add_node_on(machine, "api,gateway,projector").await,
            Self::Hangs | Self::Gone => drop(world.add_node("api,gateway,projector").await),
        }
    }

    fn begins(&self, world: &mut World) {
        match self {
            Self::Hangs => world.database.server().freeze(true),
            Self::Gone => world.database.server().kill9(),
            Self::Unreachable(machine) => machine.database.pull_here(),
        }
    }

    async fn ends(&self, world: &mut World) {
        match self {
            Self::Hangs => world.database.server().freeze(false),
            Self::Gone => world.database.server().start_again().await.expect("Postgres starts again"),
            Self::Unreachable(machine) => machine.database.plug_in(),
        }
    }
}

/// People send messages during an outage of Postgres.
async fn talk_goes_on(mut world: World, outage: Outage) {
    outage.adds_a_node(&mut world).await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let notes = ana.starts_direct(&ben).await.expect(201).into();
    let (before, during) = (Said::default(), Said::default());
    for _ in 0..20 {
        before.one_more(&ana, &lunch).await;
    }
    assert_eq!(before.count(), 20);
    // From here on, only the views and the log know the keys of the messages. A node that has just started cannot
    // mistake these keys for new ones.
    world.nodes.remove(0).stop().await;
    outage.adds_a_node(&mut world).await;
    let (ana, ben) = (ana.at(world.nodes[0].address), ben.at(world.nodes[0].address));
    world.the_log_forgets_keys().await;
    ana.says(&notes, "between us").await;
    let mut device = ben.connects().await;

    outage.begins(&mut world);
    let begun = Instant::now();
    let writing = join_all((0..WRITERS).map(|_| during.goes_on(&ana, &lunch)));
    let (longest, _) = tokio::join!(writing, join_all((0..READERS).map(|_| reads_in_vain(&ben))));
    let longest = longest.into_iter().max().expect("somebody wrote");
    println!("{} acknowledged in {:?}, the slowest in {longest:?}", during.count(), begun.elapsed());
    assert!(longest < HANGS, "a send took {longest:?}");
    assert!(during.count() >= 2 * WRITERS, "{} sends were acknowledged", during.count());
    before.is_answered_again(&ana, &lunch).await;
    during.is_answered_again(&ana, &lunch).await;
    let found_in_log = world.nodes[0].metric(r#"verbatim_key_look_ups_total{result="in_log"}"#).await;
    assert!(found_in_log as usize >= before.count(), "{found_in_log}");
    assert_eq!(world.nodes[0].metric("verbatim_key_breaker_open").await, 1);
    // The refusal does not blame the request.
    ben.get("/v1/messages?query=between").await.refuses(503, "unavailable");
    // A reconnect puts the block lists in memory in doubt. They cannot be read again, so the node continues to use
    // them.
    world.nats.kill9();
    world.nats.start_again().await.expect("nats-server starts again");
    let retried = key();
    eventually("the two write to each other", || async {
        ana.sends(&notes, &retried, "still between us").await.status == 201
    })
    .await;
    device.sees("still between us").await;
    let other = json!({ "client_id": before.0.lock().expect("lock").keys().next(), "text": "another text" });
    let path = format!("/v1/conversations/{}/messages", lunch.id);
    ana.post(&path, other).await.refuses(409, "idempotency_mismatch");

    outage.ends(&mut world).await;
    let over = Instant::now();
    eventually("people read again", async || ben.get("/v1/me").await.status == 200).await;
    println!("read again after {:?}", over.elapsed());
    eventually("the views have caught up", || async {
        let last = ana.says(&lunch, "after").await["position"].as_u64().expect("position");
        ana.get(&format!("/v1/conversations/{}?min_position={last}", lunch.id)).await.status == 200
    })
    .await;
    eventually("the views are asked for keys again", async || {
        world.nodes[0].metric("verbatim_key_breaker_open").await == 0
    })
    .await;
    println!("the views have caught up after {:?}", over.elapsed());
    before.is_answered_again(&ana, &lunch).await;
    during.is_answered_again(&ana, &lunch).await;
    let sent: i64 = world.database.finds("select count(distinct client_id) from view.message").await;
    let stored: i64 = world.database.finds("select count(*) from view.message").await;
    assert_eq!(sent, stored, "a message stands in the log twice");
    world.finish().await;
}

#[tokio::test]
async fn while_postgres_hangs_people_talk_on_and_nothing_is_said_twice() {
    talk_goes_on(World::with_its_own_postgres().await, Outage::Hangs).await;
}

#[tokio::test]
async fn while_postgres_is_gone_people_talk_on_and_nothing_is_said_twice() {
    talk_goes_on(World::with_its_own_postgres().await, Outage::Gone).await;
}

#[tokio::test]
async fn while_packets_to_postgres_vanish_people_talk_on_and_nothing_is_said_twice() {
    let Some((world, machine)) = world_with_a_machine().await else { return };
    talk_goes_on(world, Outage::Unreachable(machine)).await;
}

/// A world with a machine whose cables can be pulled, and Postgres at the end of one of them. If this machine cannot
/// create one, prints that and returns `None`.
async fn world_with_a_machine() -> Option<(World, Machine)> {
    let machine = match Machine::new() {
        Ok(machine) => machine,
        Err(why) => {
            println!("lost packets cannot be tried on this machine: {why}");
            return None;
        }
    };
    let also_at = Some(machine.database.address());
    Some((World::empty_with(PostgresOptions { fsync_off: true, also_at }).await, machine))
}

/// The client address of the session that has the turn to project.
async fn projects_from(world: &World) -> Option<String> {
    let holder = "select max(host(client_addr)) from pg_locks join pg_stat_activity using (pid)
                  where locktype = 'advisory' and granted";
    world.database.finds(holder).await
}

#[tokio::test]
async fn when_a_machine_is_lost_without_a_word_another_projects_its_streams() {
    let Some((mut world, machine)) = world_with_a_machine().await else { return };
    world.add_node_on(&machine, "projector").await;
    let there = machine.database.there.to_string();
    eventually("the machine projects", async || projects_from(&world).await.as_ref() == Some(&there)).await;
    world.add_node("api,gateway,projector").await;
    let ana = world.person_at(1, "ana").await;
    let notes = ana.starts_group("Notes", &[]).await;
    ana.says(&notes, "one").await;
    assert_eq!(projects_from(&world).await.as_ref(), Some(&there));

    machine.database.pull_there();
    machine.rest.pull_there();
    let last = ana.says(&notes, "two").await["position"].as_u64().expect("position");
    let lost = Instant::now();
    eventually("another one projects", || async {
        ana.get(&format!("/v1/conversations/{}?min_position={last}", notes.id)).await.status == 200
    })
    .await;
    println!("another one projects after {:?}", lost.elapsed());
    assert_eq!(ana.history(&notes, last).await, ["one", "two"]);
    let sessions = format!("select count(*) from pg_stat_activity where host(client_addr) = '{there}'");
    eventually("no session of the lost machine is left", async || {
        world.database.finds::<i64>(&sessions).await == 0
    })
    .await;

    // After the machine is back, the two nodes do not disturb each other.
    machine.database.plug_in();
    machine.rest.plug_in();
    eventually("the machine is back", async || world.database.finds::<i64>(&sessions).await > 0).await;
    let last = ana.says(&notes, "three").await["position"].as_u64().expect("position");
    assert_eq!(ana.history(&notes, last).await, ["one", "two", "three"]);
    world.finish().await;
}

#[tokio::test]
async fn a_projector_that_has_lost_the_log_leaves_its_turn_to_one_that_has_it() {
    let Some((mut world, machine)) = world_with_a_machine().await else { return };
    world.add_node_on(&machine, "projector").await;
    let there = machine.database.there.to_string();
    eventually("the machine projects", async || projects_from(&world).await.as_ref() == Some(&there)).await;
    world.add_node("api,projector").await;
    let ana = world.person_at(1, "ana").await;
    let notes = ana.starts_group("Notes", &[]).await;

    machine.rest.pull_there();
    let last = ana.says(&notes, "one").await["position"].as_u64().expect("position");
    let lost = Instant::now();
    eventually("another one projects", || async {
        ana.get(&format!("/v1/conversations/{}?min_position={last}", notes.id)).await.status == 200
    })
    .await;
    println!("another one projects after {:?}", lost.elapsed());
    machine.rest.plug_in();
    world.finish().await;
}
