//! Exports of one's own data: everything that the owner may see, nothing else, and nothing of it is stored.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use base64::Engine as _;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpSocket,
    process::Command,
    time::timeout,
};

use crate::world::{
    ALL_SCOPES, Answer, Conversation, PATIENCE, Person, Program, World, ask, eventually, key, position,
};

/// The files of a zip, with their content.
pub type Files = BTreeMap<String, String>;

async fn requests(person: &Person, body: Value) -> Value {
    person.post("/v1/me/exports", body).await.expect(202)
}

pub fn url(export: &Value) -> &str {
    export["url"].as_str().expect("a link")
}

async fn fetches(address: SocketAddr, url: &str) -> reqwest::Response {
    reqwest::get(format!("http://{address}{url}")).await.expect("an answer")
}

pub async fn downloads(address: SocketAddr, url: &str) -> Vec<u8> {
    let answer = fetches(address, url).await;
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["content-type"]),
        (200, &"application/zip".parse().expect("a value"))
    );
    answer.bytes().await.expect("all of it").into()
}

/// Opens a zip with an independent reader.
pub async fn opened(world: &World, zip: &[u8]) -> Files {
    let file = world.dir().join(key());
    std::fs::write(&file, zip).expect("written");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/unzipped.py");
    let ran = Command::new("python3").arg(script).arg(&file).output().await.expect("it runs");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    serde_json::from_slice(&ran.stdout).expect("JSON")
}

async fn export(world: &World, person: &Person, body: Value) -> Files {
    let requested = requests(person, body).await;
    opened(world, &downloads(person.address, url(&requested)).await).await
}

/// The content of an export of everything.
pub async fn downloaded(world: &World, person: &Person) -> String {
    export(world, person, json!({})).await.into_values().collect()
}

pub fn file_of(conversation: &Conversation) -> String {
    format!("conversations/{}.ndjson", conversation.id)
}

pub fn lines(files: &Files, of: &Conversation) -> Vec<Value> {
    let text = files.get(&file_of(of)).map(String::as_str).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

/// The texts in the lines of a conversation.
pub fn texts(files: &Files, of: &Conversation) -> Vec<String> {
    let lines = lines(files, of);
    lines.iter().filter_map(|line| line["data"]["text"].as_str().map(str::to_owned)).collect()
}

/// All events that a user gets over REST after a cursor.
async fn told(person: &Person, cursor: &str) -> Vec<Value> {
    let (mut all, mut cursor) = (Vec::new(), cursor.to_owned());
    loop {
        let page = person.get(&format!("/v1/events?after={cursor}&limit=200")).await.expect(200);
        let items = page["items"].as_array().expect("items");
        if items.is_empty() {
            return all;
        }
        all.extend(items.iter().cloned());
        page["next_cursor"].as_str().expect("a cursor").clone_into(&mut cursor);
    }
}

async fn group(owner: &Person, title: &str, history: &str, members: &[&Person]) -> Conversation {
    let made = owner.starts_group(title, members).await;
    let path = format!("/v1/conversations/{}", made.id);
    owner.patch(&path, json!({ "history": history })).await.expect(200);
    made
}

fn message_path(of: &Conversation, message: &Value) -> String {
    format!("/v1/conversations/{}/messages/{}", of.id, message["id"].as_str().expect("id"))
}

/// An event of the feed in the format of the lines.
fn as_line(event: &Value) -> (String, u64, u64, Value) {
    let number = |field: &str| event[field].as_u64().expect(field);
    (
        event["id"].as_str().expect("id").to_owned(),
        number("position"),
        number("previous"),
        event["data"].clone(),
    )
}

#[tokio::test]
async fn an_export_has_all_and_only_what_its_owner_saw() {
    let mut world = World::empty(2).await;
    for roles in ["api,gateway,projector", "api"] {
        world.add_node_with(roles, &[("VERBATIM_LIMIT_EXPORT", "off")]).await;
    }
    let (ana, ben, cleo) = (world.person("ana").await, world.person("ben").await, world.person("cleo").await);
    let begun = ben.get("/v1/events").await.expect(200)["next_cursor"].as_str().expect("a cursor").to_owned();

    // The whole history is open to Ben, who comes later.
    let lunch = group(&ana, "Lunch", "full", &[&cleo]).await;
    ana.says(&lunch, "lunch before ben").await;
    ana.invites(&lunch, &ben).await.expect(201);
    let pizza = ben.says(&lunch, "pizza, said first").await;
    let of_pizza = message_path(&lunch, &pizza);
    ben.patch(&of_pizza, json!({ "text": "pizza, said then" })).await.expect(200);
    ana.put(&format!("{of_pizza}/reactions/%F0%9F%91%8D"), json!({})).await.expect(204);
    ana.put(&format!("{of_pizza}/pin"), json!({})).await.expect(204);
    let slip = ana.says(&lunch, "a slip of the tongue").await;
    let of_slip = message_path(&lunch, &slip);
    ana.patch(&of_slip, json!({ "text": "another slip of the tongue" })).await.expect(200);
    ben.put(&format!("{of_slip}/reactions/%F0%9F%98%82"), json!({})).await.expect(204);
    ana.delete(&of_slip).await.expect(204);
    // Ben has two stays, and gets nothing from outside of them.
    let dinner = group(&ana, "Dinner", "since_join", &[&cleo]).await;
    ana.says(&dinner, "dinner before ben").await;
    ana.invites(&dinner, &ben).await.expect(201);
    ben.says(&dinner, "dinner of ben").await;
    ana.removes(&dinner, &ben).await.expect(204);
    ana.says(&dinner, "dinner without ben").await;
    ana.invites(&dinner, &ben).await.expect(201);
    let again = ana.says(&dinner, "dinner with ben again").await;
    ben.reads(&dinner, position(&again)).await.expect(204);
    // Ben has left, so he gets the full history only up to that point.
    let tea = group(&ana, "Tea", "full", &[&ben, &cleo]).await;
    ana.says(&tea, "tea with ben").await;
    ben.removes(&tea, &ben).await.expect(204);
    ana.says(&tea, "tea without ben").await;
    // Ben was added later.
    let walk = group(&ana, "Walk", "full", &[&cleo]).await;
    ana.says(&walk, "walk before ben").await;
    ana.invites(&walk, &ben).await.expect(201);
    ana.says(&walk, "walk with ben").await;
    ana.removes(&walk, &ben).await.expect(204);
    // Ben may see nothing of this.
    let secret = ana.starts_group("Secret", &[&cleo]).await;
    ana.says(&secret, "a secret of ana").await;
    let direct = ben.starts_direct(&cleo).await.expect(201);
    let direct = Conversation { id: direct["id"].as_str().expect("id").to_owned(), position: 0 };
    cleo.says(&direct, "only for ben").await;
    ben.put(&format!("/v1/me/blocks/{}", ana.id), json!({})).await.expect(204);
    ben.patch(&format!("/v1/conversations/{}/settings", tea.id), json!({ "archived": true }))
        .await
        .refuses(404, "not_found");
    for muted in [true, false] {
        let muted = json!({ "muted": muted });
        ben.patch(&format!("/v1/conversations/{}/settings", direct.id), muted).await.expect(200);
    }
    ben.patch(&format!("/v1/conversations/{}/settings", lunch.id), json!({ "archived": true }))
        .await
        .expect(200);

    let requested = requests(&ben, json!({})).await;
    ana.says(&lunch, "said after the request").await;
    let id = requested["id"].as_str().expect("id");
    let seen = ben.get(&format!("/v1/me/exports/{id}")).await.expect(200);
    assert_eq!((&seen["state"], &seen), (&json!("ready"), &requested));
    let listed = ben.get("/v1/me/exports").await.expect(200);
    assert_eq!(listed["items"], json!([requested]));
    let zip = downloads(ben.address, url(&requested)).await;
    let files = opened(&world, &zip).await;

    // The export has exactly the texts that REST shows of each conversation, at the time of each stay.
    assert_eq!(texts(&files, &lunch), ["lunch before ben", "pizza, said first", "pizza, said then"]);
    assert_eq!(texts(&files, &dinner), ["dinner of ben", "dinner with ben again"]);
    assert_eq!(texts(&files, &tea), ["tea with ben"]);
    assert_eq!(texts(&files, &walk), ["walk with ben"]);
    assert_eq!(texts(&files, &direct), ["only for ben"]);
    let conversations: Vec<&String> =
        files.keys().filter(|name| name.starts_with("conversations/")).collect();
    let mut expected = [&lunch, &dinner, &tea, &walk, &direct].map(file_of);
    expected.sort();
    assert_eq!(conversations, expected.iter().collect::<Vec<_>>());
    let mut fed = told(&ben, &begun).await;
    fed.retain(|event| event["data"]["text"] != "said after the request");
    for of in [&lunch, &dinner, &tea, &walk, &direct] {
        let lines = lines(&files, of);
        let behind = lines.iter().map(|line| line["position"].as_u64());
        assert!(behind.is_sorted(), "the oldest first");
        let fed: Vec<_> = fed.iter().filter(|event| event["conversation_id"] == *of.id).collect();
        for event in &fed {
            let line = lines.iter().find(|line| line["id"] == event["id"]);
            let line = line.unwrap_or_else(|| panic!("the feed has it and the export has not: {event}"));
            assert_eq!(line["type"], format!("verbatim.{}.v1", event["type"].as_str().expect("type")));
            assert_eq!(line["actor"], event["actor"]);
            if line["data"]["deleted"] != true {
                assert_eq!(as_line(line), as_line(event));
            }
        }
        let others = lines.iter().filter(|line| !fed.iter().any(|event| event["id"] == line["id"]));
        let others: Vec<_> = others.map(|line| line["type"].as_str().expect("type")).collect();
        let before = ["verbatim.conversation.created.v1", "verbatim.message.sent.v1"];
        assert_eq!(others, if of.id == lunch.id { &before[..] } else { &[] }, "the open history of Lunch");
    }

    // A deleted message keeps its place and has no content, whoever wrote it.
    let of_slip: Vec<Value> =
        lines(&files, &lunch).into_iter().filter(|line| line["data"]["message_id"] == slip["id"]).collect();
    let kinds: Vec<_> = of_slip.iter().map(|line| line["type"].as_str().expect("type")).collect();
    assert_eq!(
        kinds,
        [
            "verbatim.message.sent.v1",
            "verbatim.message.edited.v1",
            "verbatim.reaction.added.v1",
            "verbatim.message.deleted.v1"
        ]
    );
    assert_eq!(of_slip[0]["data"], json!({ "message_id": slip["id"], "deleted": true }));
    let at = json!({ "message_id": slip["id"], "message_position": slip["position"], "deleted": true });
    assert_eq!((&of_slip[1]["data"], &of_slip[2]["data"]), (&at, &at));
    let all: String = files.values().cloned().collect();
    assert!(
        !all.contains("slip of the tongue")
            && !all.contains("secret of ana")
            && !all.contains("after the request")
    );

    let parsed = |name: &str| serde_json::from_str::<Value>(&files[name]).expect("JSON");
    assert_eq!(parsed("profile.json"), ben.get("/v1/me").await.expect(200));
    assert_eq!(parsed("logins.json").as_array().map(Vec::len), Some(1));
    let settings = parsed("settings.json");
    assert_eq!(settings["blocks"][0]["user_id"], *ana.id);
    assert_eq!(
        settings["conversations"],
        json!([{ "conversation_id": lunch.id, "muted": false, "archived": true }])
    );
    let (manifest, info) = (parsed("manifest.json"), ben.get("/v1/info").await.expect(200));
    assert_eq!((&manifest["log"]["epoch"], &manifest["export_id"]), (&info["epoch"], &requested["id"]));
    assert_eq!(manifest["log"]["positions"].as_object().map(serde_json::Map::len), Some(2));
    assert!(files["README.txt"].contains("no attachments"));
    assert!(info["features"].as_array().expect("features").contains(&json!("export")));

    // Another download, from another node, is identical until somebody deletes a message.
    assert!(downloads(world.nodes[1].address, url(&requested)).await == zip, "another download differs");
    ben.delete(&of_pizza).await.expect(204);
    eventually("the deletion is in the views", async || {
        ben.get(&of_pizza).await.expect(200)["deleted_at"].is_string()
    })
    .await;
    let later = opened(&world, &downloads(ben.address, url(&requested)).await).await;
    assert_eq!(texts(&later, &lunch), ["lunch before ben"]);
    assert_eq!(lines(&later, &lunch).len(), lines(&files, &lunch).len(), "every event keeps its place");

    // An export since a time.
    let since = again["sent_at"].clone();
    let files = export(&world, &ben, json!({ "since": since })).await;
    assert_eq!(texts(&files, &dinner), ["dinner with ben again"]);
    assert_eq!(
        (texts(&files, &tea), files.contains_key(&file_of(&lunch))),
        (vec!["tea with ben".into()], true)
    );
    assert_eq!(texts(&files, &lunch), ["said after the request"]);
    world.finish().await;
}

fn is_over(answer: &Answer) -> bool {
    (answer.status.as_u16(), &answer.body["code"]) == (410, &json!("export_over"))
}

#[tokio::test]
async fn a_link_ends_with_its_export_its_login_and_its_account() {
    let world = World::start().await;
    let operator = Program::bootstraps(&world).await.makes("robot", ALL_SCOPES).await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let gets = async |url: &str| ask(world.nodes[0].address, Method::GET, url, None).await;
    let export = requests(&ana, json!({})).await;
    let (id, link) = (export["id"].as_str().expect("id").to_owned(), url(&export).to_owned());
    downloads(ana.address, &link).await;

    // Nobody else can see it.
    let path = format!("/v1/me/exports/{id}");
    ben.get(&path).await.refuses(404, "not_found");
    assert_eq!(ben.get("/v1/me/exports").await.expect(200)["items"], json!([]));
    let of_ben = requests(&ben, json!({})).await;
    let token = url(&of_ben).split("token=").nth(1).expect("a token").to_owned();
    gets(&format!("/v1/exports/{id}?token={token}")).await.refuses(404, "not_found");
    gets(&format!("/v1/exports/{id}")).await.refuses(400, "invalid_parameter");

    // One export is allowed every 12 hours.
    let refused = ana.post("/v1/me/exports", json!({})).await;
    let wait: u64 = refused.headers["retry-after"].to_str().expect("text").parse().expect("seconds");
    assert!((43_000..=43_200).contains(&wait), "{wait}");
    assert_eq!(refused.body["violated-policies"], json!(["export"]));
    refused.refuses(429, "rate_limited");

    // Another login gets another link, which ends with that login and with no other.
    let other = Person::logs_in(ana.address, &ana.name, &ana.id).await;
    let of_other = url(&other.get(&path).await.expect(200)).to_owned();
    assert_ne!(of_other, link);
    downloads(ana.address, &of_other).await;
    other.delete("/v1/logins/current").await.expect(204);
    assert!(is_over(&gets(&of_other).await));
    downloads(ana.address, &link).await;

    let deactivated = format!("/v1/admin/users/{}/deactivate", ana.id);
    operator.person.post(&deactivated, json!({})).await.expect(204);
    gets(&link).await.refuses(403, "suspended");

    // Seven days have passed.
    let of_ben_id = of_ben["id"].as_str().expect("id");
    world.database.does("update auth.export set expires_at = created_at").await;
    assert!(is_over(&gets(url(&of_ben)).await));
    let expired = ben.get(&format!("/v1/me/exports/{of_ben_id}")).await.expect(200);
    assert_eq!((&expired["state"], &expired["url"]), (&json!("expired"), &Value::Null));
    world.finish().await;
}

/// A text that hardly compresses.
fn noise(length: usize) -> String {
    let mut bytes = vec![0; length * 3 / 4];
    aws_lc_rs::rand::fill(&mut bytes).expect("random bytes");
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_the_place_until_the_deadline_and_no_longer() {
    let mut world = World::empty(1).await;
    world.add_node_with("api,gateway,projector", &[("VERBATIM_EXPORT_DEADLINE", "5")]).await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    for _ in 0..45 {
        let sent = (0..10).map(|_| async { ana.says(&lunch, &noise(16_000)).await });
        futures_util::future::join_all(sent).await;
    }
    let (of_ana, of_ben) = (requests(&ana, json!({})).await, requests(&ben, json!({})).await);

    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4_096).expect("a small buffer");
    let mut slow = socket.connect(ana.address).await.expect("connected");
    let request = format!("GET {} HTTP/1.1\r\nHost: localhost\r\n\r\n", url(&of_ana));
    slow.write_all(request.as_bytes()).await.expect("sent");
    let mut head = [0; 64];
    slow.read_exact(&mut head).await.expect("the beginning of the answer");
    assert!(head.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&head));

    // The node has no free place, and refuses instead of waiting.
    let refused = ask(ana.address, Method::GET, url(&of_ben), None).await;
    assert!(refused.headers.contains_key("retry-after"));
    refused.refuses(503, "at_capacity");
    let status = async || fetches(ana.address, url(&of_ben)).await.status().as_u16();
    timeout(PATIENCE, eventually("the place is free", async || status().await == 200))
        .await
        .expect("in time");
    // The answer to the slow client is cut off, so that it cannot be mistaken for a complete one.
    let mut rest = Vec::new();
    let ended = timeout(PATIENCE, slow.read_to_end(&mut rest)).await.expect("it ends");
    assert!(ended.is_err() || !rest.ends_with(b"0\r\n\r\n"), "it looks whole");

    // A client that disconnects frees its place at once.
    let mut answer = fetches(ana.address, url(&of_ben)).await;
    assert!(answer.chunk().await.expect("the first bytes").is_some());
    drop(answer);
    let begun = std::time::Instant::now();
    timeout(PATIENCE, eventually("the place is free again", async || status().await == 200))
        .await
        .expect("in time");
    assert!(begun.elapsed() < Duration::from_secs(4), "long before the deadline");
    world.finish().await;
}
