//! A socket that subscribes to some conversations only.

use serde_json::{Value, json};

use crate::world::{Conversation, Device, World, assert_linked};

/// The number of frames about a conversation, without the pings of the story.
fn told_of(device: &Device, of: &Conversation) -> usize {
    device.seen.iter().filter(|frame| frame.to_string().contains(&of.id)).count()
}

#[tokio::test]
async fn a_socket_hears_of_the_conversations_that_it_names_and_the_users_others_of_all() {
    let world = World::start().await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let (lunch, dinner) =
        (ana.starts_group("Lunch", &[&ben]).await, ana.starts_group("Dinner", &[&ben]).await);
    let hello = |cursor: Value| {
        let filter = json!({ "conversations": [lunch.id] });
        json!({ "op": "hello", "id": "h", "cursor": cursor, "filter": filter })
    };
    let mut all = ben.connects().await;
    let mut some = Device::greets(ben.address, &ben.token, hello(Value::Null)).await;
    assert_eq!(
        (&some.ready["id"], some.ready["conversations"][0]["id"].as_str()),
        (&json!("h"), Some(&*lunch.id))
    );
    assert_eq!(some.ready["conversations"].as_array().map(Vec::len), Some(1));

    let cursor = some.cursor();
    for text in ["one", "two"] {
        ana.says(&dinner, text).await;
        ana.says(&lunch, text).await;
        some.sees(text).await;
    }
    some.catches_up().await;
    all.catches_up().await;
    assert_eq!((told_of(&some, &dinner), some.chain(&lunch).len()), (0, 2));
    assert_eq!((all.chain(&dinner).len(), all.chain(&lunch).len()), (2, 2));

    let mut back = Device::greets(ben.address, &ben.token, hello(cursor.into())).await;
    back.gets("caught_up").await;
    assert_eq!((told_of(&back, &dinner), back.chain(&lunch)), (0, some.chain(&lunch)));
    assert_linked(&back.chain(&lunch));
    world.finish().await;
}
