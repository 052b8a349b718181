//! Answers that clients do not read.

use std::cell::Cell;

use futures_util::future::join_all;
use serde_json::json;
use tokio::{io::AsyncWriteExt as _, net::TcpSocket};

use crate::world::{World, eventually, key};

/// The resident memory of a process, in MiB.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1024
}

#[tokio::test]
async fn whoever_does_not_read_their_answers_costs_a_bounded_memory_and_nobody_else() {
    let world = World::start().await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let notes = ana.starts_group("Notes", &[&ben]).await;
    let path = format!("/v1/conversations/{}/messages", notes.id);
    let text = "\"".repeat(16_000);
    let mut last = 0;
    for _ in 0..200 {
        let sent = ana.post(&path, json!({ "client_id": key(), "text": text })).await.expect(201);
        last = sent["position"].as_u64().expect("position");
    }
    ana.history(&notes, last).await;
    let page = ana.get(&format!("{path}?limit=200")).await;
    let bytes: usize = page.headers["content-length"].to_str().expect("text").parse().expect("a number");
    assert!(bytes > 5_000_000, "{bytes}");
    let (pid, before) = (world.nodes[0].pid(), resident(world.nodes[0].pid()));

    let asks_and_reads_nothing = || async {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4096).expect("a small buffer");
        let mut stream = socket.connect(ana.address).await.expect("connection");
        let request = format!(
            "GET {path}?limit=200 HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\r\n",
            ana.token
        );
        stream.write_all(request.as_bytes()).await.expect("sent");
        stream
    };
    let highest = Cell::new(before);
    let mut silent = Vec::new();
    for _ in 0..3 {
        silent.extend(join_all((0..20).map(|_| asks_and_reads_nothing())).await);
        highest.set(highest.get().max(resident(pid)));
    }
    // Waiting requests of the account itself are refused with another code.
    let is_refused = async || {
        highest.set(highest.get().max(resident(pid)));
        let refused = ana.get(&format!("{path}?limit=200")).await;
        refused.status == 429 && refused.body["code"] == "answers_unread"
    };
    eventually("no more is given to whoever does not read", is_refused).await;
    eventually("the line of the account has moved on", async || ana.get("/v1/me").await.status == 200).await;
    let (most, waits) = (highest.get(), world.nodes[0].metric("verbatim_unread_answer_bytes").await);
    println!(
        "before {before} MiB, with 60 unread answers of {bytes} bytes {most} MiB; {waits} bytes are counted"
    );
    assert!(waits <= 16 << 20, "{waits}");
    assert!(most < before + 200, "{before} MiB grew to {most} MiB");
    eventually("nothing is given later either", is_refused).await;
    ben.get(&format!("{path}?limit=200")).await.expect(200);
    ana.get("/v1/me").await.expect(200);

    drop(silent);
    eventually("what was closed is given back", || async {
        world.nodes[0].metric("verbatim_unread_answer_bytes").await == 0
            && ana.get(&format!("{path}?limit=200")).await.status == 200
    })
    .await;
    println!("after {} MiB", resident(pid));
    world.finish().await;
}
