//! NATS in operator mode: which users can log in, and which forgeries are refused.

use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

use async_nats::{ConnectOptions, jetstream};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use futures_util::StreamExt as _;
use nkeys::KeyPair;
use serde_json::{Value, json};
use tokio::time::timeout;
use verbatim::{
    dev::{self, Accounts, NatsOptions, NatsUser},
    log::{Log, Wanted},
    supervise::Supervisor,
};

use crate::{
    erasing::{asks, is_done, says_the_marker},
    world::{Backbone, Program, World, command, eventually, folder, now, tools},
};

/// A NATS JWT, made by hand.
fn token(by: &KeyPair, claims: &Value) -> String {
    let header = BASE64.encode(r#"{"typ":"JWT","alg":"ed25519-nkey"}"#);
    let text = format!("{header}.{}", BASE64.encode(claims.to_string()));
    let signature = by.sign(text.as_bytes()).expect("a private key");
    format!("{text}.{}", BASE64.encode(signature))
}

fn creds(token: &str, user: &KeyPair) -> String {
    format!(
        "-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY \
         SEED-----\n{}\n------END USER NKEY SEED------\n",
        user.seed().expect("a seed")
    )
}

fn claims(by: &KeyPair, user: &KeyPair, nats: Value) -> Value {
    json!({ "jti": "x", "iat": now(), "iss": by.public_key(), "name": "mallory", "sub": user.public_key(), "nats": nats })
}

fn seed(text: &str) -> KeyPair {
    KeyPair::from_seed(text.lines().next().expect("a line")).expect("a private key")
}

#[tokio::test]
async fn only_users_whom_the_accounts_have_signed_get_in() {
    let world = World::in_operator_mode(1).await;
    only_signed_users_get_in(&world).await;
    world.finish_without_views().await;
}

/// Wrong passwords and keys, expired and forged users, and users that claim more permissions are refused.
pub async fn only_signed_users_get_in<B: Backbone>(world: &World<B>) {
    let read =
        |name: &str| fs::read_to_string(world.nats.folder().join(name)).expect("a file of the accounts");
    let (chat, scoped) = (seed(&read("chat.nk")), seed(&read("consumers.key")));
    let account_of = |creds: &str| -> Value {
        let token = creds.lines().nth(1).expect("a token");
        let payload = BASE64.decode(token.split('.').nth(1).expect("claims")).expect("base64");
        serde_json::from_slice(&payload).expect("JSON")
    };
    let readers = read("consumers.key").lines().nth(1).expect("the account").to_owned();
    let servers: Vec<&str> = world.nats.url().split(',').collect();
    let gets_in = async |creds: String| {
        let options = ConnectOptions::with_credentials(&creds).expect("credentials");
        options.connection_timeout(Duration::from_secs(5)).connect(&servers).await
    };
    let user = || json!({ "type": "user", "version": 2, "pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1 });

    // This checks the test itself: a user that an account key has signed is admitted.
    let mallory = KeyPair::new_user();
    let good = claims(&chat, &mallory, user());
    assert!(gets_in(creds(&token(&chat, &good), &mallory)).await.is_ok());

    let stranger = KeyPair::new_account();
    let mut refused =
        vec![("a stranger's key", creds(&token(&stranger, &claims(&stranger, &mallory, user())), &mallory))];
    let mut of_chat = user();
    of_chat["issuer_account"] = chat.public_key().into();
    refused.push((
        "a stranger in CHAT",
        creds(&token(&stranger, &claims(&stranger, &mallory, of_chat.clone())), &mallory),
    ));
    // The key of consumers can sign no user of CHAT or SYS, and no user of READERS with custom permissions.
    refused.push((
        "the consumers' key for CHAT",
        creds(&token(&scoped, &claims(&scoped, &mallory, of_chat)), &mallory),
    ));
    let mut of_system = user();
    of_system["issuer_account"] = account_of(&read("sys.creds"))["iss"].clone();
    refused.push((
        "the consumers' key for SYS",
        creds(&token(&scoped, &claims(&scoped, &mallory, of_system)), &mallory),
    ));
    let mut asks_more = user();
    asks_more["issuer_account"] = readers.clone().into();
    asks_more["pub"] = json!({ "allow": [">"] });
    refused.push((
        "more than the template",
        creds(&token(&scoped, &claims(&scoped, &mallory, asks_more)), &mallory),
    ));
    let mut expired = claims(&chat, &mallory, user());
    expired["exp"] = (now() - 10).into();
    refused.push(("an expired one", creds(&token(&chat, &expired), &mallory)));
    let mut forged = token(&chat, &good);
    forged.truncate(forged.len() - 4);
    refused.push(("a bad signature", creds(&(forged + "AAAA"), &mallory)));
    refused.push(("another user's key", creds(&token(&chat, &good), &KeyPair::new_user())));
    for (what, creds) in refused {
        assert!(gets_in(creds).await.is_err(), "{what} gets in");
    }
    assert!(
        ConnectOptions::with_user_and_password("verbatim".into(), "verbatim".into())
            .connect(&servers)
            .await
            .is_err()
    );
    assert!(async_nats::connect(&servers).await.is_err(), "nobody gets in");

    // A consumer signed by the key of consumers gets the permissions of the template: no access to the log itself.
    let plain = json!({ "type": "user", "version": 2, "issuer_account": readers, "pub": {}, "sub": {} });
    let consumer = gets_in(creds(&token(&scoped, &claims(&scoped, &mallory, plain)), &mallory))
        .await
        .expect("a consumer");
    let operator = jetstream::new(world.nats.client(NatsUser::Operator).await);
    let head =
        async || operator.get_stream("CHAT_0").await.expect("the stream").cached_info().state.last_sequence;
    let before = head().await;
    consumer.publish("chat.00.x.timeline", "{}".into()).await.expect("sent");
    consumer.flush().await.expect("heard");
    assert_eq!(head().await, before, "the log is as it was");
}

/// Every server reports to the eraser the Raft log of a stream. It names its account by a key.
pub async fn the_eraser_reads_raft_logs<B: Backbone>(world: &World<B>, stream: &str) {
    let eraser = world.nats.client(NatsUser::Eraser).await;
    let user = eraser.request("$SYS.REQ.USER.INFO", "".into()).await.expect("an answer");
    let user: Value = serde_json::from_slice(&user.payload).expect("JSON");
    let of = jetstream::new(eraser.clone()).get_stream(stream).await.expect("the stream");
    let group = of.cached_info().cluster.as_ref().and_then(|cluster| cluster.raft_group.clone());
    let question = json!({ "account": user["data"]["account"], "group": group });
    let inbox = eraser.new_inbox();
    let mut answers = eraser.subscribe(inbox.clone()).await.expect("NATS");
    let asked =
        eraser.publish_with_reply("$SYS.REQ.SERVER.PING.RAFTZ", inbox, question.to_string().into()).await;
    asked.expect("NATS");
    for _ in 0..3 {
        let answer = timeout(Duration::from_secs(5), answers.next()).await.expect("in time").expect("one");
        let answer: Value = serde_json::from_slice(&answer.payload).expect("JSON");
        let groups = answer["data"].as_object().expect("accounts").values();
        let firsts: Vec<u64> = groups
            .filter_map(|groups| groups[group.as_deref().expect("a cluster")]["wal"]["first_seq"].as_u64())
            .collect();
        assert_eq!(firsts.len(), 1, "{answer}");
    }
}

/// An eraser that may not ask for the Raft logs does not wait for them.
pub async fn an_eraser_without_reports_does_not_wait<B: Backbone>(world: &World<B>) {
    let chat = seed(&fs::read_to_string(world.nats.folder().join("chat.nk")).expect("the key"));
    let user = KeyPair::new_user();
    let may = [
        "$JS.API.STREAM.MSG.DELETE.*",
        "$JS.API.INFO",
        "$JS.API.STREAM.INFO.*",
        "$JS.API.STREAM.MSG.GET.*",
        "$JS.API.DIRECT.GET.>",
    ];
    let limits = json!({
        "type": "user", "version": 2, "pub": { "allow": may }, "sub": {}, "subs": -1, "data": -1, "payload": -1,
    });
    let file = world.dir().join("silent.creds");
    fs::write(&file, creds(&token(&chat, &claims(&chat, &user, limits)), &user)).expect("written");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("ours");
    let file = file.to_str().expect("UTF-8");
    let mut eraser = world.starts(&["eraser", "--nats-eraser-credentials-file", file]);
    let program = Program::bootstraps(world).await.makes("forgets", &["admin:erasure"]).await;
    let eve = world.person("eve").await;
    let notes = eve.starts_group("Notes", &[]).await;
    let id = asks(&program, &[(&notes, says_the_marker(&eve, &notes, 1).await)]).await;
    let done = is_done(&program, &id).await;
    assert!(done["log_done_at"].is_string() && done.get("wal_compacted_at").is_none(), "{done}");
    eraser.kill().await.expect("it runs");
}

#[tokio::test]
async fn nodes_serve_with_credentials_and_hold_no_key_of_an_account() {
    let mut world = World::in_operator_mode(1).await;
    world.add_node("api,gateway,projector").await;
    let ana = world.person("ana").await;
    let notes = ana.starts_group("Notes", &[]).await;
    ana.says(&notes, "by credentials").await;
    let checked = world.runs(&["check"]).await;
    assert_eq!(checked.code, Some(0), "{checked:?}");
    assert!(checked.stdout.contains("every acknowledgement is on disk"), "{checked:?}");
    // A node has only the credentials of one user, whose JWT was signed elsewhere.
    let creds = fs::read_to_string(world.nats.folder().join("verbatim.creds")).expect("credentials");
    let seeds: Vec<_> = creds.lines().filter(|line| line.starts_with('S') && line.len() == 58).collect();
    assert!(matches!(seeds[..], [one] if one.starts_with("SU")), "only the key of a user");

    let both = format!("nats://verbatim:verbatim@{}", &world.nats.url()["nats://".len()..]);
    let refused = world.runs_with(&["status"], &[("VERBATIM_NATS_URL", &both)]).await;
    assert!(refused.code == Some(1) && refused.stderr.contains("one way to log in"), "{refused:?}");
    world.finish().await;
}

#[tokio::test]
async fn the_data_of_an_older_dev_mode_are_taken_over() {
    let dir = folder();
    let home = dir.path().join("nats");
    let passwords = NatsOptions { accounts: Accounts::Passwords, ..NatsOptions::default() };
    let older = dev::start_nats(tools(), &home, passwords).await.expect("it starts");
    let url = older.url_of(NatsUser::Operator);
    let log = Log::make(&url, Wanted::default(), 1, &Supervisor::new()).await.expect("a log");
    let epoch = log.epoch().clone();
    older.stop().await;
    for _ in 0..2 {
        let newer = dev::start_nats(tools(), &home, NatsOptions::default()).await.expect("it starts");
        let creds = newer.credentials(NatsUser::Verbatim).expect("a file").expect("credentials");
        let servers = verbatim::log::NatsServers::from(newer.url()).with_credentials(&creds);
        let log = Log::open(servers, Wanted::default(), &Supervisor::new()).await.expect("the same log");
        assert_eq!(*log.epoch(), epoch);
        newer.stop().await;
    }
}

#[tokio::test]
async fn init_makes_all_files_once() {
    let dir = folder();
    let out = dir.path().join("made");
    let run = || async {
        let ended = command().args(["nats", "init", "--out"]).arg(&out).output().await.expect("it runs");
        (ended.status.code(), String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).into_owned())
    };
    let (code, said) = run().await;
    assert_eq!(code, Some(0), "{said}");
    let key = fs::read_to_string(out.join("operator.nk")).expect("a key");
    for file in fs::read_dir(&out).expect("the folder") {
        let file = file.expect("a file");
        let mode = file.metadata().expect("metadata").permissions().mode() & 0o777;
        let open = if file.file_name() == "accounts.conf" { 0o644 } else { 0o600 };
        assert_eq!(mode, open, "{file:?}");
    }
    let (code, said) = run().await;
    assert!(code == Some(1) && said.contains("no key is ever replaced"), "{said}");
    assert_eq!(fs::read_to_string(out.join("operator.nk")).expect("a key"), key);

    // An installation that was created before there was an eraser gets its user afterwards.
    fs::remove_file(out.join("eraser.creds")).expect("it was made");
    let make = |account_key: &str| {
        let mut command = command();
        let files = [out.join(account_key), out.join("eraser.creds")];
        command.args(["nats", "eraser", "--account-key"]).arg(&files[0]).arg("--out").arg(&files[1]);
        async move { command.output().await.expect("it runs").status.code() }
    };
    assert_eq!(make("operator.nk").await, Some(1), "that is no key of an account");
    assert_eq!(make("chat.nk").await, Some(0));
    assert_eq!(make("chat.nk").await, Some(1), "no file is replaced");
    let made = fs::metadata(out.join("eraser.creds")).expect("it was made again");
    assert_eq!(made.permissions().mode() & 0o777, 0o600);

    // A server runs with the unchanged files and deploy/nats.conf, also after a restart.
    for name in ["nats.conf", "log.conf"] {
        fs::copy(format!("{}/deploy/{name}", env!("CARGO_MANIFEST_DIR")), out.join(name)).expect("copied");
    }
    for _ in 0..2 {
        let port = dev::free_port();
        let mut server = tokio::process::Command::new(&tools().nats_server)
            .arg("-c")
            .arg(out.join("nats.conf"))
            .args(["-p", &port.to_string()])
            .env("VERBATIM_NATS_DIR", format!("{:?}", dir.path().join("data")))
            .env("VERBATIM_NATS_JWT_DIR", format!("{:?}", dir.path().join("jwt")))
            .stderr(std::process::Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("nats-server runs");
        let creds = fs::read_to_string(out.join("sys.creds")).expect("credentials");
        eventually("the server answers its user", || async {
            let options = ConnectOptions::with_credentials(&creds).expect("credentials");
            options.connect(format!("127.0.0.1:{port}")).await.is_ok()
        })
        .await;
        server.kill().await.expect("killed");
    }
}
