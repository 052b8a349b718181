//! The metrics in `/metrics`, all of which `docs/metrics.md` describes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use sqlx::Connection as _;

use crate::world::{World, eventually};

/// The rows of the table: the labels of each metric.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let page = include_str!("../../docs/metrics.md");
    let quoted = |text: &str| text.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').collect();
        (quoted(cells[1])[0].clone(), quoted(cells[2]).into_iter().collect())
    })
    .collect()
}

/// The samples of an exposition: name, labels, value.
fn samples(text: &str) -> Vec<(String, BTreeSet<String>, f64)> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').expect("a value");
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let labels =
                labels.split("\",").filter_map(|label| label.split_once('=')).map(|label| label.0.to_owned());
            (name.to_owned(), labels.collect(), value.parse().expect("a number"))
        })
        .collect()
}

/// The sum of all series that begin with `series`.
fn sum(text: &str, series: &str) -> f64 {
    let lines = text.lines().filter(|line| line.starts_with(series));
    lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
}

#[tokio::test]
async fn the_metrics_tell_what_happens_and_the_table_tells_of_them() {
    let world = World::with_streams(2).await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let mut device = ben.connects().await;
    device.says(&lunch, "by frame").await;
    ana.says(&lunch, "by request").await;
    device.sees("by request").await;
    let cursor = device.cursor();
    device.leaves().await;
    ana.says(&lunch, "missed").await;
    let mut device = ben.resumes(&cursor).await;
    device.sees("missed").await;
    device.catches_up().await;
    ana.get("/v1/nothing-here").await.expect(404);
    ana.with_token(Some("nobody's")).get("/v1/me").await.expect(401);
    // The listener refuses this one before it reaches the API.
    ana.get(&format!("/v1/me?{}", "a".repeat(9_000))).await.expect(414);
    let node = &world.nodes[0];
    eventually("the views have come along", || async {
        let told = node.metrics().await;
        let head = sum(&told, "verbatim_stream_position{stream=\"CHAT_");
        let lag = sum(&told, "verbatim_view_lag_events");
        head > 0.0 && lag == 0.0 && sum(&told, "verbatim_hub_position") == head
    })
    .await;
    let told = node.metrics().await;
    for (series, least) in [
        ("verbatim_http_requests_total{operation=\"send_message\",status=\"201\"}", 2.0),
        ("verbatim_http_requests_total{operation=\"none\",status=\"404\"}", 1.0),
        ("verbatim_http_requests_total{operation=\"none\",status=\"414\"}", 1.0),
        ("verbatim_http_requests_total{operation=\"connect\",status=\"101\"}", 2.0),
        ("verbatim_http_request_duration_seconds_count{operation=\"send_message\"}", 2.0),
        ("verbatim_frames_received_total{op=\"hello\"}", 2.0),
        ("verbatim_frames_received_total{op=\"send\"}", 1.0),
        ("verbatim_handshakes_total{result=\"opened\"}", 2.0),
        ("verbatim_handshake_duration_seconds_count", 2.0),
        ("verbatim_resume_results_total{result=\"caught_up\"}", 1.0),
        ("verbatim_resume_duration_seconds_count", 1.0),
        ("verbatim_socket_states{state=\"live\"}", 1.0),
        ("verbatim_append_duration_seconds_count", 4.0),
        ("verbatim_append_batch_size_sum", 3.0),
        ("verbatim_scheduler_delay_seconds_count", 1.0),
        ("verbatim_nats_up", 1.0),
        ("verbatim_postgres_up", 1.0),
        ("verbatim_ready", 1.0),
        ("verbatim_stream_up{stream=\"CHAT_1\"}", 1.0),
        ("verbatim_stream_up{stream=\"AUDIT\"}", 1.0),
        ("verbatim_stream_consumers", 2.0),
        ("verbatim_projector_position", 1.0),
        ("verbatim_cache_hits_total{cache=\"access_tokens\"}", 1.0),
        ("verbatim_cache_entries{cache=\"rosters\"}", 1.0),
        ("process_resident_memory_bytes", 1e6),
        ("process_open_fds", 10.0),
    ] {
        assert!(sum(&told, series) >= least, "{series} is less than {least} in {told}");
    }
    // Counters of failures are shown from the beginning, so that the first failures are an increase.
    for series in [
        "verbatim_append_failures_total{reason=\"unavailable\"} 0",
        "verbatim_handshakes_total{result=\"at_capacity\"} 0",
        "verbatim_http_requests_total{operation=\"send_message\",status=\"503\"} 0",
    ] {
        assert!(told.lines().any(|line| line == series), "{series} is not in {told}");
    }
    let documented = documented();
    for (name, mut labels, _) in samples(&told) {
        let of_histogram = ["_bucket", "_sum", "_count"];
        let plain = of_histogram.into_iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
        labels.remove("le");
        let expected = documented.get(&name).or_else(|| documented.get(plain));
        assert_eq!(expected, Some(&labels), "the labels of {name} in docs/metrics.md");
    }

    // Every node counts the parked deliveries once a second. That must not read the delivery log, which may be long.
    let mut postgres = sqlx::PgConnection::connect(&world.database.url).await.expect("Postgres");
    sqlx::raw_sql("set enable_seqscan = off").execute(&mut postgres).await.expect("set");
    let count = "explain select count(*) from hooks.delivery where state = 'parked'";
    let plan: Vec<String> = sqlx::query_scalar(count).fetch_all(&mut postgres).await.expect("a plan");
    assert!(plan.iter().any(|line| line.contains("delivery_parked")), "{plan:#?}");

    device.tells(json!({ "op": "authenticate", "token": "none" })).await;
    device.is_closed_with().await;
    let told = node.metrics().await;
    assert_eq!(sum(&told, "verbatim_socket_closes_total{code=\"4501\",reason=\"invalid_token\"}"), 1.0);
    eventually("the socket is gone", || async {
        let told = node.metrics().await;
        sum(&told, "verbatim_socket_states") == 0.0 && sum(&told, "verbatim_socket_backlog_bytes") == 0.0
    })
    .await;
    world.finish().await;
}

#[tokio::test]
async fn the_lag_of_views_grows_when_their_projector_is_dead_and_when_postgres_is() {
    let mut world = World::empty(1).await;
    world.add_node("api,gateway").await;
    world.add_node("projector").await;
    let ana = world.person("ana").await;
    let notes = ana.starts_group("Notes", &[]).await;
    world.nodes[0].is_ready().await;
    world.nodes[1].kill9().await;
    ana.says(&notes, "nobody projects this").await;
    let lag = async || {
        let told = world.nodes[0].metrics().await;
        let of = |what: &str| {
            sum(&told, &format!("verbatim_view_lag_{what}{{view=\"messages\",stream=\"CHAT_0\"}}"))
        };
        (of("events"), of("seconds"))
    };
    eventually("the views lag", || async { lag().await.0 >= 1.0 }).await;
    let (_, first) = lag().await;
    eventually("the lag grows", || async { lag().await.1 > first + 1.0 }).await;
    assert!(!world.nodes[0].metrics().await.contains("verbatim_projector_position{"));
    let (_, first) = lag().await;
    let grows_meanwhile = async {
        eventually("the lag grows without Postgres", || async { lag().await.1 > first + 3.0 }).await;
        assert_eq!(sum(&world.nodes[0].metrics().await, "verbatim_postgres_up"), 0.0);
    };
    world.database.is_gone_for(grows_meanwhile).await;
    let (_, first) = lag().await;
    world.database.does("alter schema view rename to mislaid").await;
    eventually("the lag grows without views", || async { lag().await.1 > first + 2.0 }).await;
    world.database.does("alter schema mislaid rename to view").await;
    world.nodes.remove(1);
    world.add_node("projector").await;
    let lag_of = async || sum(&world.nodes[0].metrics().await, "verbatim_view_lag_seconds");
    eventually("the views have caught up", || async { lag_of().await == 0.0 }).await;
    world.finish().await;
}
