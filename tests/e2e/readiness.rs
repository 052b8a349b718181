//! The readiness of a node: which part has a fault, and whether another node is better off.

use std::time::Duration;

use async_nats::jetstream;
use sqlx::Connection as _;
use verbatim::{clock::Clock, dev::NatsUser};

use crate::world::{Inside, Wire, World, alerts::is_firing, eventually, key, stays};

#[tokio::test]
async fn an_outage_that_all_nodes_share_takes_none_of_them_out() {
    let mut world = World::start().await;
    world.add_node("api,gateway").await;
    let ana = world.person("ana").await;
    let notes = ana.starts_group("Notes", &[]).await;
    ana.says(&notes, "before").await;
    for node in &world.nodes {
        node.is_ready().await;
    }

    world.nats.kill9();
    for node in &world.nodes {
        assert_eq!(node.tells("log", "not_connected").await, "degraded");
    }
    ana.get(&format!("/v1/conversations/{}/messages", notes.id)).await.expect(200);
    // By then, the earlier reports of the other nodes no longer count.
    let nodes = &world.nodes;
    let are_in = async || nodes[0].says("degraded").await && nodes[1].says("degraded").await;
    stays("no node is out", Duration::from_secs(8), are_in).await;
    world.nats.start_again().await.expect("nats-server starts again");
    for node in &world.nodes {
        node.is_ready().await;
    }
    world
        .database
        .is_gone_for(async {
            for node in &world.nodes {
                assert_eq!(node.tells("database", "no_answer").await, "degraded");
            }
        })
        .await;
    for node in &world.nodes {
        node.is_ready().await;
    }
    world.finish().await;
}

#[tokio::test]
async fn a_node_that_is_cut_off_alone_is_out_and_the_others_are_not() {
    let mut world = World::start().await;
    let (to_nats, nats) = Wire::to(world.nats.url()).await;
    let (to_postgres, postgres) = Wire::to(&world.database.url).await;
    let wired = [("VERBATIM_NATS_URL", &*nats), ("VERBATIM_DATABASE_URL", &*postgres)];
    world.add_node_with("api,gateway", &wired).await;
    world.nodes[1].is_ready().await;

    to_nats.cut();
    eventually("the node is out", || async { world.nodes[1].says("not_ready").await }).await;
    let (_, body) = world.nodes[1].readiness().await;
    assert!(
        body["trouble"].as_str().is_some_and(|trouble| trouble.contains("other nodes reach it")),
        "{body}"
    );
    world.nodes[0].is_ready().await;
    to_nats.mend();
    world.nodes[1].is_ready().await;

    to_postgres.cut();
    eventually("the node is out", || async { world.nodes[1].says("not_ready").await }).await;
    assert_eq!(world.nodes[1].tells("database", "no_answer").await, "not_ready");
    world.nodes[0].is_ready().await;
    // Now the node reaches neither server, so it cannot learn whether another node is better off.
    to_nats.cut();
    assert_eq!(world.nodes[1].tells("log", "not_connected").await, "not_ready");
    to_postgres.mend();
    to_nats.mend();
    world.nodes[1].is_ready().await;
    world.finish().await;
}

#[tokio::test]
async fn readiness_answers_at_once_while_servers_hang() {
    let mut world = World::with_its_own_postgres().await;
    world.add_node("api,gateway,projector").await;
    world.nodes[0].is_ready().await;
    world.nats.freeze();
    assert_eq!(world.nodes[0].tells("log", "no_answer").await, "degraded");
    world.nats.thaw();
    world.nodes[0].is_ready().await;
    world.database.server().freeze(true);
    assert_eq!(world.nodes[0].tells("database", "no_answer").await, "degraded");
    world.nats.freeze();
    eventually("it is out without both", || async { world.nodes[0].says("not_ready").await }).await;
    world.nats.thaw();
    world.database.server().freeze(false);
    world.nodes[0].is_ready().await;
    world.finish().await;
}

#[tokio::test]
async fn a_log_that_stores_nothing_is_told() {
    let world = World::start().await;
    let ana = world.person("ana").await;
    let notes = ana.starts_group("Notes", &[]).await;
    world.nodes[0].is_ready().await;
    let jetstream = jetstream::new(world.nats.connect(NatsUser::Operator).await.expect("NATS"));
    let limited = async |spare: i64| {
        let stream = jetstream.get_stream("CHAT_0").await.expect("the stream");
        let mut config = stream.cached_info().config.clone();
        let bytes = i64::try_from(stream.cached_info().state.bytes).expect("small");
        config.max_bytes = if spare < 0 { -1 } else { bytes + spare };
        jetstream.update_stream(config).await.expect("updated");
    };
    limited(10).await;
    assert_eq!(world.nodes[0].tells("log", "nearly_full").await, "degraded");
    ana.sends(&notes, &key(), "too much").await.refuses(503, "unavailable");
    assert_eq!(world.nodes[0].tells("log", "refuses_appends").await, "degraded");
    let (_, body) = world.nodes[0].readiness().await;
    assert!(body["trouble"].as_str().is_some_and(|trouble| trouble.contains("maximum bytes")), "{body}");
    limited(-1).await;
    ana.says(&notes, "enough room").await;
    world.nodes[0].is_ready().await;
    world.finish().await;
}

#[tokio::test]
async fn dead_projectors_and_lost_accounts_are_told_by_nodes_that_go_on() {
    let mut world = World::empty(1).await;
    world.add_node("api,gateway").await;
    world.add_node("projector").await;
    let ana = world.person("ana").await;
    let notes = ana.starts_group("Notes", &[]).await;
    world.nodes[0].is_ready().await;
    world.nodes[1].kill9().await;
    ana.says(&notes, "nobody projects this").await;
    assert_eq!(world.nodes[0].tells("projection", "late").await, "degraded");
    let (_, body) = world.nodes[0].readiness().await;
    assert!(body["parts"]["projection"]["lag_events"].as_u64() >= Some(1), "{body}");
    assert!(body["parts"]["projection"]["lag_seconds"].as_u64() >= Some(10), "{body}");
    assert_eq!(world.nodes[0].metric("verbatim_part_status{part=\"projection\"} ").await, 1);
    world.nodes[0].fires("VerbatimViewsLate").await;
    world.database.does("alter schema view rename to mislaid").await;
    assert_eq!(world.nodes[0].tells("views", "missing").await, "degraded");
    world.nodes[0].fires("VerbatimViewsWrong").await;
    world.database.does("alter schema mislaid rename to view").await;
    world.nodes.remove(1);
    world.add_node("projector").await;
    world.nodes[0].is_ready().await;

    world.database.does("alter schema auth rename to mislaid").await;
    assert_eq!(world.nodes[0].tells("accounts", "missing").await, "degraded");
    world.nodes[0].fires("VerbatimAccountsMissing").await;
    world.database.does("alter schema mislaid rename to auth").await;
    world.nodes[0].is_ready().await;
    world.finish().await;
}

#[tokio::test]
async fn a_node_whose_clock_is_wrong_is_out() {
    let world = World::start().await;
    let ahead =
        |seconds| Clock::new(move || time::OffsetDateTime::now_utc() + time::Duration::seconds(seconds));
    let node = Inside::start(&world, ahead(8)).await;
    let (status, body) = node.readiness().await;
    assert_eq!((status, &body["parts"]["clock"]["code"]), (200, &"apart".into()), "{body}");
    // Nodes within one process share their metrics, and each sets them once a second.
    eventually("the alert fires", || async { is_firing("VerbatimClockApart", &node.metrics().await, "") })
        .await;
    node.stops().await;
    let node = Inside::start(&world, ahead(-45)).await;
    let (status, body) = node.readiness().await;
    assert_eq!((status, &body["parts"]["clock"]["code"]), (503, &"wrong".into()), "{body}");
    assert!(body["trouble"].as_str().is_some_and(|trouble| trouble.contains("off by 45 s")), "{body}");
    node.stops().await;
    world.nodes[0].is_ready().await;
    world.finish().await;
}

#[tokio::test]
async fn a_node_that_starts_waits_for_a_slow_answer() {
    let mut world = World::empty(1).await;
    let mut lock = sqlx::PgConnection::connect(&world.database.url).await.expect("Postgres");
    sqlx::raw_sql("begin; lock table auth.signing_key in access exclusive mode")
        .execute(&mut lock)
        .await
        .expect("the lock");
    // This is longer than a statement waits for a lock.
    let slow = async {
        tokio::time::sleep(Duration::from_secs(8)).await;
        sqlx::raw_sql("rollback").execute(&mut lock).await.expect("no lock");
    };
    let (_, ()) = tokio::join!(world.add_node("api,gateway,projector"), slow);
    let ana = world.person("ana").await;
    ana.get("/v1/me").await.expect(200);
    world.finish_without_views().await;
}
