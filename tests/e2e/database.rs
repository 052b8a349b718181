//! Postgres hangs or is gone, and people talk on: what is said meanwhile is acknowledged, and what is
//! tried again is not said twice, however long ago it was said first.

use std::{
    collections::BTreeMap,
    sync::Mutex,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use serde_json::json;

use crate::world::{Answer, Conversation, Person, World, eventually, key};

/// People who write side by side.
const WRITERS: usize = 6;
/// How long one waits before the next message.
const PACE: Duration = Duration::from_millis(100);
/// A request that takes longer hangs.
const HANGS: Duration = Duration::from_secs(5);

/// How long an outage lasts.
fn outage() -> Duration {
    let seconds = std::env::var("VERBATIM_OUTAGE_SECONDS");
    Duration::from_secs(seconds.map_or(6, |text| text.parse().expect("a number of seconds")))
}

/// Messages that were acknowledged: where each stands, by its key.
#[derive(Default)]
struct Said(Mutex<BTreeMap<String, u64>>);

impl Said {
    fn count(&self) -> usize {
        self.0.lock().expect("lock").len()
    }

    /// Sends one, and says how long that took.
    async fn one_more(&self, who: &Person, to: &Conversation) -> Duration {
        let (key, begun) = (key(), Instant::now());
        let sent = who.sends(to, &key, &key).await;
        if sent.status == 201 {
            self.0.lock().expect("lock").insert(key, position(&sent));
        }
        begun.elapsed()
    }

    /// Goes on sending for as long as the outage lasts; the longest that one send took.
    async fn goes_on(&self, who: &Person, to: &Conversation) -> Duration {
        let (begun, mut longest) = (Instant::now(), Duration::ZERO);
        while begun.elapsed() < outage() {
            longest = longest.max(self.one_more(who, to).await);
            tokio::time::sleep(PACE).await;
        }
        longest
    }

    /// Tries everything again: each has to get its first answer.
    async fn is_answered_again(&self, who: &Person, to: &Conversation) {
        let said = self.0.lock().expect("lock").clone();
        for (key, at) in said {
            let again = who.sends(to, &key, &key).await;
            assert_eq!((again.status.as_u16(), position(&again)), (201, at), "{key}: {}", again.body);
        }
    }
}

fn position(sent: &Answer) -> u64 {
    sent.body["position"].as_u64().unwrap_or_default()
}

/// People talk while Postgres is away, which `happens` and `ends`.
async fn talk_goes_on(mut world: World, happens: fn(&mut World), ends: impl AsyncFn(&mut World)) {
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let notes = ana.starts_direct(&ben).await.expect(201).into();
    let (before, during) = (Said::default(), Said::default());
    for _ in 0..20 {
        before.one_more(&ana, &lunch).await;
    }
    assert_eq!(before.count(), 20);
    // From here on only the views and the log itself know the keys of what was said, and nobody can take them
    // for younger than they are.
    world.the_log_forgets_keys().await;
    world.nodes.remove(0).stop().await;
    world.add_node("api,gateway,projector").await;
    let (ana, ben) = (ana.at(world.nodes[0].address), ben.at(world.nodes[0].address));
    ana.says(&notes, "between us").await;
    let mut device = ben.connects().await;

    happens(&mut world);
    let begun = Instant::now();
    let longest = join_all((0..WRITERS).map(|_| during.goes_on(&ana, &lunch))).await;
    let longest = longest.into_iter().max().expect("somebody wrote");
    println!("{} acknowledged in {:?}, the slowest in {longest:?}", during.count(), begun.elapsed());
    assert!(longest < HANGS, "a send took {longest:?}");
    assert!(during.count() >= 2 * WRITERS, "{} sends were acknowledged", during.count());
    before.is_answered_again(&ana, &lunch).await;
    during.is_answered_again(&ana, &lunch).await;
    ana.says(&notes, "still between us").await;
    device.sees("still between us").await;
    let other = json!({ "client_id": before.0.lock().expect("lock").keys().next(), "text": "another text" });
    let path = format!("/v1/conversations/{}/messages", lunch.id);
    ana.post(&path, other).await.refuses(409, "idempotency_mismatch");

    ends(&mut world).await;
    eventually("the views have caught up", || async {
        let last = ana.says(&lunch, "after").await["position"].as_u64().expect("position");
        ana.get(&format!("/v1/conversations/{}?min_position={last}", lunch.id)).await.status == 200
    })
    .await;
    before.is_answered_again(&ana, &lunch).await;
    during.is_answered_again(&ana, &lunch).await;
    let sent: i64 = world.database.finds("select count(distinct client_id) from view.message").await;
    let stored: i64 = world.database.finds("select count(*) from view.message").await;
    assert_eq!(sent, stored, "a message stands in the log twice");
    world.finish().await;
}

#[tokio::test]
async fn while_postgres_hangs_people_talk_on_and_nothing_is_said_twice() {
    let world = World::with_its_own_postgres().await;
    let freeze = |world: &mut World| world.database.server().freeze(true);
    talk_goes_on(world, freeze, async |world: &mut World| world.database.server().freeze(false)).await;
}

#[tokio::test]
async fn while_postgres_is_gone_people_talk_on_and_nothing_is_said_twice() {
    let world = World::with_its_own_postgres().await;
    let kill = |world: &mut World| world.database.server().kill9();
    let back = async |world: &mut World| {
        world.database.server().start_again().await.expect("Postgres starts again");
    };
    talk_goes_on(world, kill, back).await;
}
