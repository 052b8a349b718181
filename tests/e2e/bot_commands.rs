//! Commands over NATS: programs send requests and get replies.

use std::time::Duration;

use futures_util::{StreamExt as _, future::join_all};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::timeout;
use verbatim::dev::NatsUser;

use crate::world::{Bot, Conversation, NatsReply, PATIENCE, World, eventually, key};

fn message(to: &Conversation, client_id: &str, text: &str) -> Value {
    json!({ "conversation_id": to.id, "client_id": client_id, "text": text })
}

#[tokio::test]
async fn a_command_is_the_request_of_rest_that_it_names() {
    let world = World::start().await;
    let (ana, bot) = (world.person("ana").await, Bot::begins(&world).await);
    let lunch = ana.starts_group("Lunch", &[]).await;
    let client_id = key();
    let send = || message(&lunch, &client_id, "once");
    bot.asks("send", send()).await.refuses(404, "not_found");
    ana.invites(&lunch, &bot.program.person).await.expect(201);
    let first = bot.asks("send", send()).await.expect(201);
    let again = bot.asks("send", send()).await.expect(201);
    let by_rest = bot.program.person.sends(&lunch, &client_id, "once").await.expect(201);
    assert!(first == again && again == by_rest, "{first} {again} {by_rest}");
    let position = first["position"].as_u64().expect("a position");
    assert_eq!(ana.history(&lunch, position).await, ["once"]);

    // The fields reach the operation as they were sent, so the same message over REST is the same again.
    let (client_id, metadata) = (key(), r#"{"n":[1.50,1E+2,123456789012345678901]}"#);
    let of = |fields: &str| {
        format!(r#"{{{fields}"client_id":"{client_id}","text":"typed","metadata":{metadata}}}"#)
    };
    let in_lunch = of(&format!(r#""conversation_id":"{}","#, lunch.id));
    let typed = bot.says("send", &[], in_lunch.clone()).await.expect(201);
    let messages = format!("/v1/conversations/{}/messages", lunch.id);
    let (status, by_rest) = bot.program.person.sends_bytes(Method::POST, &messages, &of("")).await;
    assert_eq!((status, by_rest.contains(metadata)), (201, true), "{by_rest}");
    let by_rest: Value = serde_json::from_str(&by_rest).expect("JSON");
    assert_eq!(by_rest["position"], typed["position"]);
    let twice = in_lunch.replacen('{', r#"{"text":"other","#, 1);
    let refused = bot.says("send", &[], twice).await.refuses(400, "invalid_body");
    assert_eq!(refused["errors"][0]["code"], "duplicate_field", "{refused}");

    let on_message = json!({ "conversation_id": lunch.id, "message_id": first["id"] });
    let with = |more: Value| {
        let mut fields = on_message.clone();
        fields["client_id"] = key().into();
        more.as_object().expect("fields").iter().for_each(|(name, value)| fields[name] = value.clone());
        fields
    };
    assert_eq!(bot.asks("edit", with(json!({ "text": "twice" }))).await.expect(200)["text"], "twice");
    let reacted = bot.asks("react", with(json!({ "emoji": "👍" }))).await;
    assert_eq!(reacted.status, 204, "{reacted:?}");
    let position = reacted.headers.get("Verbatim-Position").expect("a position").as_str().to_owned();
    let mut seen = on_message.clone();
    seen["min_position"] = position.parse::<u64>().expect("a number").into();
    let seen = bot.asks("get_message", seen).await.expect(200);
    assert!(seen.to_string().contains("👍"), "{seen}");
    bot.asks("unreact", with(json!({ "emoji": "👍" }))).await.expect(204);
    bot.asks("pin", with(json!({}))).await.refuses(403, "forbidden");
    bot.asks("delete", with(json!({}))).await.expect(204);

    let mut device = ana.connects().await;
    bot.asks("typing", json!({ "conversation_id": lunch.id, "client_id": key() })).await.expect(204);
    device
        .waits_for("typing", |frame| frame["op"] == "typing" && frame["user_id"] == *bot.program.person.id)
        .await;
    let started = json!({ "kind": "group", "title": "Bots", "members": [ana.id], "client_id": key() });
    let group = bot.asks("start_conversation", started.clone()).await.expect(201);
    assert_eq!(bot.asks("start_conversation", started).await.expect(201)["id"], group["id"]);
    let of_group = |more: Value| {
        let mut fields = json!({ "conversation_id": group["id"], "client_id": key() });
        more.as_object().expect("fields").iter().for_each(|(name, value)| fields[name] = value.clone());
        fields
    };
    let renamed = bot.asks("update_conversation", of_group(json!({ "title": "Robots" }))).await.expect(200);
    assert_eq!(renamed["title"], "Robots");
    let ben = world.person("ben").await;
    bot.asks("add_member", of_group(json!({ "user_id": ben.id }))).await.expect(201);
    bot.asks("change_role", of_group(json!({ "user_id": ben.id, "role": "admin" }))).await.expect(200);
    let removal = of_group(json!({ "user_id": ben.id }));
    let removed = bot.asks("remove_member", removal.clone()).await;
    assert_eq!(removed.status, 204, "{removed:?}");
    // The reply is lost, somebody adds the user again, and the program sends the same command again.
    bot.asks("add_member", of_group(json!({ "user_id": ben.id }))).await.expect(201);
    let again = bot.asks("remove_member", removal).await;
    assert_eq!(again.status, 204, "{again:?}");
    assert_eq!(again.headers.get("Verbatim-Position"), removed.headers.get("Verbatim-Position"));
    ben.get(&format!("/v1/conversations/{}", group["id"].as_str().expect("an id"))).await.expect(200);
    let user = json!({ "external_id": "u-1", "display_name": "Uma", "client_id": key() });
    let user = bot.asks("upsert_user", user).await.expect(201);
    assert_eq!((&user["external_id"], &user["kind"]), (&json!("u-1"), &json!("user")));
    let read = of_group(json!({ "read": 0 }));
    bot.asks("advance_receipt", read).await.expect(204);
    let found = bot.asks("get_conversation", json!({ "conversation_id": group["id"] })).await.expect(200);
    assert_eq!(found["id"], group["id"]);
    world.finish().await;
}

#[tokio::test]
async fn a_command_that_cannot_be_done_is_answered_and_changes_nothing() {
    let world = World::start().await;
    let (ana, bot) = (world.person("ana").await, Bot::begins(&world).await);
    let lunch = ana.starts_group("Lunch", &[&bot.program.person]).await;
    let last = ana.says(&lunch, "before").await["position"].as_u64().expect("a position");
    let ok = message(&lunch, &key(), "after").to_string();
    let long = message(&lunch, &key(), &"x".repeat(66_000)).to_string();
    let without = json!({ "conversation_id": lunch.id, "text": "x" }).to_string();
    let more =
        json!({ "conversation_id": lunch.id, "client_id": key(), "text": "x", "colour": "red" }).to_string();
    let bad_key = json!({ "conversation_id": lunch.id, "client_id": "a b\n", "text": "x" }).to_string();
    let removal = json!({ "conversation_id": lunch.id, "client_id": "a b", "user_id": ana.id }).to_string();
    let nowhere = json!({ "conversation_id": "../..", "client_id": key(), "text": "x" }).to_string();
    let cases: [(&str, &str, &str, u16, &str); 13] = [
        ("send", "10000", "", 400, "invalid_body"),
        ("send", "10000", "{", 400, "invalid_body"),
        ("send", "10000", "[]", 400, "invalid_body"),
        ("send", "10000", "\u{feff}{}", 400, "invalid_body"),
        ("send", "10000", &long, 413, "too_large"),
        ("send", "10000", &without, 400, "invalid_body"),
        ("send", "10000", &more, 400, "invalid_body"),
        ("send", "10000", &bad_key, 400, "invalid_parameter"),
        ("remove_member", "10000", &removal, 400, "invalid_parameter"),
        ("send", "10000", &nowhere, 404, "not_found"),
        ("shout", "10000", &ok, 404, "not_found"),
        ("send", "soon", &ok, 400, "invalid_parameter"),
        ("send", "30001", &ok, 400, "invalid_parameter"),
    ];
    for (command, deadline, body, status, code) in cases {
        bot.says(command, &[("Verbatim-Deadline-Ms", deadline)], body).await.refuses(status, code);
    }
    let refused = bot.says("send", &[], bad_key.clone()).await.refuses(400, "invalid_parameter");
    assert_eq!(refused["errors"][0]["pointer"], "/client_id", "the name that the field has in a command");
    // A program that believes it is acting for a user does not act as itself.
    let (deadline, behalf) = ("Verbatim-Deadline-Ms", "Verbatim-On-Behalf-Of");
    for (headers, code) in [
        (&[(behalf, "ext:é")][..], "invalid"),
        (&[(behalf, "ext:\u{1}")], "invalid"),
        (&[(behalf, "ext:7"), ("verbatim-on-behalf-of", "ext:8")], "repeated_parameter"),
        (&[(behalf, "ext:7"), (behalf, "ext:7")], "repeated_parameter"),
        (&[(deadline, "10000"), (deadline, "10000")], "repeated_parameter"),
    ] {
        let refused = bot.says("send", headers, ok.clone()).await.refuses(400, "invalid_parameter");
        assert_eq!(refused["errors"][0]["code"], code, "{headers:?}: {refused}");
    }
    let later = json!({ "conversation_id": lunch.id, "min_position": last + 100 }).to_string();
    let late = bot.says("get_conversation", &[("Verbatim-Deadline-Ms", "50")], later).await;
    late.refuses(503, "unavailable");

    // With another name, nats-server refuses a program's request, and the nodes know no account with that name.
    let others = "verbatim.commands.other.send";
    let asked = timeout(Duration::from_secs(1), bot.client.request(others, ok.clone().into())).await;
    assert!(!matches!(asked, Ok(Ok(_))), "{asked:?}");
    let operator = world.nats.connect(NatsUser::Operator).await.expect("NATS");
    let unbound = operator.request(others, ok.clone().into()).await.expect("a reply");
    let unbound = NatsReply::of(&unbound).refuses(401, "invalid_key");
    assert!(unbound["detail"].as_str().expect("detail").contains("--bot"), "{unbound}");
    for name in ["A", "a", "x_y"] {
        let asked = operator.request(format!("verbatim.commands.{name}.send"), ok.clone().into()).await;
        NatsReply::of(&asked.expect("a reply")).refuses(401, "invalid_key");
    }
    // A reply never becomes an event, and a request without an inbox is not a command.
    let chat = format!("chat.00.{}.timeline", lunch.id);
    operator
        .publish_with_reply(format!("verbatim.commands.{}.send", Bot::NAME), chat, ok.into())
        .await
        .expect("sent");
    operator.flush().await.expect("sent");
    let next = ana.says(&lunch, "next").await["position"].as_u64().expect("a position");
    assert_eq!(next, last + 1, "nothing was appended in between");

    let pinged = operator.request("$SRV.PING.verbatim", "".into()).await.expect("a reply");
    let pinged: Value = serde_json::from_slice(&pinged.payload).expect("JSON");
    assert_eq!(
        (&pinged["name"], &pinged["type"]),
        (&json!("verbatim"), &json!("io.nats.micro.v1.ping_response"))
    );
    let info = bot.client.request("$SRV.INFO.verbatim", "".into()).await.expect("a reply");
    let info: Value = serde_json::from_slice(&info.payload).expect("JSON");
    assert_eq!(info["endpoints"][0]["subject"], "verbatim.commands.*.*", "{info}");
    world.finish().await;
}

#[tokio::test]
async fn a_name_has_256_commands_under_way_and_gets_429_for_more() {
    let world = World::start().await;
    let (ana, bot) = (world.person("ana").await, Bot::begins(&world).await);
    let lunch = ana.starts_group("Lunch", &[&bot.program.person]).await;
    let last = ana.says(&lunch, "before").await["position"].as_u64().expect("a position");
    // Each one waits for a position that never comes, and holds its place meanwhile.
    let waits = json!({ "conversation_id": lunch.id, "min_position": last + 1_000 });
    let replies = join_all((0..300).map(|_| bot.asks("get_conversation", waits.clone()))).await;
    // Commands that got a place wait for one another, because a user has few concurrent reads. These are not counted.
    let refused: Vec<_> = replies.iter().filter(|reply| reply.body["code"] == "rate_limited").collect();
    assert_eq!(refused.len(), 44);
    assert!(refused.iter().all(|reply| reply.status == 429 && reply.headers.get("Retry-After").is_some()));

    let replies = join_all((0..300).map(|n| {
        let send = message(&lunch, &key(), &format!("message {n}"));
        bot.asks("send", send)
    }))
    .await;
    let made: Vec<u64> = replies.iter().filter_map(|reply| reply.body["position"].as_u64()).collect();
    assert!(replies.iter().all(|reply| [201, 429].contains(&reply.status)));
    assert!(made.len() >= 256, "{}", made.len());
    let next = ana.says(&lunch, "next").await["position"].as_u64().expect("a position");
    assert_eq!(next, last + made.len() as u64 + 1, "as many events as were answered by 201");
    world.finish().await;
}

#[tokio::test]
async fn a_command_whose_node_dies_is_asked_again_and_done_once() {
    let mut world = World::start().await;
    world.add_node("api,gateway,projector").await;
    let (ana, bot) = (world.person("ana").await, Bot::begins(&world).await);
    let lunch = ana.starts_group("Lunch", &[&bot.program.person]).await;
    let last = ana.says(&lunch, "before").await["position"].as_u64().expect("a position");
    let sends: Vec<Value> = (0..40).map(|n| message(&lunch, &key(), &format!("message {n}"))).collect();
    let operator = world.nats.connect(NatsUser::Operator).await.expect("NATS");
    let mut stored = operator.subscribe(format!("chat.*.{}.timeline", lunch.id)).await.expect("subscribed");
    operator.flush().await.expect("subscribed");
    let all = join_all(
        sends.iter().map(|send| timeout(Duration::from_secs(3), bot.tries("send", &[], send.to_string()))),
    );
    let killed = async {
        stored.next().await.expect("an event");
        world.nodes[0].kill9().await;
    };
    let (before, ()) = tokio::join!(all, killed);
    let lost = before.iter().filter(|asked| !matches!(asked, Ok(Ok(_)))).count();
    let mut positions = Vec::new();
    for (send, before) in sends.iter().zip(before) {
        let again = bot.asks("send", send.clone()).await.expect(201);
        if let Ok(Ok(message)) = before {
            assert_eq!(NatsReply::of(&message).expect(201), again);
        }
        positions.push(again["position"].as_u64().expect("a position"));
    }
    println!("{lost} of {} commands had no answer", sends.len());
    positions.sort_unstable();
    positions.dedup();
    assert_eq!(positions.len(), sends.len());
    assert!(positions.iter().all(|position| (last + 1..=last + 40).contains(position)), "{positions:?}");
    world.finish_without_views().await;
}

#[tokio::test]
async fn a_name_ends_with_its_key_and_can_be_bound_again() {
    let world = World::start().await;
    let bot = Bot::begins(&world).await;
    let start = || json!({ "kind": "group", "title": "Bots", "members": [], "client_id": key() });
    bot.asks("start_conversation", start()).await.expect(201);
    let service = bot.program.person.id.clone();
    assert_eq!(Bot::binds(&world, &bot.program).await, bot.name_id, "the same again is no change");
    let other = world.runs(&["services", "add", "other", "--scopes", "messages:write"]).await;
    let other = other.stdout.split_whitespace().nth(1).expect("an id").to_owned();
    let bound = world.runs(&["services", "keys", "add", &other, "--nats-name", Bot::NAME]).await;
    assert!(bound.code == Some(1) && bound.stderr.contains("revoke its key"), "{bound:?}");
    for bad in ["R", "a.b", "-a"] {
        let refused = world.runs(&["services", "keys", "add", &service, &format!("--nats-name={bad}")]).await;
        assert!(refused.code == Some(1) && refused.stderr.contains("not a NATS name"), "{refused:?}");
    }
    let ran = world.runs(&["services", "keys", "revoke", &service, &bot.name_id]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    eventually("the name is refused", || async {
        bot.asks("start_conversation", start()).await.status == 401
    })
    .await;
    Bot::binds(&world, &bot.program).await;
    let bound =
        timeout(PATIENCE, async { while bot.asks("start_conversation", start()).await.status != 201 {} });
    bound.await.expect("the name counts again");
    world.finish_without_views().await;
}
