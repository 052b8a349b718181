#![allow(clippy::unwrap_used)]

use poem::endpoint::make;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::listen::{Limits, Origins};

mod http;
mod newcomers;
mod tls;
mod unhurried;

const SOON: Duration = Duration::from_millis(200);

struct Served {
    address: SocketAddr,
    stop: CancellationToken,
    tracker: TaskTracker,
}

/// Answers each request with its method, target and body.
async fn echo(limits: Limits) -> Served {
    served(
        limits,
        make(|mut request: Request| async move {
            let body = request.take_body().into_string().await?;
            Ok::<_, poem::Error>(format!("{} {} <{body}>", request.method(), request.uri()))
        }),
    )
    .await
}

async fn served(limits: Limits, endpoint: impl Endpoint + 'static) -> Served {
    served_with(Settings { limits, origins: Some(Origins::Any), ..Settings::default() }, endpoint).await
}

async fn served_with(settings: Settings, endpoint: impl Endpoint + 'static) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let served = Served {
        address: listener.local_addr().unwrap(),
        stop: CancellationToken::new(),
        tracker: TaskTracker::new(),
    };
    let (stop, tracker) = (served.stop.clone(), served.tracker.clone());
    tokio::spawn(async move { serve(listener, endpoint, settings, stop, &tracker).await });
    served
}

impl Served {
    async fn connect(&self, first: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(first).await.unwrap();
        stream
    }

    /// Everything that the server sends in response to `bytes` until it closes.
    async fn says(&self, bytes: &[u8]) -> String {
        rest(&mut self.connect(bytes).await).await
    }
}

async fn rest(stream: &mut TcpStream) -> String {
    let mut said = String::new();
    timeout(Duration::from_secs(5), stream.read_to_string(&mut said)).await.expect("it closes").unwrap();
    said
}

fn assert_refused(said: &str, status: u16, code: &str) {
    assert!(said.starts_with(&format!("HTTP/1.1 {status} ")), "{said}");
    assert!(!said.contains("100 Continue"), "{said}");
    let (head, body) = said.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("content-type: application/problem+json"), "{said}");
    assert!(head.contains("connection: close"), "{said}");
    let problem: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(problem["code"], code);
    assert_eq!(problem["type"], format!("/problems/{code}"));
    assert_eq!(problem["status"], status);
    assert!(head.contains(problem["request_id"].as_str().unwrap()), "the id is in the head too: {said}");
}

#[tokio::test]
async fn an_endpoint_is_told_the_address_that_a_trusted_proxy_names() {
    for (trusted, address) in [("", "127.0.0.1"), ("127.0.0.0/8", "192.0.2.1")] {
        let settings = Settings { proxies: trusted.parse().unwrap(), ..Settings::default() };
        let says = make(|request: Request| async move {
            Ok::<_, poem::Error>(ClientAddress::of(&request).expect("an address").to_string())
        });
        let served = served_with(settings, says).await;
        let request = b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.1\r\nConnection: close\r\n\r\n";
        let said = served.says(request).await;
        assert!(said.ends_with(&format!("\r\n\r\n{address}")), "{said}");
    }
}

#[tokio::test]
async fn a_request_reaches_the_endpoint_and_the_connection_stays() {
    let served = echo(Limits::default()).await;
    let first = "POST /a?b=c HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nhi";
    let second = "GET /d HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let said = served.says(format!("{first}{second}").as_bytes()).await;
    assert!(said.contains("POST /a?b=c <hi>") && said.ends_with("GET /d <>"), "{said}");
}

#[tokio::test]
async fn half_a_request_then_silence_is_closed() {
    let served = echo(Limits { head_within: SOON, ..Limits::default() }).await;
    let said = served.says(b"GET / HT").await;
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 408"), "{said}");
    assert_eq!(served.says(b"").await, "", "the same with nothing at all");
}

#[tokio::test]
async fn a_body_that_is_announced_too_large_is_refused_before_it_is_read() {
    let served = echo(Limits::default()).await;
    for expect in ["", "expect: 100-continue\r\n"] {
        for length in ["65537", "10000000000"] {
            let head = format!("POST / HTTP/1.1\r\nhost: x\r\n{expect}content-length: {length}\r\n\r\n");
            assert_refused(&served.says(head.as_bytes()).await, 413, "too_large");
        }
    }
}

#[tokio::test]
async fn a_client_that_sends_it_all_the_same_still_sees_the_413() {
    let served = echo(Limits::default()).await;
    let mut client = served.connect(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 300000\r\n\r\n").await;
    for _ in 0..10 {
        client.write_all(&[b'x'; 30_000]).await.expect("the connection is not reset");
        sleep(Duration::from_millis(10)).await;
    }
    assert_refused(&rest(&mut client).await, 413, "too_large");
}

#[tokio::test]
async fn a_chunked_body_is_cut_at_the_limit() {
    let served = echo(Limits { body: 1000, ..Limits::default() }).await;
    let head = "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n";
    let chunk = format!("1f4\r\n{}\r\n", "x".repeat(500));
    let fits = served.says(format!("{head}{chunk}{chunk}0\r\n\r\n").as_bytes()).await;
    assert!(fits.starts_with("HTTP/1.1 200") && fits.contains(&"x".repeat(1000)), "{fits}");
    let over = served.says(format!("{head}{chunk}{chunk}1\r\nx\r\n").as_bytes()).await;
    assert_refused(&over, 413, "too_large");
}

#[tokio::test]
async fn a_slow_body_is_a_408_and_a_broken_one_a_400() {
    let served = echo(Limits { body_within: SOON, ..Limits::default() }).await;
    let slow = served.says(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 60000\r\n\r\n{").await;
    assert_refused(&slow, 408, "body_too_slow");
    let chunked = "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n";
    assert_refused(&served.says(chunked.as_bytes()).await, 400, "bad_body");
}

#[tokio::test]
async fn long_targets_large_heads_and_odd_methods_are_refused() {
    let served = echo(Limits::default()).await;
    for length in [8 * 1024 + 1, 20_000] {
        let long = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(length - 1));
        assert_refused(&served.says(long.as_bytes()).await, 414, "uri_too_long");
    }
    let large = format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "a".repeat(16 * 1024));
    assert_refused(&served.says(large.as_bytes()).await, 431, "headers_too_large");
    let vast = format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "a".repeat(200_000));
    assert!(served.says(vast.as_bytes()).await.starts_with("HTTP/1.1 431"));
    let many = format!("GET / HTTP/1.1\r\nhost: x\r\n{}\r\n", "a: b\r\n".repeat(100));
    assert!(served.says(many.as_bytes()).await.starts_with("HTTP/1.1 431"));
    for odd in ["TRACE / HTTP/1.1\r\nhost: x\r\n\r\n", "CONNECT x:80 HTTP/1.1\r\nhost: x\r\n\r\n"] {
        let said = served.says(odd.as_bytes()).await;
        assert_refused(&said, 405, "method_not_allowed");
        assert!(said.contains("\r\nallow: GET"), "{said}");
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answer_is_cut_off() {
    let limits = Limits { write_within: SOON, ..Limits::default() };
    let served = served(limits, make(|_| async { Ok::<_, poem::Error>(vec![b'x'; 64 << 20]) })).await;
    let _unread = served.connect(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    sleep(SOON).await;
    assert_eq!(served.tracker.len(), 1);
    served.tracker.close();
    timeout(Duration::from_secs(5), served.tracker.wait()).await.expect("the connection is dropped");
}

#[tokio::test]
async fn an_upgrade_gives_back_the_plain_socket_and_early_bytes() {
    let (give, mut take) = tokio::sync::mpsc::unbounded_channel();
    let endpoint = make(move |request: Request| {
        let (upgrade, give) = (Upgrade::of(&request), give.clone());
        async move {
            let Some(upgrade) = upgrade else { return Ok::<_, poem::Error>(Response::from("no upgrade")) };
            tokio::spawn(async move { give.send(upgrade.socket().await.unwrap()).unwrap() });
            Ok(Response::builder().status(StatusCode::SWITCHING_PROTOCOLS).header("upgrade", "x").body(()))
        }
    });
    let served = served(Limits::default(), endpoint).await;
    let mut client = served
        .connect(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nearly")
        .await;
    let (link, early) = timeout(SOON * 10, take.recv()).await.unwrap().unwrap();
    assert_eq!(&early[..], b"early");
    let mut socket = link.tcp;
    socket.write_all(b"raw down").await.unwrap();
    client.write_all(b"raw up").await.unwrap();
    let mut up = [0; 6];
    socket.read_exact(&mut up).await.unwrap();
    assert_eq!(&up, b"raw up");
    drop(socket);
    let said = rest(&mut client).await;
    assert!(said.starts_with("HTTP/1.1 101") && said.ends_with("\r\n\r\nraw down"), "{said}");
    served.tracker.close();
    timeout(SOON * 10, served.tracker.wait()).await.expect("the HTTP side has let go");
    assert!(served.says(b"GET / HTTP/1.0\r\nupgrade: x\r\n\r\n").await.ends_with("no upgrade"));
}

#[tokio::test]
async fn connections_over_the_bound_wait_for_their_turn() {
    let served = echo(Limits { connections: 1, ..Limits::default() }).await;
    let first = served.connect(b"").await;
    let mut second = served.connect(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(timeout(SOON, second.readable()).await.is_err(), "it is not served yet");
    drop(first);
    assert!(rest(&mut second).await.ends_with("GET / <>"));
}

#[tokio::test]
async fn stop_ends_idle_connections_at_once_and_lets_requests_finish() {
    let endpoint = make(|request: Request| async move {
        sleep(if request.uri().path() == "/long" { Duration::from_secs(60) } else { SOON }).await;
        Ok::<_, poem::Error>("done")
    });
    let served = served(Limits { stop_within: SOON * 3, ..Limits::default() }, endpoint).await;
    let mut idle = served.connect(b"").await;
    let mut busy = served.connect(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let mut stuck = served.connect(b"GET /long HTTP/1.1\r\nhost: x\r\n\r\n").await;
    sleep(SOON / 2).await;
    served.stop.cancel();
    assert_eq!(rest(&mut idle).await, "");
    let said = rest(&mut busy).await;
    assert!(said.ends_with("done") && said.contains("connection: close"), "{said}");
    assert_eq!(rest(&mut stuck).await, "");
    served.tracker.close();
    timeout(SOON * 10, served.tracker.wait()).await.expect("all are gone");
    assert!(TcpStream::connect(served.address).await.is_err(), "nobody listens any more");
}

/// Runs the same test again in a process that may open only a few files.
#[test]
fn when_files_run_out_the_loop_pauses_and_then_goes_on() {
    const CHILD: &str = "VERBATIM_TEST_WITH_FEW_FILES";
    if std::env::var_os(CHILD).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(run_out_of_files());
    }
    let name = "listen::door::tests::when_files_run_out_the_loop_pauses_and_then_goes_on";
    let ended = std::process::Command::new("sh")
        .args(["-c", "ulimit -n 40 && exec \"$0\" --exact \"$1\" --nocapture"])
        .arg(std::env::current_exe().unwrap())
        .arg(name)
        .env(CHILD, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(
        ended.status.success() && said.contains("1 passed"),
        "{said}{}",
        String::from_utf8_lossy(&ended.stderr)
    );
}

async fn run_out_of_files() {
    let statistics = std::fs::File::open("/proc/self/stat").unwrap();
    let served = echo(Limits::default()).await;
    let mut clients = Vec::new();
    while let Ok(client) = TcpStream::connect(served.address).await {
        clients.push(client);
        assert!(clients.len() < 100, "files do run out");
    }
    sleep(PAUSE).await;
    let before = ticks(&statistics);
    sleep(Duration::from_secs(1)).await;
    let busy = ticks(&statistics) - before;
    assert!(busy < 30, "{busy} of 100 hundredths of a second were spent on waiting");
    clients.truncate(2);
    sleep(2 * PAUSE).await;
    let said = served.says(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(said.ends_with("GET / <>"), "{said}");
}

/// The CPU time of this process, in hundredths of a second.
fn ticks(statistics: &std::fs::File) -> u64 {
    let mut line = [0; 1024];
    let read = std::os::unix::fs::FileExt::read_at(statistics, &mut line, 0).unwrap();
    let line = String::from_utf8_lossy(&line[..read]).into_owned();
    let fields: Vec<_> = line.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}
