//! People are added to conversations that nobody at their node has in memory.

use async_nats::jetstream;
use verbatim::dev::NatsUser;

use crate::world::{Backbone as _, World, assert_linked};

/// Sets whether the servers answer look-ups in the log. Appending and following do not need them.
async fn look_ups(world: &World, are_answered: bool) {
    let client = world.nats.client(NatsUser::Operator).await;
    let jetstream = jetstream::new(client);
    let stream = jetstream.get_stream("CHAT_0").await.expect("stream");
    let mut config = stream.cached_info().config.clone();
    config.allow_direct = are_answered;
    jetstream.update_stream(config).await.expect("update");
}

#[tokio::test]
async fn a_conversation_that_cannot_be_read_holds_nobody_else_up() {
    let mut world = World::empty(1).await;
    world.add_node_with("api,gateway,projector", &[("VERBATIM_HEARTBEAT", "1")]).await;
    world.add_node("api").await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let cleo = world.person_at(1, "cleo").await;
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let tea = cleo.starts_group("Tea", &[]).await;
    cleo.says(&tea, "nobody at the first node knows this conversation").await;
    let mut device = ben.connects().await;
    ana.says(&lunch, "before").await;
    device.sees("before").await;

    look_ups(&world, false).await;
    cleo.invites(&tea, &ben).await.expect(201);
    cleo.says(&tea, "welcome").await;
    ana.says(&lunch, "meanwhile").await;
    device.sees("meanwhile").await;
    assert!(device.chain(&tea).is_empty(), "what comes first has to be read first");
    device.gets("heartbeat").await;
    let cursor = device.gets("heartbeat").await["cursor"].as_str().expect("a cursor").to_owned();

    look_ups(&world, true).await;
    device.sees("welcome").await;
    assert_linked(&device.chain(&tea));
    assert_eq!(device.chain(&tea).len(), 2, "the event by which ben came in, and what was said after it");
    let mut back = ben.resumes(&cursor).await;
    back.gets("caught_up").await;
    assert_eq!(back.chain(&tea), device.chain(&tea), "no cursor went beyond what had not been given");
    ana.says(&lunch, "after").await;
    cleo.says(&tea, "the end").await;
    for device in [&mut device, &mut back] {
        device.sees("after").await;
        device.sees("the end").await;
        assert_linked(&device.chain(&lunch));
        assert_linked(&device.chain(&tea));
    }
    world.finish().await;
}
