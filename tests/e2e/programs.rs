//! Service accounts and their API keys.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use crate::{
    limits::{left, retry_after},
    world::{ALL_SCOPES, Device, Person, Program, World, eventually, key, open},
};

const ALL: &str = "api,gateway,projector";
/// The scopes of a bot that writes.
const BOT: &[&str] =
    &["conversations:read", "conversations:write", "messages:write", "users:read", "events:read"];

#[tokio::test]
async fn a_program_obeys_the_rules_of_a_member_within_its_scopes() {
    let world = World::start().await;
    let operator = Program::bootstraps(&world).await;
    let again = world.runs(&["services", "bootstrap"]).await;
    assert_eq!(again.code, Some(1), "{again:?}");
    assert!(again.stderr.contains("verbatim services add"), "{again:?}");

    let bot = operator.makes("robot", BOT).await.person;
    let (ana, me) = (world.person("ana").await, bot.get("/v1/me").await.expect(200));
    assert_eq!((&me["kind"], &me["username"]), (&json!("service"), &json!("robot")));
    let seen = ana.get(&format!("/v1/users/{}", bot.id)).await.expect(200);
    assert_eq!(seen["kind"], "service", "{seen}");

    let lunch = ana.starts_group("Lunch", &[]).await;
    bot.sends(&lunch, &key(), "let me in").await.refuses(404, "not_found");
    ana.invites(&lunch, &bot).await.expect(201);
    let client_id = key();
    let said = bot.sends(&lunch, &client_id, "from REST").await.expect(201);
    assert_eq!(said["sender"], bot.id);
    assert_eq!(bot.sends(&lunch, &client_id, "from REST").await.expect(201)["id"], said["id"]);
    let mut socket = bot.connects().await;
    let told = socket.says(&lunch, "from a socket").await;
    let position = told["position"].as_u64().expect("a position");
    assert_eq!(ana.history(&lunch, position).await, ["from REST", "from a socket"]);

    let refused = bot.reads(&lunch, position).await.refuses(403, "missing_scope");
    assert!(refused["detail"].as_str().expect("detail").contains("receipts:write"), "{refused}");
    socket.tells(json!({ "op": "read", "id": "r", "conversation_id": lunch.id, "position": position })).await;
    let refused = socket.waits_for("a refusal", |frame| frame["id"] == "r").await;
    assert_eq!((&refused["op"], &refused["code"]), (&json!("error"), &json!("missing_scope")), "{refused}");
    bot.get("/v1/admin/services").await.refuses(403, "missing_scope");
    ana.get("/v1/admin/services").await.refuses(403, "missing_scope");
    bot.get("/v1/logins").await.refuses(403, "forbidden");
    bot.delete("/v1/logins/current").await.refuses(403, "forbidden");
    let deaf = operator.makes("deaf", &["messages:write"]).await.person;
    assert_eq!(open(deaf.address, Some(&deaf.token)).await.err(), Some(403), "a socket needs events:read");
    world.finish().await;
}

#[tokio::test]
async fn keys_are_made_within_their_account_and_listed_without_their_secret() {
    let world = World::start().await;
    let operator = Program::bootstraps(&world).await;
    let account = |scopes: Value| json!({ "username": "shop", "display_name": "The shop", "scopes": scopes });
    let ask = async |body: Value| operator.person.post("/v1/admin/services", body).await;
    let unknown = ask(account(json!(["users:read", "admin:moon"]))).await.refuses(400, "unknown_scope");
    assert_eq!(unknown["errors"][0]["pointer"], "/scopes/1", "{unknown}");
    let shop = ask(account(json!(["users:read", "messages:write"]))).await.expect(201);
    ask(account(json!([]))).await.refuses(409, "username_taken");
    assert_eq!((&shop["kind"], &shop["username"]), (&json!("service"), &json!("shop")));

    let path = format!("/v1/admin/services/{}/keys", shop["id"].as_str().expect("id"));
    let make = async |body: Value| operator.person.post(&path, body).await;
    make(json!({ "name": "x", "scopes": ["users:read", "events:read"] })).await.refuses(400, "invalid_body");
    make(json!({ "name": "x", "scopes": ["all"] })).await.refuses(400, "unknown_scope");
    make(json!({ "name": "x", "addresses": ["10.0.0.1/8"] })).await.refuses(400, "bad_address");
    make(json!({ "name": "x", "expires_in": 0 })).await.refuses(400, "invalid_body");
    let nobody = format!("/v1/admin/services/{}/keys", world.person("ana").await.id);
    operator.person.post(&nobody, json!({ "name": "x" })).await.refuses(404, "not_found");

    let made = make(json!({ "name": "all", "scopes": ["users:read"], "expires_in": 3600 })).await.expect(201);
    let secret = made["key"].as_str().expect("key");
    assert_eq!((secret.len(), &made["scopes"]), (67, &json!(["users:read"])));
    assert!(made["expires_at"].is_string());
    let user = Person::program(world.nodes[0].address, "shop", "", secret);
    user.get("/v1/users?username=shop").await.expect(200);
    for n in 1..10 {
        make(json!({ "name": format!("key {n}") })).await.expect(201);
    }
    make(json!({ "name": "one more" })).await.refuses(409, "too_many_keys");
    let listed = operator.person.get(&path).await.expect(200);
    let keys = listed["items"].as_array().expect("items");
    let first = keys.iter().find(|key| key["name"] == "all").expect("the first key");
    assert_eq!((keys.len(), &first["last_used_address"]), (10, &json!("127.0.0.1")));
    assert!(first["last_used_at"].is_string() && keys[0]["last_used_at"].is_null(), "{listed}");
    assert!(secret.starts_with(first["prefix"].as_str().expect("prefix")), "{first}");
    assert!(!listed.to_string().contains(secret), "the secret is shown once");
    world.finish_without_views().await;
}

#[tokio::test]
async fn a_key_is_refused_for_its_form_its_time_and_its_address() {
    let world = World::start().await;
    let operator = Program::bootstraps(&world).await;
    let bot = operator.makes("robot", ALL_SCOPES).await.person;
    let with = |key: &str| bot.with_token(Some(key));
    let other = if bot.token.ends_with('x') { 'y' } else { 'x' };
    with(&format!("{}{other}", &bot.token[..66])).get("/v1/me").await.refuses(401, "invalid_key");
    with("vbk_").get("/v1/me").await.refuses(401, "invalid_key");
    // The checksum is correct, but the key does not exist.
    let foreign = "vbk_000000000000_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA_";
    let foreign = format!("{foreign}{}", checksum(foreign.trim_end_matches('_')));
    for _ in 0..2 {
        with(&foreign).get("/v1/me").await.refuses(401, "invalid_key");
    }

    let text = |key: Value| key["key"].as_str().expect("key").to_owned();
    let far = operator.adds_key(&bot.id, json!({ "name": "far", "addresses": ["203.0.113.0/24"] })).await;
    with(&text(far)).get("/v1/me").await.refuses(403, "forbidden");
    let near = json!({ "name": "near", "addresses": ["203.0.113.0/24", "127.0.0.0/8"] });
    with(&text(operator.adds_key(&bot.id, near).await)).get("/v1/me").await.expect(200);

    // A slow machine may open no socket before the key ends, so the next key lives longer.
    let mut lives = [3, 9, 27].into_iter();
    let (short, mut socket) = loop {
        let life = lives.next().expect("a socket that opens before its key ends");
        let short = text(operator.adds_key(&bot.id, json!({ "name": "short", "expires_in": life })).await);
        if let Some(socket) = Device::gets_in(bot.address, &short).await {
            break (short, socket);
        }
    };
    // The node sees the end of a key also while it cannot read which logins were revoked.
    let mut holder = PgConnection::connect(&world.database.url).await.expect("connection");
    let mut locked = holder.begin().await.expect("a transaction");
    let lock = sqlx::raw_sql("lock table auth.login in access exclusive mode").execute(&mut *locked);
    lock.await.expect("the lock");
    eventually("the key expires", || async { with(&short).get("/v1/me").await.status == 401 }).await;
    with(&short).get("/v1/me").await.refuses(401, "key_expired");
    assert_eq!(socket.is_closed_with().await, 4503);
    locked.rollback().await.expect("the lock is free");
    world.finish_without_views().await;
}

/// The CRC-32 of a text in base62, as in a key.
fn checksum(text: &str) -> String {
    const DIGITS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut sum = u32::MAX;
    for byte in text.bytes() {
        sum ^= u32::from(byte);
        for _ in 0..8 {
            sum = if sum & 1 == 1 { (sum >> 1) ^ 0xEDB8_8320 } else { sum >> 1 };
        }
    }
    let mut sum = !sum;
    let mut digits = [0; 6];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[(sum % 62) as usize];
        sum /= 62;
    }
    String::from_utf8(digits.to_vec()).expect("ASCII")
}

#[tokio::test]
async fn a_revoked_key_is_refused_on_every_node_within_a_second() {
    let mut world = World::empty(1).await;
    for _ in 0..3 {
        world.add_node(ALL).await;
    }
    let operator = Program::bootstraps(&world).await;
    let bot = operator.makes("robot", ALL_SCOPES).await;
    let at: Vec<Person> = world.nodes.iter().map(|node| bot.person.at(node.address)).collect();
    let mut sockets: Vec<Device> = Vec::new();
    for there in &at {
        there.get("/v1/me").await.expect(200);
        sockets.push(there.connects().await);
    }
    let other = operator.adds_key(&bot.person.id, json!({ "name": "other" })).await;
    let other = bot.person.with_token(other["key"].as_str());
    let mut stays = other.connects().await;

    operator.person.delete(&bot.path()).await.expect(204);
    let revoked = Instant::now();
    for there in &at {
        while there.get("/v1/me").await.status != StatusCode::UNAUTHORIZED {
            assert!(revoked.elapsed() < Duration::from_secs(1), "{} lets the key in", there.address);
        }
    }
    for socket in &mut sockets {
        assert_eq!(socket.is_closed_with().await, 4503);
    }
    assert!(revoked.elapsed() < Duration::from_secs(1), "{:?}", revoked.elapsed());
    for there in &at {
        there.get("/v1/me").await.refuses(401, "invalid_key");
        let hello = json!({ "op": "hello" });
        let mut late = Device::says_hello(there.address, &there.token, hello).await;
        assert_eq!(late.is_closed_with().await, 4501);
    }
    operator.person.delete(&bot.path()).await.expect(204);
    other.get("/v1/me").await.expect(200);
    stays.tells(json!({ "op": "ping", "id": "p" })).await;
    stays.gets("pong").await;
    world.finish_without_views().await;
}

#[tokio::test]
async fn a_rotation_under_load_fails_no_request_and_ends_the_old_key() {
    let mut world = World::empty(1).await;
    for _ in 0..3 {
        world.add_node(ALL).await;
    }
    let operator = Program::bootstraps(&world).await;
    let bot = operator.makes("robot", BOT).await;
    let nodes: Vec<_> = world.nodes.iter().map(|node| node.address).collect();
    let old = bot.person.clone();
    let mut current = old.clone();
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    let mut asked = tokio::task::JoinSet::new();
    let rotate = async |path: &str, overlap: u64| {
        let rotated = operator.person.post(&format!("{path}/rotate"), json!({ "overlap_s": overlap })).await;
        let rotated = rotated.expect(201);
        assert!(rotated["old_expires_at"].is_string() && rotated["expires_at"].is_null(), "{rotated}");
        rotated
    };
    // The program switches to the new key a second after the rotation, like a deployment. The overlap is much longer,
    // so that even a slow machine has answered the last request with the old key before that key ends.
    let mut path = String::new();
    for n in 0..200 {
        tick.tick().await;
        if n == 50 {
            let rotated = rotate(&bot.path(), 300).await;
            current = current.with_token(rotated["key"].as_str());
            path = format!("/v1/admin/services/{}/keys/{}", old.id, rotated["id"].as_str().expect("id"));
        }
        let by = if n < 100 { &old } else { &current };
        let by = by.at(nodes[n % nodes.len()]);
        asked.spawn(async move { by.get("/v1/me").await.status });
    }
    while let Some(status) = asked.join_next().await {
        assert_eq!(status.expect("asked"), StatusCode::OK);
    }
    // A key that was replaced can be replaced again, and its successor lives as long as the first one did.
    rotate(&bot.path(), 300).await;
    let (first, old, rotated) = (old, current.clone(), rotate(&path, 2).await);
    current = current.with_token(rotated["key"].as_str());
    eventually("the old key has ended on all nodes", || async {
        let mut ended = true;
        for node in &nodes {
            ended &= old.at(*node).get("/v1/me").await.status == StatusCode::UNAUTHORIZED;
        }
        ended
    })
    .await;
    for node in &nodes {
        old.at(*node).get("/v1/me").await.refuses(401, "key_expired");
        current.at(*node).get("/v1/me").await.expect(200);
        first.at(*node).get("/v1/me").await.expect(200);
    }
    world.finish().await;
}

#[tokio::test]
async fn a_key_has_a_budget_of_its_own() {
    let mut world = World::empty(1).await;
    world
        .add_node_with(ALL, &[("VERBATIM_LIMIT_SERVICE", "5/5000:5"), ("VERBATIM_LIMIT_SEND", "1/5000:1")])
        .await;
    let operator = Program::bootstraps(&world).await;
    let bot = operator.makes("robot", BOT).await.person;
    let other = operator.adds_key(&bot.id, json!({ "name": "other" })).await;
    let other = bot.with_token(other["key"].as_str());
    let notes = bot.starts_group("Notes", &[]).await;
    for left_over in [3, 2, 1] {
        let sent = bot.sends(&notes, &key(), "sent").await;
        assert_eq!(left(&sent, "service"), left_over, "no budget of the account is spent: {sent:?}");
        sent.expect(201);
    }
    bot.get("/v1/me").await.expect(200);
    let refused = bot.get("/v1/me").await;
    assert!(retry_after(&refused) > 100, "{refused:?}");
    assert_eq!(refused.refuses(429, "rate_limited")["violated-policies"], json!(["service"]));
    other.get("/v1/me").await.expect(200);
    world.finish().await;
}

#[tokio::test]
async fn a_service_account_can_have_limits_of_its_own() {
    let mut world = World::empty(1).await;
    world.add_node(ALL).await;
    let operator = Program::bootstraps(&world).await;
    let limits = json!({ "service": "60/6000:50", "send": "1/5000:2" });
    let account = json!({ "username": "robot", "display_name": "Robot", "scopes": BOT, "limits": limits });
    let account = operator.person.post("/v1/admin/services", account).await.expect(201);
    assert_eq!(account["limits"], limits);
    let listed = operator.person.get("/v1/admin/services?limit=1").await.expect(200);
    assert_eq!(listed["items"][0]["limits"], limits);
    let id = account["id"].as_str().expect("id");
    let made = operator.adds_key(id, json!({ "name": "one" })).await;
    let bot = Person::program(operator.person.address, "robot", id, made["key"].as_str().expect("key"));
    let notes = bot.starts_group("Notes", &[]).await;
    let first = key();
    for (client_id, left_over) in [(first.clone(), 1), (key(), 0)] {
        let sent = bot.sends(&notes, &client_id, "sent").await;
        assert_eq!(left(&sent, "send"), left_over, "{sent:?}");
        sent.expect(201);
    }
    let refused = bot.sends(&notes, &key(), "too many").await;
    assert_eq!(refused.refuses(429, "rate_limited")["violated-policies"], json!(["send"]));
    let listed = bot.get("/v1/me").await;
    assert_eq!(left(&listed, "service"), 50 - 5, "{listed:?}");
    let other = operator.makes("other", BOT).await.person;
    let mine = other.starts_group("Mine", &[]).await;
    for _ in 0..4 {
        other.sends(&mine, &key(), "sent").await.expect(201);
    }
    world.finish().await;
}

#[tokio::test]
async fn an_operator_manages_services_on_the_machine() {
    let world = World::start().await;
    let operator = Program::bootstraps(&world).await;
    let services = async |arguments: &[&str]| {
        let ran = world.runs(&[&["services"], arguments].concat()).await;
        assert_eq!(ran.code, Some(0), "{ran:?}");
        ran.stdout
    };
    let word = |text: &str, name: &str| {
        let mut words = text.split_whitespace().skip_while(|word| *word != name);
        words.nth(1).unwrap_or_else(|| panic!("no {name} in {text}")).to_owned()
    };
    let shop = word(
        &services(&["add", "shop", "--scopes", "users:read,events:read", "--limit", "send=60/60:5"]).await,
        "id",
    );
    let listed = services(&["list"]).await;
    assert!(listed.contains("username shop") && listed.contains("username backend"), "{listed}");
    let made = services(&["keys", "add", &shop, "--name", "one", "--scopes", "users:read"]).await;
    let (id, text) = (word(&made, "id"), word(&made, "key"));
    let by = |key: &str| Person::program(operator.person.address, "shop", &shop, key);
    by(&text).get("/v1/users?username=shop").await.expect(200);
    assert!(services(&["keys", "list", &shop]).await.contains(&text[..16]));
    let rotated = services(&["keys", "rotate", &shop, &id, "--overlap", "0"]).await;
    eventually("the old key is refused", || async { by(&text).get("/v1/me").await.status == 401 }).await;
    by(&text).get("/v1/me").await.refuses(401, "key_expired");
    let (id, text) = (word(&rotated, "id"), word(&rotated, "key"));
    by(&text).get("/v1/me").await.expect(200);
    services(&["keys", "revoke", &shop, &id]).await;
    eventually("the key is refused", || async { by(&text).get("/v1/me").await.status == 401 }).await;
    let bad = world.runs(&["services", "add", "moon", "--scopes", "admin:moon"]).await;
    assert!(bad.code == Some(1) && bad.stderr.contains("not a scope"), "{bad:?}");
    let bad =
        world.runs(&["services", "add", "moon", "--scopes", "users:read", "--limit", "moon=1/60"]).await;
    assert!(bad.code == Some(1) && bad.stderr.contains("--limit moon"), "{bad:?}");
    let gone = world.runs(&["services", "keys", "revoke", &shop, &shop]).await;
    assert!(gone.code == Some(1) && gone.stderr.contains("there is no service account"), "{gone:?}");
    world.finish_without_views().await;
}
