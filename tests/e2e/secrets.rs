//! Texts that must not occur in any log, however much is logged.

use std::path::Path;

use crate::world::{
    ALL_SCOPES, Bot, Collector, PASSWORD, Person, Program, Receiver, World, ask, eventually, key,
};
use reqwest::Method;
use serde_json::{Value, json};

/// A word in every text, title, name and password of a story, and in all malformed input.
const CANARY: &str = "kanarie7f3";
/// The content of a master key file.
const MASTER_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n";

/// The log files below a folder.
fn logs(below: &Path, found: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(below).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            logs(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "log") {
            let lines = String::from_utf8_lossy(&std::fs::read(&path).unwrap_or_default()).into_owned();
            found.push((path.display().to_string(), lines));
        }
    }
}

/// Sends invalid requests with the canary in every part of a request.
async fn asks_for_nonsense(ana: &Person) {
    for (method, path) in [
        (Method::GET, format!("/v1/{CANARY}")),
        (Method::GET, format!("/v1/users/{CANARY}")),
        (Method::GET, format!("/v1/conversations/{CANARY}/messages?cursor={CANARY}")),
        (Method::GET, format!("/v1/messages?query={CANARY}&conversation_id={CANARY}")),
        (Method::GET, format!("/v1/events?after={CANARY}")),
        (Method::DELETE, format!("/v1/logins/{CANARY}")),
        (Method::POST, "/v1/logins".to_owned()),
        (Method::POST, "/v1/conversations".to_owned()),
        (Method::PATCH, "/v1/me".to_owned()),
        (Method::PUT, "/v1/me/password".to_owned()),
    ] {
        for body in [format!("{{\"{CANARY}\""), format!("{{\"{CANARY}\":\"{CANARY}\"}}"), CANARY.to_owned()] {
            let (status, _) = ana.sends_bytes(method.clone(), &path, &body).await;
            assert!((200..500).contains(&status), "{method} {path}: {status}");
        }
    }
    ana.with_header("traceparent", CANARY).get("/v1/me").await.expect(200);
    let method = Method::from_bytes(CANARY.to_uppercase().as_bytes()).expect("a method");
    ana.sends_bytes(method, "/v1/me", "").await;
    ana.with_token(Some(CANARY)).get("/v1/me").await.expect(401);
}

#[tokio::test]
async fn a_canary_comes_through_every_door_and_into_no_log() {
    let mut world = World::with_its_own_postgres().await;
    let key_file = world.dir().join("master.key");
    std::fs::write(&key_file, MASTER_KEY).expect("a file");
    let collector = Collector::start().await;
    let [endpoint, headers] = collector.settings();
    let settings = [
        (endpoint.0, &*endpoint.1),
        (headers.0, &headers.1),
        ("RUST_LOG", "debug"),
        ("VERBATIM_MASTER_KEY_FILE", key_file.to_str().expect("a path")),
        ("VERBATIM_WEBHOOK_ALLOW_HTTP", "true"),
        ("VERBATIM_WEBHOOK_ALLOW", "127.0.0.0/8,::1"),
    ];
    world.add_node_with("api,gateway,projector,webhooks", &settings).await;
    let node = world.nodes[0].address;
    let operator = Program::bootstraps(&world).await;
    let receiver = Receiver::start().await;
    let webhook = json!({ "url": receiver.url("/hooks"), "types": ["*"] });
    let webhook = operator.person.post("/v1/admin/webhooks", webhook).await.expect(201);

    let password = format!("{CANARY} is my word");
    let account = json!({ "username": "ana", "display_name": format!("Ana {CANARY}"), "password": password });
    ask(node, Method::POST, "/v1/accounts", Some(account)).await.expect(201);
    let login = json!({ "username": "ana", "password": password });
    let login = ask(node, Method::POST, "/v1/logins", Some(login)).await.expect(201);
    let ana = Person::with(&login, node);
    let wrong = json!({ "username": "ana", "password": format!("{CANARY} is not my word") });
    ask(node, Method::POST, "/v1/logins", Some(wrong)).await.expect(401);
    let refreshed = json!({ "refresh_token": ana.refresh_token });
    let refreshed = ask(node, Method::POST, "/v1/logins/refresh", Some(refreshed)).await.expect(200);
    let bad = json!({ "refresh_token": format!("{CANARY}.{}", ana.refresh_token) });
    assert!(ask(node, Method::POST, "/v1/logins/refresh", Some(bad)).await.status.is_client_error());
    ana.patch("/v1/me", json!({ "display_name": format!("{CANARY} Ana") })).await.expect(200);

    let notes = ana.starts_group(&format!("Notes on {CANARY}"), &[]).await;
    let text = format!("my {CANARY} sings");
    ana.says(&notes, &text).await;
    let mut device = ana.connects().await;
    device.says(&notes, &format!("{text} by frame")).await;
    for frame in [json!(CANARY), json!({ "op": CANARY }), json!({ "op": "send", "text": CANARY })] {
        device.tells(frame).await;
        device.gets("error").await;
    }
    ana.get(&format!("/v1/messages?query={CANARY}")).await.expect(200);
    asks_for_nonsense(&ana).await;
    let bot = Bot::of(&world, operator.makes("robot", ALL_SCOPES).await).await;
    bot.asks("send", json!({ "conversation_id": notes.id, "client_id": key(), "text": text })).await;
    bot.says("send", &[], format!("{{\"{CANARY}")).await;
    eventually("the webhook has had a message", || async {
        receiver.received().iter().any(|request| request.body.contains(CANARY))
    })
    .await;

    let mut told = Vec::new();
    for command in [&["status"][..], &["check"], &["verify"], &["webhooks", "list"], &["audit", "tail"]] {
        let ran = world.runs_with(command, &[("RUST_LOG", "debug")]).await;
        told.push((command.join(" "), ran.stdout + &ran.stderr));
    }
    let is_logged = || async { !world.nodes[0].lines_with("\"audit\":\"account.created\"").is_empty() };
    eventually("audit events are logged", is_logged).await;
    world.nodes[0].stop().await;
    let lines: Vec<String> = world.nodes[0].lines_with("").iter().map(Value::to_string).collect();
    assert!(lines.iter().any(|line| line.contains("\"message\":\"answered\"")), "requests are logged");
    told.push(("the node".to_owned(), lines.join("\n")));
    logs(world.dir(), &mut told);
    let spans: String = collector.0.taken().into_iter().map(|request| request.body).collect();
    assert!(spans.contains("POST send_message") && spans.contains("frame send"), "spans are recorded");
    told.push(("the spans".to_owned(), spans));
    assert!(
        told.iter().any(|(who, _)| who.ends_with("nats.log")),
        "{:?}",
        told.iter().map(|t| &t.0).collect::<Vec<_>>()
    );
    assert!(told.iter().any(|(who, _)| who.ends_with("postgres.log")));

    let refresh_token = refreshed["refresh_token"].as_str().expect("a token");
    let secret = webhook["secret"].as_str().expect("a secret");
    for (what, secret) in [
        ("the canary", CANARY),
        ("an access token", &*ana.token),
        ("a spent refresh token", &ana.refresh_token),
        ("a refresh token", refresh_token),
        ("an API key", &operator.person.token[17..]),
        ("the header for the collector", "for-collectors"),
        ("the secret of a webhook", secret.trim_start_matches("whsec_")),
    ] {
        for (who, lines) in &told {
            let line =
                lines.lines().find(|line| line.contains(secret) || line.contains(&secret.to_uppercase()));
            assert!(line.is_none(), "{who} wrote {what}: {line:?}");
        }
    }
    world.finish_without_views().await;
}

#[tokio::test]
async fn no_secret_is_logged_even_if_everything_is() {
    for level in ["debug", "trace", "info,async_nats::connection=trace,sqlx=trace"] {
        let mut world = World::empty(1).await;
        world.add_node_with("api,gateway,projector", &[("RUST_LOG", level)]).await;
        let ana = world.person("ana").await;
        let notes = ana.starts_group("Notes", &[]).await;
        let text = format!("my card is {}", key());
        ana.says(&notes, &text).await;
        let wrong = json!({ "username": "ana.a", "password": "not the right one" });
        ana.post("/v1/logins", wrong).await.expect(401);
        let operator = Program::bootstraps(&world).await.person;
        operator.get("/v1/admin/services").await.expect(200);
        operator.with_token(Some(&operator.token[..60])).get("/v1/me").await.expect(401);
        let mut device = ana.connects().await;
        device.tells(json!({ "op": "ping" })).await;
        device.gets("pong").await;
        world.nodes[0].stop().await;
        let password = |url: &str| {
            let (before, _) = url.rsplit_once('@').expect("user and password");
            before.rsplit_once(':').expect("a password").1.to_owned()
        };
        for (what, secret) in [
            ("the password of nats-server", &*password(world.nats.url())),
            ("the password of Postgres", &password(&world.database.url)),
            ("a user's password", PASSWORD),
            ("a wrong password", "not the right one"),
            ("an access token", &ana.token),
            ("the secret of an API key", &operator.token[17..50]),
            ("a message", &text),
        ] {
            let lines = world.nodes[0].lines_with(secret);
            assert!(lines.is_empty(), "{level}: {what} is logged: {:#?}", &lines[..lines.len().min(3)]);
        }
        world.finish_without_views().await;
    }
}
