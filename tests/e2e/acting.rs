//! A program acts for a user.

use async_nats::jetstream;
use serde_json::{Value, json};
use verbatim::dev::NatsUser;

use crate::{
    events::stream_of,
    limits::left,
    world::{ALL_SCOPES, ON_BEHALF_OF, Person, Program, World, eventually, key, position},
};

const CHAT: [&str; 6] = [
    "conversations:read",
    "conversations:write",
    "messages:write",
    "users:write",
    "users:tokens",
    "events:read",
];

/// `ce-actor` and `ce-via` of the event at a position.
async fn actor_and_via(world: &World, position: u64) -> (Option<String>, Option<String>) {
    let jetstream = jetstream::new(world.nats.connect(NatsUser::Operator).await.expect("NATS"));
    let stream = jetstream.get_stream("CHAT_0").await.expect("the stream");
    let message = stream.get_raw_message(position).await.expect("the event");
    let header = |name: &str| message.headers.get(name).map(|value| value.as_str().to_owned());
    (header("ce-actor"), header("ce-via"))
}

/// A user of the host application, with a login that the host application created.
async fn hosted(host: &Person, external_id: &str) -> Person {
    let wanted = json!({ "upsert": { "display_name": external_id } });
    let login = host.post(&format!("/v1/provision/users/{external_id}/tokens"), wanted).await.expect(201);
    Person::with(&login, host.address).named(external_id)
}

fn acting_for(program: &Person, user: &str) -> Person {
    program.with_header(ON_BEHALF_OF, user)
}

#[tokio::test]
async fn a_program_acts_within_the_rules_the_limits_and_the_keys_of_the_user() {
    let mut world = World::empty(1).await;
    let limits = [
        ("VERBATIM_LIMIT_SERVICE", "6000/60:600"),
        ("VERBATIM_LIMIT_SEND", "1/60:30"),
        ("VERBATIM_LIMIT_CONVERSATION", "1/60:200"),
    ];
    world.add_node_with("api,gateway,projector", &limits).await;
    let operator = Program::bootstraps(&world).await;
    let host = operator.makes("shop", &[&CHAT[..], &["act:users"]].concat()).await.person;
    let (ana, ben) = (hosted(&host, "7").await, hosted(&host, "8").await);
    let lunch = ben.starts_group("Lunch", &[&ana]).await;

    let as_ana = acting_for(&host, "ext:7");
    let client_id = key();
    let answer = as_ana.sends(&lunch, &client_id, "soup?").await;
    assert!(left(&answer, "service") < 600, "{:?}", answer.headers);
    assert_eq!((left(&answer, "send"), left(&answer, "conversation")), (29, 199), "of the user");
    let said = answer.expect(201);
    assert_eq!(said["sender"], ana.id);
    let (actor, via) = actor_and_via(&world, position(&said)).await;
    assert_eq!((actor.as_deref(), via.as_deref()), (Some(&*ana.id), Some(&*host.id)));
    // The idempotency key of a message belongs to the user, over REST and over a socket.
    let mut socket = ana.connects().await;
    socket
        .tells(json!({ "op": "send", "id": "again", "conversation_id": lunch.id, "client_id": client_id,
                       "text": "soup?" }))
        .await;
    let ack = socket.waits_for("an answer", |frame| frame["id"] == "again").await;
    assert_eq!((&ack["op"], &ack["message_id"]), (&json!("ack"), &said["id"]), "{ack}");
    assert_eq!(acting_for(&host, &ana.id.to_uppercase()).get("/v1/me").await.expect(200)["id"], ana.id);

    // The host is not a member, and neither is a third user.
    hosted(&host, "9").await;
    host.sends(&lunch, &key(), "let me in").await.refuses(404, "not_found");
    acting_for(&host, "ext:9").sends(&lunch, &key(), "let me in").await.refuses(404, "not_found");
    as_ana
        .patch(&format!("/v1/conversations/{}", lunch.id), json!({ "title": "X" }))
        .await
        .refuses(403, "forbidden");
    let path = format!("/v1/conversations/{}?min_position={}", lunch.id, position(&said));
    let head = ben.get(&path).await.expect(200)["head"].as_u64().expect("a head");
    assert_eq!(head, position(&said), "nothing was stored");

    // The audit event of a change of the account says through whom it was made.
    as_ana.patch("/v1/me", json!({ "display_name": "Ana" })).await.expect(200);
    let path = format!("/v1/admin/audit?area=account&id={}", ana.id);
    let latest = async || {
        operator.person.get(&path).await.expect(200)["items"].as_array().and_then(|all| all.last().cloned())
    };
    let is_told =
        |event: &Option<Value>| event.as_ref().is_some_and(|event| event["type"] == "account.updated");
    eventually("the change is in the trail", async || is_told(&latest().await)).await;
    let updated = latest().await.expect("an event");
    assert_eq!((&updated["actor"], &updated["via"]), (&json!(ana.id), &json!(host.id)), "{updated}");
    world.finish().await;
}

#[tokio::test]
async fn a_program_needs_a_scope_to_act_and_a_user_whom_a_host_has_brought() {
    let world = World::start().await;
    let operator = Program::bootstraps(&world).await;
    let some = operator.makes("shop", &[&CHAT[..], &["act:users"]].concat()).await.person;
    let all = operator.makes("robot", &[&CHAT[..], &["act:users:all"]].concat()).await.person;
    let (ana, registered) = (hosted(&some, "7").await, world.person("ben").await);
    let me = async |program: &Person, user: &str| acting_for(program, user).get("/v1/me").await;
    assert_eq!(me(&some, "ext:7").await.expect(200)["id"], ana.id);
    assert_eq!(me(&all, "ext:7").await.expect(200)["id"], ana.id);
    assert_eq!(me(&all, &registered.id).await.expect(200)["id"], registered.id);

    let without = operator.makes("without", &CHAT).await.person;
    for caller in [&without, &registered, &ana] {
        let refused = me(caller, &ana.id).await.refuses(403, "missing_scope");
        assert!(refused["detail"].as_str().expect("detail").contains("act:users"), "{refused}");
    }
    // The operation needs its own scope, too.
    let acts_only = operator.makes("acts.only", &["act:users"]).await.person;
    let refused =
        acting_for(&acts_only, "ext:7").get("/v1/conversations").await.refuses(403, "missing_scope");
    assert!(refused["detail"].as_str().expect("detail").contains("conversations:read"), "{refused}");

    hosted(&some, "8").await;
    some.delete("/v1/provision/users/8").await.expect(204);
    let mut words = Vec::new();
    for nobody in [
        "ext:8",
        "ext:nobody",
        &registered.id,
        &some.id,
        &uuid::Uuid::now_v7().to_string(),
        &uuid::Uuid::nil().to_string(),
    ] {
        let mut refused = me(&some, nobody).await.refuses(403, "may_not_act_for");
        refused["request_id"].take();
        words.push(refused);
    }
    assert!(words.iter().all(|refused| *refused == words[0]), "{words:?}");
    me(&all, &some.id).await.refuses(403, "may_not_act_for");
    me(&all, "ext:8").await.refuses(403, "may_not_act_for");
    for neither in ["7", "ext:", "ext:a b", "me", &ana.id[1..]] {
        let refused = me(&some, neither).await.refuses(400, "invalid_parameter");
        assert_eq!(refused["errors"][0]["pointer"], "/Verbatim-On-Behalf-Of", "{refused}");
    }
    // Log-ins, provisioning and operators' requests are refused on behalf of a user.
    let full = operator.makes("full", ALL_SCOPES).await.person;
    for path in ["/v1/logins", "/v1/admin/services", "/v1/provision/users/7"] {
        let refused = acting_for(&full, "ext:7").get(path).await.refuses(400, "invalid_parameter");
        assert_eq!(refused["errors"][0]["code"], "not_on_behalf", "{refused}");
    }
    world.finish().await;
}

#[tokio::test]
async fn a_stream_for_a_user_ends_with_the_key_and_with_the_user() {
    let mut world = World::start().await;
    world.add_node("api,projector").await;
    let operator = Program::bootstraps(&world).await;
    let host = operator.makes("shop", &[&CHAT[..], &["act:users"]].concat()).await.person;
    let (ana, ben) = (hosted(&host, "7").await, hosted(&host, "8").await);
    let lunch = ben.starts_group("Lunch", &[&ana]).await;
    let second = operator.adds_key(&host.id, json!({ "name": "second" })).await;
    let by_second = host.with_token(second["key"].as_str()).at(world.nodes[1].address);
    let on_behalf = [(ON_BEHALF_OF, "ext:7")];
    let mut cut = stream_of(&by_second, "/v1/events", &on_behalf).await;
    let mut stream = stream_of(&host, "/v1/events", &on_behalf).await;
    ben.says(&lunch, "soup?").await;
    for follower in [&mut cut, &mut stream] {
        let (event, _) = follower.happens().await;
        assert_eq!(event["data"]["text"], "soup?", "{event}");
    }

    let path = format!("/v1/admin/services/{}/keys/{}", host.id, second["id"].as_str().expect("id"));
    operator.person.delete(&path).await.expect(204);
    assert_eq!(cut.ends().await, "invalid_key");
    by_second.with_header(ON_BEHALF_OF, "ext:7").get("/v1/me").await.refuses(401, "invalid_key");

    // The key of the host stays valid, but the user is gone: no event is delivered for the user any more.
    host.delete("/v1/provision/users/7").await.expect(204);
    ben.says(&lunch, "who is here?").await;
    assert_eq!(stream.ends().await, "may_not_act_for");
    acting_for(&host, "ext:7").get("/v1/events?wait=1").await.refuses(403, "may_not_act_for");
    world.finish().await;
}

#[tokio::test]
async fn an_event_tells_through_which_host_the_user_came() {
    let world = World::start().await;
    let operator = Program::bootstraps(&world).await;
    let host = operator.makes("shop", &CHAT).await.person;
    let (ana, ben) = (hosted(&host, "7").await, world.person("ben").await);
    let lunch = ben.starts_group("Lunch", &[]).await;
    ben.invites(&lunch, &ana).await.expect(201);
    let by_rest = ana.says(&lunch, "from REST").await;
    let by_socket = ana.connects().await.says(&lunch, "from a socket").await;
    for said in [&by_rest, &by_socket] {
        let (actor, via) = actor_and_via(&world, position(said)).await;
        assert_eq!((actor.as_deref(), via.as_deref()), (Some(&*ana.id), Some(&*host.id)));
    }
    let own = ben.says(&lunch, "mine").await;
    assert_eq!(actor_and_via(&world, position(&own)).await, (Some(ben.id.clone()), None));
    world.finish().await;
}
