//! Clients that send more than they may, or more than the server has read so far.

use crate::gateway::wire::socket::tests::*;

/// Writes endlessly, on its own thread, until the socket ends.
fn pour(client: std::net::TcpStream, frame: &[u8]) {
    let many = frame.repeat(100_000);
    client.set_nonblocking(false).unwrap();
    std::thread::spawn(move || while io::Write::write_all(&mut &client, &many).is_ok() {});
}

#[tokio::test]
async fn a_client_that_sends_too_much_is_told_so_and_is_heard_no_more() {
    let fragments = from_client(0x00, b"");
    for frame in [from_client(0x89, b""), from_client(0x81, b"x"), fragments] {
        let (socket, incoming, client) = pair(SocketLimits::default()).await;
        let client = client.into_std().unwrap();
        let mut reading = TcpStream::from_std(client.try_clone().unwrap()).unwrap();
        // A continuation needs a message to continue.
        let begun = if frame[0] == 0 { from_client(0x01, b"") } else { Vec::new() };
        reading.write_all(&begun).await.unwrap();
        let driven = drive(incoming);
        pour(client, &frame);
        let closing = async {
            let mut last = Vec::new();
            loop {
                let mut head = [0; 2];
                reading.read_exact(&mut head).await.unwrap();
                last.resize(usize::from(head[1]), 0);
                reading.read_exact(&mut last).await.unwrap();
                if head[0] == 0x88 {
                    return u16::from_be_bytes([last[0], last[1]]);
                }
            }
        };
        assert_eq!(timeout(SOON, closing).await.expect("a close frame"), 4408, "{frame:?}");
        let ended = timeout(SOON + socket.limits.linger, driven).await.expect("the linger ends").unwrap();
        assert_eq!(ended.last(), Some(&Event::Gone(Some(Close::RATE_LIMITED))));
        assert!(
            ended.len() <= 1 + crate::gateway::wire::budget::FRAMES.at_once as usize * 2,
            "{}",
            ended.len()
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_fires_though_the_input_never_ends() {
    let (socket, mut incoming, client) = pair(SocketLimits::default()).await;
    pour(client.into_std().unwrap(), &from_client(0x8A, b""));
    socket.close(Close::DRAIN);
    let ended = tokio::spawn(async move { incoming.next().await });
    let ended = timeout(SOON + socket.limits.linger, ended).await;
    socket.end();
    assert_eq!(ended.expect("the linger ends").unwrap(), Event::Gone(Some(Close::DRAIN)));
}

#[tokio::test(start_paused = true)]
async fn signs_of_life_that_came_while_nobody_read_are_not_too_many() {
    let (socket, incoming, mut client) = pair(SocketLimits::default()).await;
    let mut incoming = incoming;
    client.write_all(&from_client(0x81, b"hello")).await.unwrap();
    assert_eq!(incoming.next().await, Event::Text("hello".to_owned()));
    socket
        .during(async {
            for _ in 0..30 {
                tokio::time::advance(Duration::from_secs(5)).await;
                client.write_all(&from_client(0x89, b"")).await.unwrap();
            }
        })
        .await;
    client.write_all(&from_client(0x81, b"more")).await.unwrap();
    assert_eq!(incoming.next().await, Event::Text("more".to_owned()));
}
