//! Messages of a client in pieces of any size, and how long a client counts as silent.

use crate::gateway::wire::socket::tests::*;

#[tokio::test]
async fn messages_come_one_by_one_and_pings_are_answered() {
    let (_socket, incoming, mut client) = pair(SocketLimits::default()).await;
    let driven = drive(incoming);
    let all = [
        from_client(0x81, b"one"),
        from_client(0x89, b"ping"),
        from_client(0x01, b"tw"),
        from_client(0x80, b"o"),
        from_client(0x8A, b""),
        from_client(0x88, &1000u16.to_be_bytes()),
    ]
    .concat();
    client.write_all(&all[..20]).await.unwrap();
    sleep(Duration::from_millis(20)).await;
    client.write_all(&all[20..]).await.unwrap();
    assert_eq!(read_frame(&mut client).await, Some((0x8A, b"ping".to_vec())));
    assert_eq!(read_close(&mut client).await, (1000, "bye".to_owned()));
    assert_eq!(read_frame(&mut client).await, None, "then the server closes");
    let text = |text: &str| Event::Text(text.to_owned());
    let expected = [text("one"), text("two"), Event::Gone(Some(Close::BYE))];
    assert_eq!(events(driven).await, expected);
}

#[tokio::test]
async fn bytes_from_before_the_upgrade_are_the_first_to_be_read() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    let hello = from_client(0x81, b"hello");
    let early = Bytes::copy_from_slice(&[&hello[..], &hello[..3]].concat());
    let (_socket, mut incoming) = Socket::open(stream, early, SocketLimits::default());
    assert_eq!(incoming.next().await, Event::Text("hello".to_owned()));
    client.write_all(&hello[3..]).await.unwrap();
    assert_eq!(timeout(SOON, incoming.next()).await.unwrap(), Event::Text("hello".to_owned()));
}

#[tokio::test]
async fn next_can_be_dropped_at_any_time() {
    let (_socket, mut incoming, mut client) = pair(SocketLimits::default()).await;
    let writer = tokio::spawn(async move {
        for number in 0..50 {
            for byte in from_client(0x81, format!("{number}").as_bytes()) {
                client.write_all(&[byte]).await.unwrap();
                tokio::task::yield_now().await;
            }
        }
        client
    });
    for number in 0..50 {
        let event = loop {
            select! {
                biased;
                event = incoming.next() => break event,
                () = tokio::task::yield_now() => {}
            }
        };
        assert_eq!(event, Event::Text(number.to_string()));
    }
    writer.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn silence_and_unfinished_messages_are_measured() {
    let (socket, mut incoming, mut client) = pair(SocketLimits::default()).await;
    let after = |seconds| socket.hearing.born + Duration::from_secs(seconds);
    assert_eq!(socket.hearing.idle_for(after(7)), Duration::from_secs(7));
    assert_eq!(socket.hearing.stalled_for(after(7)), None);
    tokio::time::advance(Duration::from_secs(10)).await;
    client.write_all(&from_client(0x8A, b"")).await.unwrap();
    assert!(timeout(Duration::from_secs(1), incoming.next()).await.is_err());
    assert_eq!(socket.hearing.idle_for(after(12)), Duration::from_secs(2));
    let begun = from_client(0x01, b"begun");
    client.write_all(&begun).await.unwrap();
    assert!(timeout(Duration::from_secs(5), incoming.next()).await.is_err());
    client.write_all(&from_client(0x89, b"")).await.unwrap();
    assert!(timeout(Duration::from_secs(1), incoming.next()).await.is_err());
    assert!(
        socket.hearing.stalled_for(after(60)).unwrap() >= Duration::from_secs(45),
        "a ping does not finish it"
    );
    client.write_all(&from_client(0x80, b"")).await.unwrap();
    assert_eq!(incoming.next().await, Event::Text("begun".to_owned()));
    assert_eq!(socket.hearing.stalled_for(after(60)), None);
}

#[tokio::test(start_paused = true)]
async fn a_client_is_not_silent_while_nobody_listens() {
    let (socket, mut incoming, mut client) = pair(SocketLimits::default()).await;
    client.write_all(&from_client(0x01, b"begun")).await.unwrap();
    assert!(timeout(Duration::from_secs(1), incoming.next()).await.is_err());
    let later = |seconds| Instant::now() + Duration::from_secs(seconds);
    let work = async {
        tokio::time::advance(Duration::from_secs(300)).await;
        assert_eq!(
            (socket.hearing.idle_for(later(0)), socket.hearing.stalled_for(later(0))),
            (Duration::ZERO, None)
        );
    };
    socket.during(work).await;
    assert_eq!(socket.hearing.idle_for(later(49)), Duration::from_secs(49), "from then on it may be");
    let stalled = socket.hearing.stalled_for(later(29)).unwrap();
    assert!(stalled < Duration::from_secs(30), "a message that was begun may be finished: {stalled:?}");
    assert!(socket.hearing.stalled_for(later(60)).unwrap() >= Duration::from_secs(59));
}
