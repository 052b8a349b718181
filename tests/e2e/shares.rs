//! One account may send any number of requests: those beyond its share wait, and nobody else has to.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _, future::join_all, stream};
use serde_json::json;
use tokio::{io::AsyncWriteExt as _, net::TcpStream, time::timeout};
use tokio_tungstenite::tungstenite::Message;

use crate::world::{PATIENCE, World, assert_linked, eventually, key, open};

#[tokio::test]
async fn reads_of_one_account_beyond_its_share_are_refused_and_others_are_answered() {
    let world = World::start().await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let said = ana.says(&lunch, "to read").await["position"].as_u64().expect("a position");
    let ahead = format!("/v1/conversations/{}/messages?min_position={}", lunch.id, said + 1_000);

    // Each request waits two seconds for a position that never comes.
    let flood = join_all((0..400).map(|_| ana.get(&ahead)));
    let quiet = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        for _ in 0..20 {
            assert_eq!(ben.history(&lunch, said).await, ["to read"]);
        }
    };
    let (answers, ()) = tokio::join!(flood, quiet);
    let refused = answers.iter().filter(|answer| answer.status == 429).count();
    assert!(refused >= 400 - 256, "{refused} are refused, and no more than 256 are under way at once");
    assert!(refused < 400, "a share is served");
    let one = answers.into_iter().find(|answer| answer.status == 429).expect("a refusal");
    one.refuses(429, "too_many_at_once");
    assert_eq!(ana.history(&lunch, said).await, ["to read"], "nothing is left behind");
    world.finish().await;
}

#[tokio::test]
async fn sockets_that_read_nothing_take_no_resume_from_others() {
    let world = World::start().await;
    let (ana, cleo, ben) = (world.person("ana").await, world.person("cleo").await, world.person("ben").await);
    let (flood, lunch) = (ana.starts_group("Flood", &[&cleo]).await, ben.starts_group("Lunch", &[]).await);
    let cursors = [ana.connects().await.cursor(), cleo.connects().await.cursor()];
    let of_ben = ben.connects().await.cursor();
    // These are more bytes than the network buffers for a socket that does not read.
    let large = "x".repeat(16 << 10);
    let sends = (0..1_000).map(|_| async { ana.sends(&flood, &key(), &large).await.expect(201) });
    stream::iter(sends).buffer_unordered(32).collect::<Vec<_>>().await;
    ben.says(&lunch, "missed").await;

    let mut silent = Vec::new();
    for (person, cursor) in [&ana, &cleo].into_iter().zip(&cursors) {
        for _ in 0..6 {
            let mut socket = open(person.address, Some(&person.token)).await.expect("a socket");
            let hello = json!({ "op": "hello", "cursor": cursor }).to_string();
            socket.send(Message::text(hello)).await.expect("said");
            silent.push(socket);
        }
    }
    let node = &world.nodes[0];
    eventually("both catch up, each with its share", async || {
        node.metric("verbatim_resumes_total").await >= 8
    })
    .await;
    let resumed = timeout(Duration::from_secs(10), async { ben.resumes(&of_ben).await.sees("missed").await });
    resumed.await.expect("a turn for somebody else");
    eventually("nobody keeps a turn by reading nothing", async || {
        node.metric("verbatim_resumes_total").await >= 13
    })
    .await;
    // One more socket does not read, until its turn is taken away. It reads after that, and misses nothing.
    let mut late = open(ana.address, Some(&ana.token)).await.expect("a socket");
    let hello = json!({ "op": "hello", "cursor": cursors[0] }).to_string();
    late.send(Message::text(hello)).await.expect("said");
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut chain = Vec::new();
    let reads = async {
        loop {
            let text = match late.next().await.expect("an open socket").expect("a message") {
                Message::Text(text) => text,
                Message::Close(closed) => panic!("{closed:?} after {} events", chain.len()),
                _ => continue,
            };
            let frame: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            match frame["op"].as_str() {
                Some("event") if frame["conversation_id"] == flood.id.as_str() => {
                    let number = |name: &str| frame[name].as_u64().expect("a number");
                    chain.push((number("position"), number("previous")));
                }
                Some("caught_up") => return,
                _ => {}
            }
        }
    };
    timeout(PATIENCE, reads).await.expect("it catches up");
    assert_linked(&chain);
    assert!(chain.len() >= 1_000, "{}", chain.len());
    drop(silent);
    world.finish().await;
}

#[tokio::test]
async fn connections_that_say_nothing_take_no_place_from_others_of_their_address() {
    let mut world = World::empty(1).await;
    world.add_node_with("api,gateway,projector", &[("VERBATIM_CONNECTIONS", "80")]).await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let mut of_ben = ben.connects().await;
    let mut silent = Vec::new();
    for _ in 0..100 {
        let mut connection = TcpStream::connect(ana.address).await.expect("a connection");
        // The server may already have closed the connection.
        let _ = connection.write_all(b"GET /v1/info HTTP/1.1\r\nhost: x\r\nslow: ").await;
        silent.push(connection);
    }
    let node = &world.nodes[0];
    eventually("the oldest are closed", async || node.metric("verbatim_newcomers_closed_total").await >= 80)
        .await;
    for n in 0..10 {
        let text = format!("number {n}");
        ana.says(&lunch, &text).await;
        of_ben.sees(&text).await;
        let cleo = world.person("cleo").await;
        cleo.connects().await.leaves().await;
    }
    drop(silent);
    world.finish().await;
}
