#![allow(clippy::unwrap_used)]

mod floods;
mod reading;

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::{
    domain::Position,
    gateway::wire::{
        incoming::{Event, Incoming},
        socket::*,
        websocket,
    },
};

const SOON: Duration = Duration::from_secs(3);

/// A socket over real TCP, and the client's end of it.
async fn pair(limits: SocketLimits) -> (Arc<Socket>, Incoming, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    stream.writable().await.unwrap();
    let (socket, incoming) = Socket::open(stream, Bytes::new(), limits);
    (socket, incoming, client)
}

/// Reads until the end, as a session does.
fn drive(mut incoming: Incoming) -> JoinHandle<Vec<Event>> {
    tokio::spawn(async move {
        let mut events = Vec::new();
        loop {
            let event = incoming.next().await;
            events.push(event);
            if matches!(events.last(), Some(Event::Gone(_))) {
                return events;
            }
        }
    })
}

async fn events(driven: JoinHandle<Vec<Event>>) -> Vec<Event> {
    timeout(SOON, driven).await.expect("it ends").unwrap()
}

/// A masked frame. The mask is zero, so the payload stays unchanged.
fn from_client(first: u8, payload: &[u8]) -> Vec<u8> {
    assert!(payload.len() < 126);
    [&[first, 0x80 | payload.len() as u8, 0, 0, 0, 0], payload].concat()
}

async fn read_frame(client: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 2];
    timeout(SOON, client.read_exact(&mut head)).await.expect("a frame comes").ok()?;
    let len = match head[1] {
        126 => usize::from(client.read_u16().await.unwrap()),
        127 => usize::try_from(client.read_u64().await.unwrap()).unwrap(),
        len => usize::from(len),
    };
    let mut payload = vec![0; len];
    client.read_exact(&mut payload).await.unwrap();
    Some((head[0], payload))
}

async fn read_text(client: &mut TcpStream) -> String {
    let (first, payload) = read_frame(client).await.expect("not closed");
    assert_eq!(first, 0x81);
    String::from_utf8(payload).unwrap()
}

/// The code and word of the next frame, a close frame.
async fn read_close(client: &mut TcpStream) -> (u16, String) {
    let (first, payload) = read_frame(client).await.expect("not cut");
    assert_eq!(first, 0x88, "{}", String::from_utf8_lossy(&payload));
    let reason = String::from_utf8(payload[2..].to_vec()).unwrap();
    let word = reason.split(';').next().unwrap().to_owned();
    (u16::from_be_bytes([payload[0], payload[1]]), word)
}

fn frame(text: &str) -> Bytes {
    websocket::text(text.as_bytes())
}

fn durable(position: u64, frame: Bytes) -> Durable {
    let conversation = "01930f3c-5a7b-7c3d-8e4f-0123456789ab".parse().unwrap();
    Durable { tag: (conversation, Position(position)), frame }
}

/// A frame of `len` bytes that begins with its number.
fn numbered(number: usize, len: usize) -> Durable {
    durable(number as u64, frame(&format!("{number:08}{}", "x".repeat(len - 8))))
}

/// Sends large frames until the kernel takes no more. Returns how many were sent.
fn fill(socket: &Socket) -> usize {
    let mut sent = 0;
    while socket.out().waiting.is_empty() {
        socket.deliver([&numbered(sent, 60_000)]);
        sent += 1;
    }
    sent
}

#[tokio::test]
async fn direct_queued_and_vectored_writes_keep_one_order() {
    let (socket, incoming, mut client) = pair(SocketLimits { frames: 3000, ..SocketLimits::default() }).await;
    let driven = drive(incoming);
    let mut sent = 0;
    let wide = fill(&socket);
    sent += wide;
    for size in [1usize, 70, 200] {
        let frames: Vec<_> = (sent..sent + size).map(|number| numbered(number, 300)).collect();
        socket.deliver(&frames);
        sent += size;
    }
    let read = tokio::spawn(async move {
        for number in 0.. {
            let (first, payload) = read_frame(&mut client).await.unwrap();
            if first == 0x88 {
                return number;
            }
            assert_eq!(payload[..8], *format!("{number:08}").as_bytes());
        }
        0
    });
    while sent < wide + 1271 {
        let frames: Vec<_> = (sent..sent + 10).map(|number| numbered(number, 300)).collect();
        socket.deliver(&frames);
        sent += 10;
        tokio::task::yield_now().await;
    }
    socket.close(Close::DRAIN);
    assert_eq!(timeout(SOON, read).await.unwrap().unwrap(), sent);
    assert_eq!(events(driven).await, [Event::Gone(Some(Close::DRAIN))]);
}

#[tokio::test]
async fn a_batch_that_is_cut_anywhere_arrives_whole_without_another_send() {
    let (socket, incoming, mut client) =
        pair(SocketLimits { bytes: 1 << 30, ..SocketLimits::default() }).await;
    let _driven = drive(incoming);
    sleep(Duration::from_millis(20)).await;
    let frames: Vec<_> = (0..100).map(|number| numbered(number, 200_001)).collect();
    socket.deliver(&frames);
    assert!(!socket.out().waiting.is_empty(), "it was too much for the kernel");
    for number in 0..100 {
        assert_eq!(read_text(&mut client).await[..8], format!("{number:08}"));
    }
}

#[tokio::test]
async fn an_ephemeral_frame_that_is_cut_is_completed() {
    let (socket, incoming, mut client) =
        pair(SocketLimits { bytes: 1 << 30, ..SocketLimits::default() }).await;
    let _driven = drive(incoming);
    sleep(Duration::from_millis(20)).await;
    assert!(socket.offer(&numbered(0, 20_000_000).frame));
    socket.send(&frame("next"));
    assert_eq!(read_text(&mut client).await.len(), 20_000_000);
    assert_eq!(read_text(&mut client).await, "next");
}

#[tokio::test]
async fn a_slow_reader_is_closed_at_its_bound_and_others_go_on() {
    for limits in [
        SocketLimits { frames: 256, bytes: usize::MAX, ..SocketLimits::default() },
        SocketLimits { frames: usize::MAX, bytes: 1 << 20, ..SocketLimits::default() },
    ] {
        let (slow, incoming, mut sleeper) = pair(limits).await;
        let (quick, other, mut reader) = pair(limits).await;
        let (driven, _other) = (drive(incoming), drive(other));
        let mut sent = 0;
        while slow.is_open() {
            let next = numbered(sent, 20_000);
            slow.deliver([&next]);
            quick.deliver([&next]);
            assert_eq!(read_text(&mut reader).await[..8], format!("{sent:08}"));
            sent += 1;
        }
        assert!(quick.is_open());
        assert!(slow.out().waiting.bytes() < 21_000, "what waited is forgotten at once");
        let mut received = 0;
        let last = loop {
            let (first, payload) = read_frame(&mut sleeper).await.unwrap();
            if first == 0x88 {
                break payload;
            }
            assert_eq!(payload[..8], *format!("{received:08}").as_bytes(), "no hole before the end");
            received += 1;
        };
        assert!(received < sent);
        assert_eq!(last[..2], 4409u16.to_be_bytes());
        drop(sleeper);
        assert_eq!(events(driven).await, [Event::Gone(Some(Close::SLOW_CONSUMER))]);
    }
}

#[tokio::test]
async fn who_never_reads_again_is_cut_after_the_linger() {
    let linger = Duration::from_millis(100);
    let (socket, incoming, _client) = pair(SocketLimits { linger, ..SocketLimits::default() }).await;
    let driven = drive(incoming);
    fill(&socket);
    socket.close(Close::EXIT);
    assert_eq!(events(driven).await, [Event::Gone(Some(Close::EXIT))]);
    assert!(socket.out().waiting.is_empty());
}

#[tokio::test]
async fn ephemeral_frames_are_dropped_when_anything_waits() {
    let (socket, incoming, mut client) = pair(SocketLimits::default()).await;
    assert!(socket.offer(&frame("typing")));
    assert_eq!(read_text(&mut client).await, "typing");
    let sent = fill(&socket);
    assert!(!socket.offer(&frame("typing")));
    let _driven = drive(incoming);
    for number in 0..sent {
        assert_eq!(read_text(&mut client).await[..8], format!("{number:08}"));
    }
    assert!(socket.drained().await);
    socket.hold();
    assert!(!socket.offer(&frame("typing")), "not before ready");
    socket.release(&frame("ready"), |_| true);
    assert_eq!(read_text(&mut client).await, "ready");
}

#[tokio::test]
async fn frames_on_hold_come_after_the_first_one_and_only_those_that_are_kept() {
    let (socket, _incoming, mut client) = pair(SocketLimits::default()).await;
    socket.deliver([&durable(1, frame("one"))]);
    socket.hold();
    for position in 2..=5 {
        socket.deliver([&durable(position, frame(&position.to_string()))]);
    }
    socket.send(&frame("answer"));
    socket.send_if_live(&frame("not there yet"));
    socket.release(&frame("ready"), |(_, position)| position.0 > 3);
    socket.deliver([&durable(6, frame("6"))]);
    socket.send_if_live(&frame("heartbeat"));
    for expected in ["one", "answer", "ready", "4", "5", "6", "heartbeat"] {
        assert_eq!(read_text(&mut client).await, expected);
    }
}

#[tokio::test]
async fn hold_is_bounded_and_forgotten_by_a_close() {
    let (socket, incoming, mut client) = pair(SocketLimits { frames: 4, ..SocketLimits::default() }).await;
    let _driven = drive(incoming);
    socket.hold();
    for position in 0..4 {
        socket.deliver([&durable(position, frame("secret"))]);
    }
    assert!(socket.holds_all());
    socket.deliver([&durable(4, frame("secret")), &durable(5, frame("secret"))]);
    assert!(!socket.holds_all() && socket.is_open());
    socket.hold();
    socket.deliver([&durable(6, frame("6"))]);
    assert!(socket.holds_all(), "it begins anew");
    socket.release(&frame("ready"), |_| true);
    for expected in ["ready", "6"] {
        assert_eq!(read_text(&mut client).await, expected);
    }
    socket.hold();
    for position in 7..=12 {
        socket.deliver([&durable(position, frame("secret"))]);
    }
    socket.release(&frame("ready"), |_| true);
    assert!(socket.out().held.is_none());
    assert_eq!(read_close(&mut client).await, (4409, "slow_consumer".to_owned()));
    client.shutdown().await.unwrap();
    assert_eq!(read_frame(&mut client).await, None, "nothing follows a close");
}

#[tokio::test]
async fn a_violation_is_told_and_ends_the_socket_without_the_linger() {
    let (socket, incoming, mut client) = pair(SocketLimits::default()).await;
    let driven = drive(incoming);
    client.write_all(&[0x81, 0x01, b'a', b'?', b'?']).await.unwrap();
    assert_eq!(read_close(&mut client).await, (1002, "protocol_error".to_owned()));
    assert_eq!(read_frame(&mut client).await, None);
    client.write_all(&from_client(0x88, &1002u16.to_be_bytes())).await.unwrap();
    drop(client);
    assert_eq!(events(driven).await, [Event::Gone(Some(Close::PROTOCOL))]);
    assert!(!socket.is_open());
}

#[tokio::test]
async fn a_client_that_vanishes_is_gone_and_sending_to_it_does_nothing() {
    let (socket, incoming, client) = pair(SocketLimits::default()).await;
    let driven = drive(incoming);
    drop(client);
    assert_eq!(events(driven).await, [Event::Gone(None)]);
    socket.send(&frame("x"));
    socket.close(Close::DRAIN);
    assert!(!socket.offer(&frame("x")) && !socket.drained().await);
}

#[tokio::test]
async fn the_connection_ends_with_its_reader_though_others_hold_the_socket() {
    let (socket, incoming, mut client) = pair(SocketLimits::default()).await;
    let driven = drive(incoming);
    socket.close(Close::LOGIN_REVOKED);
    assert_eq!(read_close(&mut client).await, (4503, "login_revoked".to_owned()));
    client.write_all(&from_client(0x88, &4503u16.to_be_bytes())).await.unwrap();
    assert_eq!(events(driven).await, [Event::Gone(Some(Close::LOGIN_REVOKED))]);
    assert_eq!(read_frame(&mut client).await, None);
    assert_eq!(Arc::strong_count(&socket), 1, "this test still holds it");
}

#[tokio::test]
async fn what_waits_is_written_while_a_message_is_worked_on() {
    let (socket, _incoming, mut client) = pair(SocketLimits::default()).await;
    let sent = fill(&socket);
    let read = async {
        for number in 0..=sent {
            assert_eq!(read_text(&mut client).await[..8], format!("{number:08}"));
            if number == 0 {
                socket.deliver([&numbered(sent, 100)]);
            }
        }
        "worked"
    };
    assert_eq!(timeout(SOON, socket.during(read)).await.unwrap(), "worked");
}

#[tokio::test]
async fn an_idle_socket_is_small() {
    let (_socket, mut incoming, _client) = pair(SocketLimits::default()).await;
    let sizes = (size_of::<Socket>(), size_of::<Incoming>(), size_of_val(&incoming.next()));
    println!("{sizes:?}");
    assert!(sizes.0 <= 400 && sizes.1 <= 256 && sizes.2 <= 1024, "{sizes:?}");
}
