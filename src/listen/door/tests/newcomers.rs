use super::*;
use crate::listen::is_known;

const TWO: Limits = Limits {
    connections: 16,
    newcomers: 2,
    uri: 1_000,
    headers: 1_000,
    header_lines: 10,
    body: 1_000,
    handshake_within: Duration::from_secs(60),
    head_within: Duration::from_secs(60),
    body_within: Duration::from_secs(60),
    write_within: Duration::from_secs(60),
    stop_within: Duration::from_secs(60),
};
const ASK: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

/// Whether a connection is still open after the server has had every opportunity to close it.
async fn stays(client: &mut TcpStream) -> bool {
    timeout(SOON, client.read_u8()).await.is_err()
}

#[tokio::test]
async fn one_address_that_says_nothing_makes_room_for_itself_and_others_are_served() {
    let served = echo(TWO).await;
    let mut silent = served.connect(b"GET / HT").await;
    let mut slow = served.connect(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nb").await;
    assert!(stays(&mut silent).await && stays(&mut slow).await);
    for _ in 0..3 {
        assert!(served.says(ASK).await.ends_with("GET / <>"), "a newer connection is served");
    }
    assert_eq!(rest(&mut silent).await, "", "the oldest made room");
    assert!(stays(&mut slow).await, "and nobody else had to");
}

#[tokio::test]
async fn a_connection_with_a_token_that_counts_and_a_trusted_proxy_have_no_line() {
    let knows = || {
        make(|request: Request| async move {
            if request.headers().contains_key("authorization") {
                is_known(&request);
            }
            Ok::<_, poem::Error>("done")
        })
    };
    let served = served_with(Settings { limits: TWO, ..Settings::default() }, knows()).await;
    let mut known = Vec::new();
    for _ in 0..6 {
        let client = served.connect(b"GET / HTTP/1.1\r\nhost: x\r\nauthorization: x\r\n\r\n").await;
        client.readable().await.unwrap();
        known.push(client);
    }
    for mut client in known {
        client.write_all(ASK).await.unwrap();
        assert_eq!(rest(&mut client).await.matches("done").count(), 2);
    }
    let settings = Settings { limits: TWO, proxies: "127.0.0.0/8".parse().unwrap(), ..Settings::default() };
    let served = served_with(settings, knows()).await;
    let mut all = Vec::new();
    for _ in 0..6 {
        all.push(served.connect(b"GET / HT").await);
    }
    for client in &mut all {
        assert!(stays(client).await);
    }
}
