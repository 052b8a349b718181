//! An overloaded node refuses the least important work, continues with the rest, and recovers by itself.
//! `VERBATIM_OVERLOAD_SECONDS` makes the load last longer.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::future::join_all;
use serde_json::json;
use tokio::time::timeout;

use crate::world::{PATIENCE, Person, World, eventually, key};

/// Readers, and the concurrent requests of each, which are the maximum for one user.
const READERS: usize = 12;
const AT_ONCE: usize = 8;
/// The level from which on reads of history are refused.
const HISTORY: u64 = 5;
const LEVEL: &str = "verbatim_overload_level";
/// The allowed refusals.
const REFUSALS: [(u16, &str); 4] = [
    (503, "temporary_reduced_capacity"),
    (503, "unavailable"),
    (503, "at_capacity"),
    (429, "too_many_at_once"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_overloaded_node_refuses_in_order_answers_no_500_and_comes_back_by_itself() {
    let mut world = World::empty(1).await;
    let settings = [("VERBATIM_OVERLOAD_WAIT", "10"), ("VERBATIM_DATABASE_CONNECTIONS", "2")];
    world.add_node_with("api,gateway,projector", &settings).await;
    let ana = world.person("ana").await;
    let lunch = ana.starts_group("Lunch", &[]).await;
    let large = "x".repeat(2 << 10);
    let mut last = 0;
    for _ in 0..200 {
        last = ana.says(&lunch, &large).await["position"].as_u64().expect("a position");
    }
    let page = format!("/v1/conversations/{}/messages?limit=200", lunch.id);
    ana.get(&format!("{page}&min_position={last}")).await.expect(200);
    let mut readers = Vec::new();
    for _ in 0..READERS {
        let reader = world.person("ben").await;
        ana.invites(&lunch, &reader).await.expect(201);
        readers.push(reader);
    }
    let mut device = ana.connects().await;
    let node = &world.nodes[0];

    let (over, said) = (AtomicBool::new(false), Mutex::new(BTreeMap::new()));
    let reads = |reader: Person| {
        let (over, said, page) = (&over, &said, &page);
        async move {
            while !over.load(Relaxed) {
                let answer = reader.get(page).await;
                let code = answer.body["code"].as_str().unwrap_or_default().to_owned();
                if code == "temporary_reduced_capacity" {
                    assert_eq!(answer.headers["retry-after"], "2");
                    let kind = answer.body["type"].as_str().expect("a type");
                    assert!(kind.ends_with("#temporary-reduced-capacity"), "{kind}");
                    // A client that obeyed `Retry-After` would make too little load.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                *said.lock().expect("no panic").entry((answer.status.as_u16(), code)).or_insert(0) += 1;
            }
        }
    };
    let load = join_all(readers.iter().flat_map(|reader| (0..AT_ONCE).map(|_| reads(reader.clone()))));
    let meanwhile = async {
        node.fires("VerbatimOverloaded").await;
        eventually("reads are refused", async || {
            node.metrics().await.lines().any(|line| line.starts_with("verbatim_shed_total{work=\"history\"}"))
        })
        .await;
        let refused = async {
            loop {
                let receipt =
                    json!({ "op": "read", "id": "receipt", "conversation_id": lunch.id, "position": last });
                device.tells(receipt).await;
                let answer = device.waits_for("an answer", |frame| frame["id"] == "receipt").await;
                if answer["code"] == "temporary_reduced_capacity" {
                    return answer;
                }
            }
        };
        let refused = timeout(PATIENCE, refused).await.expect("receipts are refused on a socket");
        assert_eq!((&refused["op"], &refused["retry_after_ms"]), (&json!("error"), &json!(2_000)));
        let seconds = std::env::var("VERBATIM_OVERLOAD_SECONDS").ok().and_then(|n| n.parse().ok());
        let until = tokio::time::Instant::now() + Duration::from_secs(seconds.unwrap_or(0));
        loop {
            let sent = ana.sends(&lunch, &key(), "meanwhile").await;
            assert!([201, 503].contains(&sent.status.as_u16()), "{sent:?}");
            if tokio::time::Instant::now() >= until {
                break;
            }
        }
        over.store(true, Relaxed);
    };
    tokio::join!(load, meanwhile);

    let said = said.into_inner().expect("no panic");
    for ((status, code), count) in &said {
        let is_refusal = REFUSALS.contains(&(*status, code.as_str()));
        assert!(*status == 200 || is_refusal, "{count} answers: {status} {code}");
    }
    assert!(said.contains_key(&(200, String::new())), "{said:?}");
    eventually("the node has come back", async || node.metric(LEVEL).await == 0).await;
    let lines = node.lines_with("verbatim::overload::shedding");
    let number = |line: &serde_json::Value| line["overload_level"].as_u64().expect("a level");
    let levels: Vec<u64> = std::iter::once(0).chain(lines.iter().map(number)).collect();
    assert!(levels.iter().any(|level| *level >= HISTORY), "{levels:?}");
    // There is at most one line of warning a second, and each step from 0 is a warning.
    let is_step = |pair: &[u64]| pair[0].abs_diff(pair[1]) == 1 || pair.contains(&0);
    assert!(levels.windows(2).all(is_step), "one step after the other: {levels:?}");
    let text = node.metrics().await;
    assert!(!text.contains("verbatim_shed_total{work=\"sends\"}") || levels.contains(&8), "{levels:?}");
    ana.get(&page).await.expect(200);
    node.is_ready().await;
    world.finish().await;
}
