//! TLS: at the public listener, to nats-server and to Postgres.

use std::{fs, os::unix::fs::MetadataExt as _, os::unix::fs::chown};

use serde_json::json;

use crate::world::{Authority, Node, Pair, World, eventually, signal};

/// Adds a node without TLS, and then one with TLS.
async fn with_tls(world: &mut World, pair: &Pair) {
    world.add_node("api,gateway,projector").await;
    let [certificate, key] = [&pair.certificate, &pair.key].map(|file| file.to_str().expect("UTF-8"));
    let settings = [("VERBATIM_TLS_CERT_FILE", certificate), ("VERBATIM_TLS_KEY_FILE", key)];
    world.add_node_with("api,gateway,projector", &settings).await;
}

#[tokio::test]
async fn rest_and_sockets_work_over_tls() {
    let mut world = World::empty(1).await;
    let authority = Authority::new(world.dir(), "authority");
    let pair = authority.certifies(world.dir(), "node");
    with_tls(&mut world, &pair).await;
    let secured = world.nodes[1].address;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;

    let (head, me) = authority.asks(secured, &ana.token, "GET /v1/me").await;
    assert!(
        head.starts_with("HTTP/1.1 200 ") && head.contains("strict-transport-security: max-age="),
        "{head}"
    );
    assert_eq!(me["id"], ana.id.as_str());

    let mut at_ana = authority.opens_socket(secured, &ana.token).await;
    let mut at_ben = authority.opens_socket(secured, &ben.token).await;
    // Many frames at once in both directions, and frames that span several TLS records.
    for number in 0..100 {
        let text = format!("{number} {}", "ü".repeat(if number % 10 == 0 { 8_000 } else { 1 }));
        let id = format!("message-{number}");
        let frame =
            json!({ "op": "send", "id": id, "client_id": id, "conversation_id": lunch.id, "text": text });
        at_ana.tells(frame).await;
    }
    for number in 0..100 {
        let is_it = format!("{number} ");
        at_ben
            .waits_for(&is_it, |frame| {
                frame["data"]["text"].as_str().is_some_and(|text| text.starts_with(&is_it))
            })
            .await;
    }
    assert!(world.nodes[1].expires_in().await.expect("a figure") > 0);
    assert_eq!(world.nodes[0].expires_in().await, None, "there is no certificate");
    at_ana.leaves().await;

    let http = reqwest::get(format!("http://{secured}/v1/me")).await.expect("an answer");
    assert_eq!(http.status(), 400, "HTTP without TLS is told so");
    world.finish().await;
}

#[tokio::test]
async fn a_new_certificate_is_taken_and_a_bad_one_is_not() {
    let mut world = World::empty(1).await;
    let authority = Authority::new(world.dir(), "authority");
    let pair = authority.certifies(world.dir(), "node");
    with_tls(&mut world, &pair).await;
    let node = &world.nodes[1];
    let shown = async || authority.is_shown(node.address).await;
    let first = shown().await;
    let ana = world.person("ana").await;
    let mut open = authority.opens_socket(node.address, &ana.token).await;

    // A change of the files reloads the certificate.
    authority.certifies(world.dir(), "node");
    eventually("the new certificate is shown", async || shown().await != first).await;
    let second = shown().await;

    // A signal reloads it too, but not a bad one: here the certificate belongs to another key.
    let kept = fs::read(&pair.key).expect("a key");
    let other = authority.certifies(world.dir(), "other");
    fs::copy(&other.certificate, &pair.certificate).expect("a copy");
    signal(node.pid(), "HUP").await;
    const WARNING: &str = "could not reload the TLS certificate; the old one stays in use";
    eventually("it is complained of", async || !node.lines_with(WARNING).is_empty()).await;
    assert!(node.lines_with(WARNING)[0].to_string().contains("does not match the first certificate"));
    assert_eq!(shown().await, second);
    fs::remove_file(&pair.key).expect("it is there");
    // Each place in the code writes at most one warning a second.
    eventually("it is complained of again", async || {
        signal(node.pid(), "HUP").await;
        !node.lines_with("cannot be read").is_empty()
    })
    .await;
    assert_eq!(shown().await, second);
    fs::copy(&other.key, &pair.key).expect("a copy");
    signal(node.pid(), "HUP").await;
    eventually("the whole new pair is shown", async || shown().await != second).await;
    assert_ne!(fs::read(&pair.key).expect("a key"), kept);
    open.catches_up().await;
    world.finish().await;
}

#[tokio::test]
async fn a_node_with_an_expired_certificate_warns_until_it_has_a_new_one() {
    let mut world = World::empty(1).await;
    let authority = Authority::new(world.dir(), "authority");
    let pair = authority.certifies_until(world.dir(), "node", 2020);
    with_tls(&mut world, &pair).await;
    let node = &world.nodes[1];
    const WARNING: &str = "the TLS certificate has expired, so clients reject it; replace its files";
    eventually("it is warned of", async || !node.lines_with(WARNING).is_empty()).await;
    assert!(node.lines_with(WARNING)[0].to_string().contains("2020-01-01"));
    assert!(node.expires_in().await.expect("a figure") < 0);
    node.fires("VerbatimCertificateExpires").await;
    node.fires("VerbatimCertificateExpiresSoon").await;
    let [certificate, key] = [&pair.certificate, &pair.key].map(|file| file.to_str().expect("UTF-8"));
    let settings = [("VERBATIM_TLS_CERT_FILE", certificate), ("VERBATIM_TLS_KEY_FILE", key)];
    let checked = world.runs_with(&["check"], &settings).await;
    assert!(
        checked.code == Some(1) && checked.stdout.contains("REFUSED  listener: the certificate in"),
        "{checked:?}"
    );

    authority.certifies(world.dir(), "node");
    signal(node.pid(), "HUP").await;
    eventually("it has a new one", async || node.expires_in().await.is_some_and(|left| left > 0)).await;
    node.is_calm("VerbatimCertificateExpires").await;
    assert_eq!(node.lines_with(WARNING).len(), 1, "it is said once");
    world.finish().await;
}

#[tokio::test]
async fn files_that_are_no_pair_are_refused_at_the_start() {
    let world = World::without_a_log(1).await;
    let authority = Authority::new(world.dir(), "authority");
    let (one, other) = (authority.certifies(world.dir(), "one"), authority.certifies(world.dir(), "other"));
    let text = |file: &std::path::Path| file.to_str().expect("UTF-8").to_owned();
    let (certificate, key) = (text(&one.certificate), text(&other.key));
    let (both, half) = (
        [("VERBATIM_TLS_CERT_FILE", &*certificate), ("VERBATIM_TLS_KEY_FILE", &*key)],
        [("VERBATIM_TLS_CERT_FILE", &*certificate)],
    );
    for (settings, why) in [
        (&both[..], "does not match the first certificate"),
        (&half[..], "VERBATIM_TLS_CERT_FILE is set, but VERBATIM_TLS_KEY_FILE is not"),
    ] {
        let served = world.runs_with(&["serve"], settings).await;
        assert_eq!(served.code, Some(1), "{served:?}");
        assert!(served.stderr.contains("VERBATIM_TLS_KEY_FILE") && served.stderr.contains(why), "{served:?}");
        let checked = world.runs_with(&["check"], settings).await;
        assert!(
            checked.stdout.contains("REFUSED  listener: ") && checked.stdout.contains(why),
            "{checked:?}"
        );
    }
    world.finish_without_views().await;
}

#[tokio::test]
async fn nats_server_is_reached_by_tls_and_proves_itself() {
    let mut world = World::empty(1).await;
    let (authority, stranger) =
        (Authority::new(world.dir(), "authority"), Authority::new(world.dir(), "stranger"));
    let pair = authority.certifies(world.dir(), "nats-server");
    let conf = world.dir().join("nats/nats.conf");
    let owner = fs::metadata(world.dir().join("nats/data")).expect("a folder");
    chown(&pair.key, Some(owner.uid()), Some(owner.gid())).expect("its own key");
    let text = fs::read_to_string(&conf).expect("a configuration");
    let tls = format!("{text}\ntls {{ cert_file: {:?}, key_file: {:?} }}\n", pair.certificate, pair.key);
    fs::write(&conf, tls).expect("written");
    signal(world.nats.pid(), "HUP").await;

    let trusting = [("SSL_CERT_FILE", authority.file.to_str().expect("UTF-8"))];
    let doubting = [("SSL_CERT_FILE", stranger.file.to_str().expect("UTF-8"))];
    eventually("the server speaks TLS", async || {
        let checked = world.runs_with(&["check"], &doubting).await;
        checked.code == Some(1) && checked.stdout.contains("REFUSED  log: ")
    })
    .await;
    let checked = world.runs_with(&["check"], &trusting).await;
    assert_eq!(checked.code, Some(0), "{checked:?}");
    world.add_node_with("api,gateway,projector", &trusting).await;
    let ana = world.person("ana").await;
    let lunch = ana.starts_group("Lunch", &[]).await;
    ana.sends(&lunch, "a-first-message", "over TLS").await.expect(201);
    world.finish_without_views().await;
}

#[tokio::test]
async fn postgres_is_reached_by_tls_and_proves_itself() {
    let mut world = World::with_its_own_postgres().await;
    let (authority, stranger) =
        (Authority::new(world.dir(), "authority"), Authority::new(world.dir(), "stranger"));
    let pair = authority.certifies(world.dir(), "postgres-server");
    let owner = fs::metadata(world.dir().join("postgres/data")).expect("a folder");
    chown(&pair.key, Some(owner.uid()), Some(owner.gid())).expect("its own key");
    fs::set_permissions(&pair.key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("private");
    for (setting, value) in [
        ("ssl_cert_file", pair.certificate.to_str().expect("UTF-8")),
        ("ssl_key_file", pair.key.to_str().expect("UTF-8")),
        ("ssl", "on"),
    ] {
        world.database.does(&format!("alter system set {setting} = '{value}'")).await;
    }
    world.database.does("select pg_reload_conf()").await;
    let plain = world.database.url.replace("?sslmode=disable", "");
    let verified = |by: &Authority| format!("{plain}?sslmode=verify-full&sslrootcert={}", by.file.display());
    let (trusting, doubting) = (verified(&authority), verified(&stranger));
    eventually("Postgres speaks TLS", async || {
        let checked = world.runs_with(&["check"], &[("VERBATIM_DATABASE_URL", &trusting)]).await;
        checked.code == Some(0)
    })
    .await;
    let refused = world.runs_with(&["check"], &[("VERBATIM_DATABASE_URL", &doubting)]).await;
    assert!(refused.code == Some(1) && refused.stdout.contains("REFUSED  database: "), "{refused:?}");

    world.add_node_with("api,gateway,projector", &[("VERBATIM_DATABASE_URL", &trusting)]).await;
    let ana = world.person("ana").await;
    let lunch = ana.starts_group("Lunch", &[]).await;
    ana.sends(&lunch, "a-first-message", "over TLS").await.expect(201);
    let open: bool = world
        .database
        .finds("select bool_and(ssl) from pg_stat_ssl join pg_stat_activity using (pid) where pid <> pg_backend_pid() and datname = current_database()")
        .await;
    assert!(open, "each connection of the node is enciphered");
    world.finish().await;
}

impl Node {
    /// The seconds until its certificate expires.
    async fn expires_in(&self) -> Option<i64> {
        let metrics = self.metrics().await;
        let name = "verbatim_tls_certificate_expires_in_seconds{";
        let line = metrics.lines().find(|line| line.starts_with(name))?;
        line.rsplit_once(' ').and_then(|(_, figure)| figure.parse().ok())
    }
}
