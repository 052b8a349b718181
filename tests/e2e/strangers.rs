//! What a non-member can learn about a conversation.

use std::collections::HashSet;

use async_nats::{Client, Subscriber};
use futures_util::StreamExt as _;
use verbatim::{
    dev::NatsUser,
    domain::{ConversationId, UserId},
};

use crate::world::{Backbone as _, Conversation, Person, World};

/// Observes the look-ups in the log.
struct Watcher {
    client: Client,
    requests: Subscriber,
}

impl Watcher {
    async fn of(world: &World) -> Self {
        let client = world.nats.client(NatsUser::Operator).await;
        let requests = client.subscribe("$JS.API.DIRECT.GET.CHAT_0").await.expect("subscribed");
        client.flush().await.expect("flushed");
        Self { client, requests }
    }

    /// The number of look-ups of a conversation in the log during an action. A look-up that is repeated because the
    /// servers of a busy machine are slow counts once.
    async fn counts(&mut self, id: &str, done: impl Future<Output = ()>) -> usize {
        const END: &str = "the end of what is counted";
        done.await;
        // All counted requests pass through the server before this one.
        self.client.publish("$JS.API.DIRECT.GET.CHAT_0", END.into()).await.expect("published");
        let mut asked = HashSet::new();
        loop {
            let request = self.requests.next().await.expect("a request");
            match str::from_utf8(&request.payload).expect("JSON") {
                END => return asked.len(),
                about if about.contains(id) => drop(asked.insert(about.to_owned())),
                _ => {}
            }
        }
    }
}

/// The id that the direct conversation of two people has or would have.
fn between(one: &Person, other: &Person) -> String {
    let id = |person: &Person| person.id.parse::<UserId>().expect("an id");
    ConversationId::direct(id(one), id(other)).to_string()
}

async fn is_sent_away(stranger: &Person, id: &str) {
    stranger.get(&format!("/v1/conversations/{id}")).await.refuses(404, "not_found");
}

#[tokio::test]
async fn a_stranger_costs_the_log_the_same_whether_two_people_talk_or_not() {
    let mut world = World::start().await;
    let (ana, ben, cleo, eve) = (
        world.person("ana").await,
        world.person("ben").await,
        world.person("cleo").await,
        world.person("eve").await,
    );
    let talk = Conversation::from(ana.starts_direct(&ben).await.expect(201));
    ana.says(&talk, "in memory here").await;
    let (there, missing) = (between(&ana, &ben), between(&ana, &cleo));
    assert_eq!(there, talk.id, "anybody can compute it");
    let elsewhere = eve.at(world.add_node("api,gateway").await.address);

    let mut watcher = Watcher::of(&world).await;
    for (stranger, looks) in [(&eve, [1, 0, 0]), (&elsewhere, [1, 0, 0])] {
        for expected in looks {
            for id in [&there, &missing] {
                let seen = watcher.counts(id, is_sent_away(stranger, id)).await;
                assert_eq!(seen, expected, "look-ups of {id}");
            }
        }
    }
    world.finish().await;
}

#[tokio::test]
async fn a_conversation_that_was_looked_for_too_early_is_found_on_every_node_once_it_begins() {
    let mut world = World::start().await;
    let (ana, ben, eve) = (world.person("ana").await, world.person("ben").await, world.person("eve").await);
    let other = world.add_node("api,gateway").await.address;
    let id = between(&ana, &ben);
    for person in [&eve, &ben, &eve.at(other), &ben.at(other)] {
        is_sent_away(person, &id).await;
    }
    let mut device = ben.at(other).connects().await;
    let talk = Conversation::from(ana.starts_direct(&ben).await.expect(201));
    assert_eq!(talk.id, id);
    ana.says(&talk, "here we are").await;
    device.sees("here we are").await;
    assert_eq!(device.chain(&talk).first().map(|link| link.1), Some(0), "from its beginning on");

    let mut watcher = Watcher::of(&world).await;
    for person in [&ben, &ben.at(other)] {
        let path = format!("/v1/conversations/{id}");
        let reads = async { assert_eq!(person.get(&path).await.expect(200)["user_id"], *ana.id) };
        assert_eq!(watcher.counts(&id, reads).await, 0, "the follower has seen it begin");
    }
    is_sent_away(&eve, &id).await;
    is_sent_away(&eve.at(other), &id).await;
    world.finish().await;
}
