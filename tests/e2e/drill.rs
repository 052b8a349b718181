//! The operator's drill: each fault is found from `/metrics`, log lines, `verbatim status` and `/readyz` alone, and the
//! alert that fires names it. Stories about single faults check the alerts of those faults.

use std::collections::BTreeSet;

use async_nats::jetstream;
use serde_json::{Value, json};
use verbatim::dev::NatsUser;

use crate::world::{
    World,
    alerts::{RULES, is_firing},
    eventually, key,
};

/// The names of metrics in an expression.
fn metrics_of(expr: &str) -> BTreeSet<String> {
    let words = expr.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let ours = words.filter(|word| word.starts_with("verbatim_") || word.starts_with("process_"));
    ours.map(str::to_owned).collect()
}

/// The expressions of the panels.
fn expressions(of: &Value, found: &mut Vec<String>) {
    match of {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| match (name.as_str(), value) {
            ("expr", Value::String(expr)) => found.push(expr.clone()),
            (_, value) => expressions(value, found),
        }),
        Value::Array(items) => items.iter().for_each(|item| expressions(item, found)),
        _ => {}
    }
}

/// Metrics that a healthy node without TLS, webhooks, consumers and issuers does not show.
const SELDOM: [&str; 7] = [
    "verbatim_tls_certificate_expires_in_seconds",
    "verbatim_webhook_disabled",
    "verbatim_webhook_lag_seconds",
    "verbatim_rate_limited_total",
    "verbatim_shed_total",
    "verbatim_consumer_lag_seconds",
    "verbatim_consumer_parked",
];

#[tokio::test]
async fn each_alert_and_each_panel_asks_for_metrics_that_a_node_shows_and_each_alert_has_a_page() {
    let world = World::start().await;
    let jetstream = jetstream::new(world.nats.connect(NatsUser::Operator).await.expect("NATS"));
    let mut stream = jetstream.get_stream("CHAT_0").await.expect("the stream");
    let mut config = stream.info().await.expect("the stream").config.clone();
    config.max_bytes = 1 << 30;
    jetstream.update_stream(config).await.expect("updated");
    let ana = world.person("ana").await;
    let mut device = ana.connects().await;
    device.tells(json!({ "op": "ping" })).await;
    device.gets("pong").await;
    let cursor = device.cursor();
    device.leaves().await;
    ana.resumes(&cursor).await.catches_up().await;
    let node = &world.nodes[0];
    eventually("the stream has a limit, and the server has told how full it is", || async {
        let told = node.metrics().await;
        told.contains("verbatim_stream_full_ratio{") && told.contains("verbatim_nats_storage_full_ratio{")
    })
    .await;
    let told = node.metrics().await;
    let dashboard: Value =
        serde_json::from_str(include_str!("../../deploy/grafana/verbatim.json")).expect("JSON");
    let mut asked = RULES.values().cloned().collect();
    expressions(&dashboard, &mut asked);
    assert!(asked.len() > 50, "{}", asked.len());
    for expr in &asked {
        for name in metrics_of(expr) {
            let is_shown = told.lines().any(|line| line.starts_with(&name));
            assert!(
                is_shown || SELDOM.contains(&name.as_str()),
                "a node shows no {name}, which {expr} asks for"
            );
        }
    }
    let runbook = include_str!("../../deploy/RUNBOOK.md");
    for (alert, expr) in &*RULES {
        let page = format!("\n## {alert}\n");
        let section = runbook.split_once(&page).unwrap_or_else(|| panic!("the runbook has no {alert}")).1;
        let section = section.split("\n## ").next().unwrap_or_default();
        assert!(section.contains(expr.as_str()), "the runbook has another expression of {alert}");
    }
    let quiet = RULES.iter().filter(|(_, expr)| {
        !["quantile", " / ", "up{job", "process_", "_over_time"].iter().any(|form| expr.contains(form))
    });
    for (alert, _) in quiet {
        assert!(!is_firing(alert, &told, &told), "{alert} fires on a sound node: {told}");
    }
    world.finish().await;
}

#[tokio::test]
async fn what_happens_to_servers_is_named_by_alerts() {
    let mut world = World::with_its_own_postgres().await;
    world.add_node("api,gateway,projector").await;
    let ana = world.person("ana").await;
    let notes = ana.starts_group("Notes", &[]).await;
    world.nodes[0].is_ready().await;

    // nats-server hangs, and dies.
    world.nats.freeze();
    world.nodes[0].fires("VerbatimNatsDown").await;
    assert_eq!(world.nodes[0].tells("log", "no_answer").await, "degraded");
    world.nats.thaw();
    world.nodes[0].is_calm("VerbatimNatsDown").await;
    world.nats.kill9();
    world.nodes[0].fires("VerbatimNatsDown").await;
    assert_eq!(world.nodes[0].tells("log", "not_connected").await, "degraded");
    world.nats.start_again().await.expect("nats-server starts again");
    world.nodes[0].is_calm("VerbatimNatsDown").await;

    // Postgres hangs, and dies.
    world.database.server().freeze(true);
    world.nodes[0].fires("VerbatimPostgresDown").await;
    assert_eq!(world.nodes[0].tells("database", "no_answer").await, "degraded");
    world.database.server().freeze(false);
    world.nodes[0].is_calm("VerbatimPostgresDown").await;
    world.database.server().kill9();
    world.nodes[0].fires("VerbatimPostgresDown").await;
    assert_eq!(world.nodes[0].tells("database", "no_answer").await, "degraded");
    world.database.server().start_again().await.expect("Postgres starts again");
    world.nodes[0].is_ready().await;

    // A stream is nearly full, and then stores nothing.
    let jetstream = jetstream::new(world.nats.connect(NatsUser::Operator).await.expect("NATS"));
    let mut stream = jetstream.get_stream("CHAT_0").await.expect("the stream");
    let info = stream.info().await.expect("the stream");
    let (mut config, bytes) = (info.config.clone(), info.state.bytes);
    config.max_bytes = i64::try_from(bytes).expect("small") + 10;
    jetstream.update_stream(config.clone()).await.expect("updated");
    world.nodes[0].fires("VerbatimStreamNearlyFull").await;
    let checked = world.runs(&["check"]).await;
    assert!(
        checked.code == Some(0) && checked.stdout.contains("WARNING  fullness: CHAT_0 is"),
        "{checked:?}"
    );
    assert!(checked.stdout.contains("ok       disks: the fullest nats-server uses 0 %"), "{checked:?}");
    assert_eq!(world.nodes[0].tells("log", "nearly_full").await, "degraded");
    let before = world.nodes[0].metrics().await;
    ana.sends(&notes, &key(), "too much").await.refuses(503, "unavailable");
    world.nodes[0].fires_since("VerbatimAppendsFail", &before).await;
    assert_eq!(world.nodes[0].tells("log", "refuses_appends").await, "degraded");
    config.max_bytes = -1;
    jetstream.update_stream(config).await.expect("updated");
    ana.says(&notes, "enough room").await;
    world.nodes[0].is_calm("VerbatimStreamNearlyFull").await;
    world.finish_without_views().await;
}

#[tokio::test]
async fn a_limit_that_bites_is_named_by_its_policy() {
    let mut world = World::empty(1).await;
    world.add_node_with("api,gateway,projector", &[("VERBATIM_LIMIT_SEARCH", "1/1000:1")]).await;
    let ana = world.person("ana").await;
    let before = world.nodes[0].metrics().await;
    ana.get("/v1/messages?query=pizza").await.expect(200);
    for _ in 0..10 {
        ana.get("/v1/messages?query=pizza").await.refuses(429, "rate_limited");
    }
    world.nodes[0].fires_since("VerbatimLimitsBite", &before).await;
    let told = world.nodes[0].metrics().await;
    assert!(told.contains("verbatim_rate_limited_total{policy=\"search\"} 10"), "{told}");
    world.finish().await;
}
