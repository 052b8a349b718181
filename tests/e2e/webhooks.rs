//! Webhooks: events that are sent to other servers.

use std::{
    collections::{BTreeMap, HashSet},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use async_nats::jetstream;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use verbatim::dev::NatsUser;

use crate::world::{
    Backbone as _, Program, Received, Receiver, Told, World,
    clients::{node, node_with, output_of, python},
    eventually, eventually_within,
};

pub const ALL: &str = "api,gateway,projector,webhooks";
/// The content of a master key file.
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n";
/// Ten quick retries, and then twenty that give a receiver on a slow machine time to start.
const QUICK: &str = "50ms,50ms,50ms,50ms,50ms,50ms,50ms,50ms,50ms,50ms,\
    1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s";

/// A world with nodes of these roles, which are allowed to send events to this machine.
pub async fn with_nodes(roles: &[&str], settings: &[(&str, &str)]) -> World {
    let mut world = World::empty(4).await;
    for roles in roles {
        add_node(&mut world, roles, settings).await;
    }
    world
}

/// Adds a node that is allowed to send events to this machine.
async fn add_node(world: &mut World, roles: &str, settings: &[(&str, &str)]) {
    let key = world.dir().join("master.key");
    std::fs::write(&key, KEY).expect("a file");
    let key = key.to_str().expect("a path").to_owned();
    let mut all = vec![
        ("VERBATIM_MASTER_KEY_FILE", &*key),
        ("VERBATIM_WEBHOOK_ALLOW_HTTP", "true"),
        ("VERBATIM_WEBHOOK_ALLOW", "127.0.0.0/8,::1"),
    ];
    all.extend_from_slice(settings);
    world.add_node_with(roles, &all).await;
}

/// Adds a webhook for all events to a receiver.
pub async fn adds(operator: &Program, url: &str, more: Value) -> Value {
    let mut webhook = json!({ "url": url, "types": ["*"] });
    for (name, value) in more.as_object().expect("an object") {
        webhook[name] = value.clone();
    }
    operator.person.post("/v1/admin/webhooks", webhook).await.expect(201)
}

pub fn path(webhook: &Value) -> String {
    format!("/v1/admin/webhooks/{}", webhook["id"].as_str().expect("an id"))
}

async fn audited(operator: &Program, words: &[&str]) {
    let told = async || {
        let page = operator.person.get("/v1/admin/audit?area=webhook&limit=200").await.expect(200);
        let items = page["items"].as_array().expect("items").clone();
        items.iter().map(|event| event["type"].as_str().expect("a type").to_owned()).collect::<HashSet<_>>()
    };
    let wanted: HashSet<String> = words.iter().map(|word| (*word).to_owned()).collect();
    eventually("the audit events are there", || async { told().await.is_superset(&wanted) }).await;
}

/// The events that a receiver has accepted, by conversation, each at its first arrival.
fn first_arrivals(taken: &[Received]) -> BTreeMap<String, Vec<(u64, u64)>> {
    let (mut seen, mut chains) = (HashSet::new(), BTreeMap::<String, Vec<(u64, u64)>>::new());
    for request in taken {
        let event = request.event();
        assert_eq!(request.header("webhook-id"), event["id"].as_str());
        if seen.insert(event["id"].to_string()) {
            let conversation = event["conversationid"].as_str().expect("a conversation").to_owned();
            chains
                .entry(conversation)
                .or_default()
                .push((request.field("position"), request.field("previous")));
        }
    }
    chains
}

/// Fails unless each conversation is one chain without a hole, in order.
fn assert_whole(chains: &BTreeMap<String, Vec<(u64, u64)>>) {
    for (conversation, chain) in chains {
        let mut before = 0;
        for (position, previous) in chain {
            assert_eq!(*previous, before, "before {position} in {conversation}: {chain:?}");
            assert!(*position > before, "{position} in {conversation}");
            before = *position;
        }
    }
}

#[tokio::test]
async fn the_libraries_of_standard_webhooks_verify_and_refuse_what_was_touched() {
    let world = with_nodes(&[ALL], &[("VERBATIM_PUBLIC_URL", "https://chat.example.com")]).await;
    let operator = Program::bootstraps(&world).await;
    let (receiver, ana) = (Receiver::start().await, world.person("ana").await);
    let headers = json!({ "headers": { "Authorization": "Bearer of the receiver" } });
    let webhook = adds(&operator, &receiver.url("/in?a=b"), headers).await;
    let secret = webhook["secret"].as_str().expect("a secret").to_owned();
    assert!(secret.starts_with("whsec_") && webhook.get("public_key").is_none(), "{webhook}");

    let lunch = ana.starts_group("Lunch", &[]).await;
    let said = ana.says(&lunch, "Grüße 👋").await;
    let taken = receiver.has_taken(2).await;
    let request =
        taken.iter().find(|request| request.event()["type"] == "verbatim.message.sent.v1").expect("it");
    assert_eq!(
        (request.path.as_str(), request.header("content-type")),
        ("/in?a=b", Some("application/cloudevents+json"))
    );
    assert_eq!(request.header("authorization"), Some("Bearer of the receiver"));
    assert!(request.header("user-agent").is_some_and(|agent| agent.starts_with("Verbatim/")));
    assert_eq!((request.number("verbatim-attempt"), request.header("verbatim-replay")), (1, None));
    let event = request.event();
    let words: Vec<&str> = event.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(
        words,
        [
            "actor",
            "conversationid",
            "data",
            "datacontenttype",
            "dataschema",
            "id",
            "position",
            "previous",
            "source",
            "specversion",
            "time",
            "type"
        ]
    );
    assert_eq!((&event["position"], &event["actor"]), (&said["position"], &json!(ana.id)));
    assert_eq!((&event["data"]["text"], &event["conversationid"]), (&json!("Grüße 👋"), &json!(lunch.id)));
    assert_eq!(event["dataschema"], "https://chat.example.com/schemas/verbatim.message.sent.v1.json");

    let rotated = operator.person.post(&format!("{}/rotate", path(&webhook)), json!({})).await.expect(200);
    let new = rotated["secret"].as_str().expect("a secret").to_owned();
    // The owner learns of the change within a second or two.
    eventually("both secrets sign", || async {
        let before = receiver.taken().len();
        ana.says(&lunch, "again").await;
        let taken = receiver.has_taken(before + 1).await;
        taken[before].header("webhook-signature").expect("one").split(' ').count() == 2
    })
    .await;
    let both = receiver.taken().pop().expect("a request");

    let mut lines = Vec::new();
    let mut line = |secret: &str, request: &Received| {
        lines.push(json!({ "secret": secret, "headers": request.headers, "body": request.body }).to_string());
    };
    line(&secret, request);
    line(&secret, &both);
    line(&new, &both);
    line(&new, request);
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        let mut touched = request.clone();
        let value = touched.headers.get_mut(name).expect(name);
        let last = value.trim_end_matches('=').len() - 1;
        let other = if value.as_bytes()[last - 1] == b'1' { "2" } else { "1" };
        value.replace_range(last - 1..last, other);
        line(&secret, &touched);
    }
    let mut touched = request.clone();
    touched.body = touched.body.replacen("Gr", "gr", 1);
    line(&secret, &touched);
    let input = lines.join("\n") + "\n";
    let from_npm = output_of(node("webhooks_verify.mjs", &[]).await, &input).await;
    let from_pypi = output_of(python("webhooks_verify.py", &[]).await, &input).await;
    for output in [from_npm, from_pypi] {
        let found: Vec<Value> =
            output.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let ids: Vec<Option<&str>> = found.iter().map(|found| found["id"].as_str()).collect();
        let (one, other) = (request.header("webhook-id"), both.header("webhook-id"));
        assert_eq!(ids, [one, other, other, None, None, None, None, None], "{output}");
    }
    audited(&operator, &["webhook.added", "webhook.rotated"]).await;
    world.finish().await;
}

/// Fails about three times in ten, without a pattern that retries could follow.
fn unreliable() -> impl Fn(&Received) -> Told + Send + Sync + 'static {
    let state = AtomicU64::new(0x9E37_79B9_7F4A_7C15);
    move |_| {
        let mut x = state.load(Ordering::Relaxed);
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        state.store(x, Ordering::Relaxed);
        Told::status(if x % 10 < 3 { 500 } else { 200 })
    }
}

#[tokio::test]
async fn an_unreliable_receiver_gets_all_events_in_order_although_the_owner_is_killed_twice() {
    const MESSAGES: usize = 500;
    let mut world = with_nodes(
        &["api,gateway,projector", "webhooks", "webhooks", "webhooks"],
        &[("VERBATIM_WEBHOOK_RETRIES", QUICK)],
    )
    .await;
    let operator = Program::bootstraps(&world).await;
    let receiver = Receiver::answering(unreliable()).await;
    adds(&operator, &receiver.url("/"), json!({})).await;
    let (ana, mut conversations) = (world.person_at(0, "ana").await, Vec::new());
    for title in ["One", "Two", "Three"] {
        conversations.push(ana.starts_group(title, &[]).await);
    }
    for killed in 0..2 {
        for n in 0..MESSAGES / 2 {
            for conversation in &conversations {
                ana.says(conversation, &format!("{killed} {n}")).await;
            }
        }
        let owner = async |world: &World| {
            for (number, node) in world.nodes.iter().enumerate() {
                if node.metric("verbatim_webhooks_owned").await == 1 {
                    return Some(number);
                }
            }
            None
        };
        eventually("a node owns the webhook", || async { owner(&world).await.is_some() }).await;
        let number = owner(&world).await.expect("an owner");
        world.nodes[number].kill9().await;
        world.nodes.remove(number);
    }
    let wanted = 3 * (MESSAGES + 1);
    let ids = || {
        receiver
            .taken()
            .iter()
            .map(|taken| taken.header("webhook-id").map(str::to_owned))
            .collect::<HashSet<_>>()
    };
    let have_come = async || ids().len() >= wanted;
    eventually_within(Duration::from_secs(120), "all events have come", have_come).await;
    let taken = receiver.taken();
    let chains = first_arrivals(&taken);
    assert_whole(&chains);
    assert_eq!(chains.values().map(Vec::len).collect::<Vec<_>>(), [MESSAGES + 1; 3]);
    println!("{} requests, {} taken, {wanted} events", receiver.received().len(), taken.len());
    world.finish().await;
}

#[tokio::test]
async fn a_receiver_that_was_away_gets_all_in_order_after_one_probe() {
    // The retries last nine seconds, which a slow machine may need for the messages meanwhile.
    let retries = ["300ms"; 30].join(",");
    let world = with_nodes(&[ALL], &[("VERBATIM_WEBHOOK_RETRIES", &retries)]).await;
    let operator = Program::bootstraps(&world).await;
    let (mut receiver, ana) = (Receiver::start().await, world.person("ana").await);
    let webhook = adds(&operator, &receiver.url("/"), json!({})).await;
    let mut conversations = Vec::new();
    for n in 0..20 {
        conversations.push(ana.starts_group(&format!("Group {n}"), &[]).await);
    }
    receiver.has_taken(20).await;

    receiver.leaves().await;
    let left = Instant::now();
    for n in 0..5 {
        for conversation in &conversations {
            ana.says(conversation, &n.to_string()).await;
        }
    }
    let failed = format!("{}/deliveries?state=failed&limit=200", path(&webhook));
    eventually("the breaker is open", || async {
        let page = operator.person.get(&failed).await.expect(200);
        page["items"].as_array().expect("items").iter().any(|item| item["attempt"] == 2)
    })
    .await;
    let page = operator.person.get(&failed).await.expect(200);
    let tries = page["items"].as_array().expect("items");
    assert!(tries.iter().all(|item| item["error"] == "not_connected" && item["status"].is_null()), "{page}");
    // The jitter makes a wait up to a tenth shorter than the setting.
    let probes = left.elapsed().as_millis() as usize / 270 + 1;
    assert!(tries.len() <= 20 + probes, "20 conversations do not knock each by itself: {}", tries.len());
    receiver.returns().await;
    receiver.has_taken(20 + 100).await;
    assert_whole(&first_arrivals(&receiver.taken()));

    // The probe itself may be an event that the receiver refuses. The events of others do not wait for it.
    receiver.leaves().await;
    let poison = ana.says(&conversations[0], "poison").await;
    eventually("the breaker is open", || async {
        let page = operator.person.get(&failed).await.expect(200);
        page["items"][0]["position"] == poison["position"]
    })
    .await;
    receiver.answers(|request| Told::status(if request.body.contains("poison") { 400 } else { 204 }));
    receiver.returns().await;
    eventually("it refuses the probe", || async { receiver.received().len() > 20 + 100 }).await;
    ana.says(&conversations[1], "wholesome").await;
    receiver.has_taken(20 + 100 + 1).await;
    assert_eq!(operator.person.get(&path(&webhook)).await.expect(200)["parked"], 0, "it waits for a retry");
    world.finish().await;
}

#[tokio::test]
async fn a_webhook_that_only_fails_is_disabled_and_goes_on_where_it_was() {
    let settings = [
        ("VERBATIM_WEBHOOK_RETRIES", "100ms,100ms,100ms,100ms,100ms,100ms,100ms,100ms,100ms"),
        ("VERBATIM_WEBHOOK_DISABLE_AFTER", "500ms"),
    ];
    let world = with_nodes(&[ALL], &settings).await;
    let operator = Program::bootstraps(&world).await;
    let (receiver, ana) = (Receiver::start().await, world.person("ana").await);
    let webhook = adds(&operator, &receiver.url("/"), json!({})).await;
    let conversations = [ana.starts_group("One", &[]).await, ana.starts_group("Two", &[]).await];
    receiver.has_taken(2).await;
    // Postgres disables the webhook, and its answer comes too late.
    let slow = "create function slow() returns trigger language plpgsql as
                    $$ begin perform pg_sleep(6); return null; end $$;
                create constraint trigger slow after update of disabled_at on hooks.endpoint
                    deferrable initially deferred
                    for each row when (new.disabled_at is not null) execute function slow()";
    world.database.does(slow).await;
    // Every delivery fails: the event is parked after its last retry, and the webhook is disabled.
    receiver.answers(|_| Told::status(500));
    let lost = ana.says(&conversations[0], "lost").await;
    let state = async || operator.person.get(&path(&webhook)).await.expect(200);
    eventually("the webhook is disabled", || async { state().await["state"] == "disabled" }).await;
    let disabled = state().await;
    assert_eq!(
        (&disabled["disabled_reason"], &disabled["parked"]),
        (&json!("failing"), &json!(1)),
        "{disabled}"
    );
    let page = operator.person.get(&format!("{}/deliveries?state=parked", path(&webhook))).await.expect(200);
    assert_eq!(page["items"][0]["position"], lost["position"], "{page}");
    assert_eq!(
        (&page["items"][0]["attempt"], &page["items"][0]["status"]),
        (&json!(10), &json!(500)),
        "{page}"
    );
    audited(&operator, &["webhook.disabled"]).await;
    eventually("the log says so", || async {
        world.nodes[0].lines_with("disabled a webhook: its receiver failed").len() == 1
    })
    .await;
    let metrics = async || world.nodes[0].metrics().await;
    world.nodes[0].fires("VerbatimWebhookDisabled").await;
    eventually("the metric says so", || async {
        metrics().await.contains("verbatim_webhook_disabled{reason=\"failing\"} 1")
    })
    .await;

    // While the webhook is disabled, nothing is sent, and the log keeps everything.
    let before = receiver.received().len();
    ana.says(&conversations[0], "kept").await;
    ana.says(&conversations[1], "kept, too").await;
    receiver.answers(|_| Told::status(204));
    assert_eq!(receiver.received().len(), before);
    operator
        .person
        .send(reqwest::Method::POST, &format!("{}/enable", path(&webhook)), None)
        .await
        .expect(200);
    let taken = receiver.has_taken(4).await;
    let texts: Vec<String> =
        taken[2..].iter().map(|taken| taken.event()["data"]["text"].to_string()).collect();
    assert!(
        texts.contains(&"\"kept\"".to_owned()) && texts.contains(&"\"kept, too\"".to_owned()),
        "{texts:?}"
    );
    let kept = taken[2..].iter().find(|taken| taken.event()["data"]["text"] == "kept").expect("it");
    assert_eq!(kept.number("verbatim-parked"), 1);
    assert_eq!(kept.field("previous"), lost["position"].as_u64().expect("a position"));

    let begun = operator.person.post(&format!("{}/replay", path(&webhook)), json!({ "parked": true })).await;
    let begun = begun.expect(200);
    assert_eq!(begun["events"], 1);
    let again = receiver.has_taken(5).await.pop().expect("it");
    assert_eq!(
        (again.header("verbatim-replay"), again.field("position")),
        (begun["id"].as_str(), lost["position"].as_u64().expect("one"))
    );
    eventually("nothing is parked", || async {
        state().await["parked"] == 0 && state().await["replays"] == 0
    })
    .await;
    world.finish().await;
}

#[tokio::test]
async fn a_replay_sends_all_events_again_with_the_same_ids() {
    let world = with_nodes(&[ALL], &[]).await;
    let operator = Program::bootstraps(&world).await;
    let (receiver, ana) = (Receiver::start().await, world.person("ana").await);
    let (one, two) = (ana.starts_group("One", &[]).await, ana.starts_group("Two", &[]).await);
    let mut positions = Vec::new();
    for n in 0..100 {
        positions.push(ana.says(&one, &n.to_string()).await["position"].as_u64().expect("a position"));
        ana.says(&two, &n.to_string()).await;
    }
    let webhook = adds(&operator, &receiver.url("/"), json!({ "from": "start" })).await;
    let first = receiver.has_taken(202).await;
    assert_whole(&first_arrivals(&first));
    let replay = async |body: Value| {
        operator.person.post(&format!("{}/replay", path(&webhook)), body).await.expect(200)
    };
    let begun = replay(json!({ "from": "start" })).await;
    let again = receiver.has_taken(404).await.split_off(202);
    assert!(again.iter().all(|request| request.header("verbatim-replay") == begun["id"].as_str()));
    assert_eq!(first_arrivals(&again), first_arrivals(&first));
    let ids = |taken: &[Received]| {
        taken.iter().map(|taken| taken.header("webhook-id").map(str::to_owned)).collect::<HashSet<_>>()
    };
    assert_eq!(ids(&again), ids(&first));

    // A replay of one conversation, between two positions.
    replay(json!({ "from": positions[10], "conversation_id": one.id, "until": positions[19] })).await;
    let part = receiver.has_taken(414).await.split_off(404);
    let found: Vec<u64> = part.iter().map(|request| request.field("position")).collect();
    assert_eq!(found, positions[10..20]);
    // A map of positions includes its last event, as a position does.
    let ends: serde_json::Map<String, Value> =
        (0..4).map(|n| (n.to_string(), json!(positions[19]))).collect();
    let range = json!({ "from": positions[19], "conversation_id": one.id, "until": ends });
    replay(range).await;
    assert_eq!(receiver.has_taken(415).await[414].field("position"), positions[19]);
    // A replay of deliveries. In the other conversation, two in a row are always of different events.
    let list = format!("{}/deliveries?state=ok&conversation_id={}&limit=2", path(&webhook), two.id);
    let page = operator.person.get(&list).await.expect(200);
    let ids: Vec<&Value> = page["items"].as_array().expect("items").iter().map(|item| &item["id"]).collect();
    assert_eq!(replay(json!({ "deliveries": ids })).await["events"], 2);
    receiver.has_taken(417).await;
    let ask = async |body: Value| operator.person.post(&format!("{}/replay", path(&webhook)), body).await;
    ask(json!({})).await.refuses(400, "invalid_body");
    ask(json!({ "from": "start", "parked": true })).await.refuses(400, "invalid_body");
    for (range, pointer) in [
        (json!({ "from": 7 }), "/from"),
        (json!({ "from": { "4": 7 }, "conversation_id": one.id }), "/from"),
        (json!({ "from": "start", "until": 7 }), "/until"),
        (json!({ "from": "start", "until": { "4": 7 } }), "/until"),
        (json!({ "from": "start", "until": { "4": 7 }, "conversation_id": one.id }), "/until"),
    ] {
        let refused = ask(range.clone()).await.refuses(400, "invalid_body");
        assert_eq!(refused["errors"][0]["pointer"], pointer, "{range}");
    }
    ask(json!({ "deliveries": [999_999] })).await.refuses(404, "not_found");
    world.finish().await;
}

#[tokio::test]
async fn a_receiver_that_is_gone_or_busy_is_obeyed() {
    let world = with_nodes(&[ALL], &[("VERBATIM_WEBHOOK_RETRIES", "50ms,50ms")]).await;
    let operator = Program::bootstraps(&world).await;
    let ana = world.person("ana").await;
    let gone = Receiver::answering(|_| Told::status(410)).await;
    let busy = Receiver::answering(|request| match request.header("verbatim-attempt") {
        Some("1") => Told::status(503).header("Retry-After: 3"),
        _ => Told::status(200),
    })
    .await;
    let webhook = adds(&operator, &gone.url("/"), json!({})).await;
    adds(&operator, &busy.url("/"), json!({})).await;
    let lunch = ana.starts_group("Lunch", &[]).await;
    let state = async || operator.person.get(&path(&webhook)).await.expect(200);
    eventually("the webhook is disabled", || async { state().await["state"] == "disabled" }).await;
    assert_eq!((state().await["disabled_reason"].clone(), gone.received().len()), (json!("gone"), 1));

    busy.has_taken(1).await;
    let tries = busy.received();
    let pause = tries[1].at - tries[0].at;
    assert!(tries.len() == 2 && pause >= Duration::from_secs(3), "the pause was not kept: {pause:?}");
    // A redirect is a failure and is not followed.
    let target = Receiver::start().await;
    let location = format!("Location: {}", target.url("/"));
    let moved = Receiver::answering(move |_| Told::status(307).header(&location)).await;
    let moving = adds(&operator, &moved.url("/"), json!({})).await;
    ana.says(&lunch, "moved").await;
    let page = async || operator.person.get(&format!("{}/deliveries", path(&moving))).await.expect(200);
    eventually("it was parked", || async { page().await["items"][0]["state"] == "parked" }).await;
    assert_eq!((&page().await["items"][0]["error"], target.received().len()), (&json!("redirect"), 0));
    // A receiver that was away until its only event was parked is asked again with the next event.
    let mut away = Receiver::start().await;
    away.leaves().await;
    let parking = adds(&operator, &away.url("/"), json!({})).await;
    ana.says(&lunch, "parked").await;
    let page = async || operator.person.get(&format!("{}/deliveries", path(&parking))).await.expect(200);
    eventually("it was parked", || async { page().await["items"][0]["state"] == "parked" }).await;
    away.returns().await;
    ana.says(&lunch, "back").await;
    let back = away.has_taken(1).await.remove(0);
    assert_eq!((&back.event()["data"]["text"], back.number("verbatim-parked")), (&json!("back"), 1));
    // A slow body after the status is cut off, and the delivery counts all the same.
    let slow =
        Receiver::answering(|_| Told { drip: Some(Duration::from_millis(100)), ..Told::status(200) }).await;
    let dripping = adds(&operator, &slow.url("/"), json!({})).await;
    ana.says(&lunch, "drip").await;
    let page = async || operator.person.get(&format!("{}/deliveries", path(&dripping))).await.expect(200);
    eventually("it was cut", || async { page().await["items"][0].is_object() }).await;
    let delivery = page().await["items"][0].clone();
    let took = delivery["took_ms"].as_u64().expect("a time");
    assert!((14_000..17_000).contains(&took) && delivery["state"] == "ok", "{delivery}");
    assert!(delivery["response"].as_str().expect("text").len() <= 1_024, "{delivery}");
    world.finish().await;
}

#[tokio::test]
async fn a_webhook_is_filtered_changed_tested_and_removed() {
    let world = with_nodes(&[ALL], &[("VERBATIM_WEBHOOK_RETRIES", "1h")]).await;
    let operator = Program::bootstraps(&world).await;
    let (mut receiver, ana) = (Receiver::start().await, world.person("ana").await);
    let (lunch, other) = (ana.starts_group("Lunch", &[]).await, ana.starts_group("Other", &[]).await);
    let bot = operator.makes("robot", &["conversations:read", "messages:write", "users:read"]).await.person;
    ana.invites(&lunch, &bot).await.expect(201);
    let filters = json!({
        "types": ["message.sent"], "lanes": ["timeline"], "conversations": [lunch.id], "services": [bot.id],
        "thin": true, "order": "none", "signature": "v1a",
    });
    let webhook = adds(&operator, &receiver.url("/"), filters).await;
    assert!(
        webhook.get("secret").is_none()
            && webhook["public_key"].as_str().expect("a key").starts_with("whpk_")
    );
    let shown = operator.person.get(&path(&webhook)).await.expect(200);
    assert_eq!(
        (&shown["state"], &shown["public_key"]),
        (&json!("enabled"), &webhook["public_key"]),
        "{shown}"
    );

    ana.says(&lunch, "not the bot").await;
    ana.says(&other, "elsewhere").await;
    bot.says(&lunch, "the bot").await;
    let taken = receiver.has_taken(1).await;
    let event = taken[0].event();
    assert_eq!((&event["actor"], &event["type"]), (&json!(bot.id), &json!("verbatim.message.sent.v1")));
    assert!(
        event.get("data").is_none() && taken[0].header("webhook-signature").expect("one").starts_with("v1a,")
    );

    let all = json!({ "types": ["*"], "lanes": [], "conversations": [], "services": [], "thin": false });
    let changed = operator.person.patch(&path(&webhook), all).await.expect(200);
    assert_eq!((&changed["types"], &changed["conversations"]), (&json!(["*"]), &json!([])));
    eventually("the change is in force", || async {
        ana.says(&other, "elsewhere").await;
        receiver.taken().len() > 1
    })
    .await;

    let tested = operator.person.send(reqwest::Method::POST, &format!("{}/test", path(&webhook)), None).await;
    let tested = tested.expect(200);
    assert_eq!((&tested["ok"], &tested["status"]), (&json!(true), &json!(204)), "{tested}");
    let test = |taken: &Received| taken.event()["type"] == "verbatim.webhook.test.v1";
    assert_eq!(receiver.taken().iter().filter(|taken| test(taken)).count(), 1);

    let ask = async |body: Value| operator.person.patch(&path(&webhook), body).await;
    for (body, pointer) in [
        (json!({ "types": ["message.sang"] }), "/types/0"),
        (json!({ "types": [] }), "/types"),
        (json!({ "lanes": ["presence"] }), "/lanes/0"),
        (json!({ "concurrency": 0 }), "/concurrency"),
        (json!({ "concurrency": 65 }), "/concurrency"),
        (json!({ "headers": { "Host": "x" } }), "/headers"),
        (json!({ "headers": { "webhook-id": "x" } }), "/headers"),
        (json!({ "headers": { "x": "a\nb" } }), "/headers"),
        (json!({ "description": "x".repeat(257) }), "/description"),
        (json!({ "colour": "red" }), "/colour"),
    ] {
        let refused = ask(body.clone()).await.refuses(400, "invalid_body");
        assert_eq!(refused["errors"][0]["pointer"], pointer, "{body}");
    }
    let many: serde_json::Map<String, Value> = (0..11).map(|n| (format!("x-{n}"), json!("y"))).collect();
    ask(json!({ "headers": many })).await.refuses(400, "invalid_body");
    for url in ["ftp://x.example/", "https://user@x.example/", "https://x.example:25/", "https://", "x"] {
        ask(json!({ "url": url })).await.refuses(400, "bad_address");
    }

    // A change also applies to events that wait for a retry: with another URL they are due at once, and those that are no
    // longer wanted are not sent.
    receiver.leaves().await;
    ana.says(&other, "dropped").await;
    let failed = format!("{}/deliveries?state=failed", path(&webhook));
    eventually("the receiver is away", || async {
        operator.person.get(&failed).await.expect(200)["items"][0].is_object()
    })
    .await;
    ana.says(&lunch, "kept").await;
    let moved = Receiver::start().await;
    ask(json!({ "url": moved.url("/"), "conversations": [lunch.id] })).await.expect(200);
    moved.has_taken(1).await;
    ana.says(&lunch, "more").await;
    let taken = moved.has_taken(2).await;
    let texts: Vec<Value> = taken.iter().map(|taken| taken.event()["data"]["text"].clone()).collect();
    assert_eq!(texts, ["kept", "more"]);

    let disabled =
        operator.person.send(reqwest::Method::POST, &format!("{}/disable", path(&webhook)), None).await;
    assert_eq!(disabled.expect(200)["disabled_reason"], "operator");
    operator.person.delete(&path(&webhook)).await.expect(204);
    operator.person.get(&path(&webhook)).await.refuses(404, "not_found");
    operator.person.delete(&path(&webhook)).await.refuses(404, "not_found");
    audited(&operator, &["webhook.added", "webhook.changed", "webhook.disabled", "webhook.removed"]).await;
    world.finish().await;
}

#[tokio::test]
async fn a_node_that_stops_hands_its_webhooks_over_at_once() {
    let mut world = with_nodes(&["api,gateway,projector", "webhooks", "webhooks"], &[]).await;
    let operator = Program::bootstraps(&world).await;
    let (receiver, ana) = (Receiver::start().await, world.person("ana").await);
    adds(&operator, &receiver.url("/"), json!({})).await;
    let lunch = ana.starts_group("Lunch", &[]).await;
    receiver.has_taken(1).await;
    let owned = async |number: usize| world.nodes[number].metric("verbatim_webhooks_owned").await == 1;
    eventually("a node owns the webhook", || async { owned(1).await || owned(2).await }).await;
    let number = if owned(1).await { 1 } else { 2 };
    world.nodes[number].stop().await;
    let stopped = Instant::now();
    world.nodes.remove(number);
    ana.says(&lunch, "again").await;
    receiver.has_taken(2).await;
    assert!(stopped.elapsed() < Duration::from_secs(8), "that took {:?}", stopped.elapsed());
    assert_eq!(receiver.received().len(), 2, "nothing was sent twice");

    // Webhooks that cannot be taken over, because Postgres is slow, hold up no others.
    let slow = "create function slow() returns trigger language plpgsql as
                    $$ begin perform pg_sleep(3.5); return new; end $$;
                create trigger slow before update of fence on hooks.endpoint
                    for each row when (new.url like '%slow') execute function slow()";
    world.database.does(slow).await;
    for _ in 0..5 {
        adds(&operator, &receiver.url("/slow"), json!({})).await;
    }
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let (other, added) = (Receiver::start().await, Instant::now());
    adds(&operator, &other.url("/"), json!({})).await;
    ana.says(&lunch, "soon").await;
    other.has_taken(1).await;
    assert!(added.elapsed() < Duration::from_secs(6), "that took {:?}", added.elapsed());
    receiver.has_taken(3).await;

    // Takeovers that wait for their turn do not hold up a node that stops.
    for _ in 0..10 {
        adds(&operator, &receiver.url("/slow"), json!({})).await;
    }
    eventually("the node has claimed them", || async {
        world.nodes[1].metric("verbatim_webhooks_owned").await > 2 + 8
    })
    .await;
    let jetstream = jetstream::new(world.nats.client(NatsUser::Operator).await);
    let claims = jetstream.get_key_value("verbatim_hooks").await.expect("the claims");
    let given_back = eventually_within(Duration::from_secs(3), "the claims are given back", || async {
        claims.keys().await.expect("the claims").count().await == 0
    });
    tokio::join!(world.nodes[1].stop(), given_back);
    world.nodes.remove(1);
    world.database.does("drop trigger slow on hooks.endpoint").await;
    add_node(&mut world, "webhooks", &[]).await;
    receiver.has_taken(3 + 5).await;
    world.finish().await;
}

#[tokio::test]
async fn without_a_master_key_no_webhook_is_added_and_the_command_line_does_what_rest_does() {
    let mut world = World::start().await;
    world.add_node("webhooks").await;
    let operator = Program::bootstraps(&world).await;
    world.person("ana").await.starts_group("Lunch", &[]).await;
    let webhook = json!({ "url": "https://index.example.com/", "types": ["*"] });
    let refused = operator.person.post("/v1/admin/webhooks", webhook).await.refuses(503, "not_configured");
    assert!(refused["detail"].as_str().expect("a detail").contains("VERBATIM_MASTER_KEY_FILE"), "{refused}");
    let ran = world.runs(&["webhooks", "add", "https://index.example.com/"]).await;
    assert!(ran.code == Some(1) && ran.stderr.contains("VERBATIM_MASTER_KEY_FILE"), "{ran:?}");

    let key = world.dir().join("master.key");
    std::fs::write(&key, KEY).expect("a file");
    let receiver = Receiver::start().await;
    let settings = [
        ("VERBATIM_MASTER_KEY_FILE", key.to_str().expect("a path")),
        ("VERBATIM_WEBHOOK_ALLOW_HTTP", "true"),
        ("VERBATIM_WEBHOOK_ALLOW", "127.0.0.0/8"),
    ];
    let run = async |arguments: &[&str]| {
        let all: Vec<&str> = ["webhooks"].iter().chain(arguments).copied().collect();
        let ran = world.runs_with(&all, &settings).await;
        assert_eq!(ran.code, Some(0), "{ran:?}");
        ran.stdout
    };
    let url = receiver.url("/in");
    let added =
        run(&["add", &url, "--types", "message.sent", "--header", "x-key: 7", "--from", "start"]).await;
    assert!(added.contains("secret whsec_") && added.contains("not shown again"), "{added}");
    let id = added.split_whitespace().nth(1).expect("an id").to_owned();
    assert!(run(&["list"]).await.contains(&id) && run(&["show", &id]).await.contains("state enabled"));
    // A node without the key says so, and tells how far the webhook is behind.
    let shown = operator.person.get(&format!("/v1/admin/webhooks/{id}")).await.expect(200);
    let reason = shown["unusable_reason"].as_str().expect("a reason");
    assert!(reason.contains("VERBATIM_MASTER_KEY_FILE is not set"), "{reason}");
    let lag = format!("verbatim_webhook_lag_events{{webhook=\"{id}\"}} 1");
    eventually("the lag is told", || async { world.nodes[1].metrics().await.contains(&lag) }).await;
    let tested = run(&["test", &id]).await;
    assert!(tested.contains("ok true") && tested.contains("status 204"), "{tested}");
    assert_eq!(receiver.taken()[0].header("x-key"), Some("7"));
    assert!(run(&["rotate", &id, "--overlap", "60"]).await.contains("old_expires_at"));
    assert!(run(&["parked", &id]).await.contains("none"));
    assert!(run(&["replay", &id, "--from", "start"]).await.contains("wr_"));
    assert!(run(&["disable", &id]).await.contains("state disabled"));
    assert!(run(&["enable", &id, "--from", "now"]).await.contains("state enabled"));
    let status = run_status(&world).await;
    assert!(status.contains("webhooks 1"), "{status}");
    // With another master key, a rotation drops what can no longer be decrypted, and says so.
    std::fs::write(&key, KEY.replacen("AAEC", "BBEC", 1)).expect("a file");
    assert!(run(&["show", &id]).await.contains("unusable_reason its secret or its headers"));
    let all = ["webhooks", "test", &id];
    let ran = world.runs_with(&all, &settings).await;
    assert!(ran.code == Some(1) && ran.stderr.contains("rotate the secret"), "{ran:?}");
    let rotated = run(&["rotate", &id]).await;
    assert!(rotated.contains("lost_headers") && rotated.contains("x-key"), "{rotated}");
    assert!(run(&["test", &id]).await.contains("ok true"));
    assert_eq!(receiver.taken().pop().expect("the test").header("x-key"), None);
    receiver.answers(|_| Told::status(500));
    let ran = world.runs_with(&all, &settings).await;
    assert!(ran.code == Some(1) && ran.stdout.contains("status 500"), "{ran:?}");
    let ran = world.runs_with(&all, &settings[..1]).await;
    assert!(ran.code == Some(1) && ran.stderr.contains("no longer allowed: the scheme"), "{ran:?}");
    assert!(run(&["remove", &id]).await.contains("removed"));
    world.finish().await;
}

async fn run_status(world: &World) -> String {
    world.runs(&["status"]).await.stdout
}

/// Spellings of addresses of this machine and of private networks. No request may reach them.
const FORBIDDEN: &str = include_str!("../bad_input/webhook_urls.txt");

#[tokio::test]
async fn no_spelling_of_a_private_address_reaches_the_canary() {
    let mut world = World::empty(1).await;
    let key = world.dir().join("master.key");
    std::fs::write(&key, KEY).expect("a file");
    let key = key.to_str().expect("a path").to_owned();
    let settings = [
        ("VERBATIM_MASTER_KEY_FILE", &*key),
        ("VERBATIM_WEBHOOK_ALLOW_HTTP", "true"),
        ("VERBATIM_WEBHOOK_RETRIES", "50ms"),
    ];
    world.add_node_with(ALL, &settings).await;
    let operator = Program::bootstraps(&world).await;
    let (canary, ana) = (Receiver::start().await, world.person("ana").await);
    let port = canary.address.port().to_string();
    let urls: Vec<String> =
        FORBIDDEN.lines().filter(|line| !line.is_empty()).map(|line| line.replace("PORT", &port)).collect();
    assert!(urls.len() >= 60, "{}", urls.len());
    for url in &urls {
        let webhook = json!({ "url": url, "types": ["*"] });
        let refused = operator.person.post("/v1/admin/webhooks", webhook).await.refuses(400, "bad_address");
        assert_eq!(refused["errors"][0]["pointer"], "/url", "{url}");
    }

    // At delivery: the webhooks exist, as if their names had resolved to other addresses when they were added.
    let pool = sqlx::PgPool::connect(&world.database.url).await.expect("Postgres");
    let mut added = Vec::new();
    // An invalid URL is never stored. The remaining ones are URLs to which a request could be sent.
    let could = |url: &&String| url.contains(&format!(":{port}/")) && !url.contains(['@', '%', '#', '①']);
    for url in
        urls.iter().filter(could).filter(|url| url.starts_with("http://") && !url.starts_with("http:///"))
    {
        // Any public address will do, because nothing is sent before the URL is replaced.
        let webhook = adds(&operator, "https://1.1.1.1:8443/", json!({ "types": ["message.sent"] })).await;
        let id = uuid::Uuid::try_parse(&webhook["id"].as_str().expect("an id")[3..]).expect("an id");
        sqlx::query("update hooks.endpoint set url = $2, version = version + 1 where id = $1")
            .bind(id)
            .bind(url)
            .execute(&pool)
            .await
            .expect("the webhook is changed");
        added.push((url.clone(), webhook));
    }
    assert!(added.len() >= 50, "{}", added.len());
    let lunch = ana.starts_group("Lunch", &[]).await;
    // Their owners learn of the URL within a second or two. Before that, there are no events to send.
    tokio::time::sleep(Duration::from_secs(4)).await;
    ana.says(&lunch, "psst").await;
    for (url, webhook) in &added {
        let page = async || operator.person.get(&format!("{}/deliveries", path(webhook))).await.expect(200);
        eventually(&format!("{url} was tried"), || async { page().await["items"][0].is_object() }).await;
        let page = page().await;
        for item in page["items"].as_array().expect("items") {
            assert_eq!(item["error"], "address_not_allowed", "{url}: {page}");
        }
    }
    assert!(canary.received().is_empty(), "{:?}", canary.received());
    world.finish().await;
}

#[tokio::test]
async fn the_example_of_a_receiver_survives_its_own_kill() {
    let world = with_nodes(&[ALL], &[("VERBATIM_WEBHOOK_RETRIES", QUICK)]).await;
    let operator = Program::bootstraps(&world).await;
    let ana = world.person("ana").await;
    let source = std::fs::read_to_string("examples/receiver.ts").expect("the example");
    let module = output_of(node("transpile.mjs", &[]).await, &source).await;
    let port = verbatim::dev::free_port().to_string();
    let webhook = adds(&operator, &format!("http://127.0.0.1:{port}/"), json!({ "from": "start" })).await;
    let journal = world.dir().join("events.jsonl");
    let starts = async || {
        let mut command = node_with(&module, &[]).await;
        command.env("PORT", &port).env("JOURNAL", &journal);
        command.env("WEBHOOK_SECRET", webhook["secret"].as_str().expect("a secret"));
        command.spawn().expect("node runs")
    };
    let written = || {
        let text = std::fs::read_to_string(&journal).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect::<Vec<Value>>()
    };
    let conversations = [ana.starts_group("One", &[]).await, ana.starts_group("Two", &[]).await];
    let mut receiver = starts().await;
    for n in 0..60 {
        // The messages that follow are not in the journal yet.
        let before = written().len();
        for conversation in &conversations {
            ana.says(conversation, &n.to_string()).await;
        }
        if n % 20 == 10 {
            eventually("it has written more", || async { written().len() > before }).await;
            receiver.kill().await.expect("kill");
            receiver = starts().await;
        }
    }
    eventually("all events are written", || async { written().len() >= 122 }).await;
    receiver.kill().await.expect("kill");
    let mut chains = BTreeMap::<String, Vec<(u64, u64)>>::new();
    for event in written() {
        let number = |name: &str| event[name].as_u64().expect(name);
        let conversation = event["conversationid"].as_str().expect("a conversation").to_owned();
        chains.entry(conversation).or_default().push((number("position"), number("previous")));
    }
    assert_whole(&chains);
    assert_eq!(chains.values().map(Vec::len).collect::<Vec<_>>(), [61, 61]);
    world.finish().await;
}
