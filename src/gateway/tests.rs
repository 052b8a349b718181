//! The edge as a whole, from the accept loop to the frames.
#![allow(clippy::unwrap_used)]

use std::{net::SocketAddr, time::Duration};

use futures_util::{SinkExt, StreamExt};
use poem::{IntoResponse as _, Request, endpoint::make};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_tungstenite::tungstenite::{Error, Message, client::IntoClientRequest};
use tokio_util::task::TaskTracker;

use crate::{
    gateway::{
        session::handshake,
        wire::{incoming::Event, limits::SocketLimits, socket::Socket, websocket},
    },
    listen,
    problems::Problem,
};

/// The whole edge: the accept loop, the handshake, and a socket that echoes every text.
async fn edge() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let endpoint = make(|request: Request| async move {
        let origins = listen::Origins::Any;
        let (method, uri) = (request.method(), request.uri());
        match handshake::accept(method, uri, request.version(), request.headers(), &origins) {
            Err(refused) => Ok::<_, poem::Error>(Problem::from(refused).into_response()),
            Ok(accepted) => {
                let upgrade = listen::Upgrade::of(&request).unwrap();
                tokio::spawn(async move {
                    let Some((stream, early)) = upgrade.socket().await else { return };
                    let (socket, mut incoming) = Socket::open(stream, early, SocketLimits::default());
                    loop {
                        match incoming.next().await {
                            Event::Text(text) => socket.send(&websocket::text(text.as_bytes())),
                            Event::Gone(_) => return,
                        }
                    }
                });
                Ok(accepted.switching())
            }
        }
    });
    tokio::spawn(async move {
        let tracker = TaskTracker::new();
        listen::serve(listener, endpoint, listen::Settings::default(), Default::default(), &tracker).await;
    });
    address
}

#[tokio::test]
async fn an_independent_client_speaks_with_the_whole_edge() {
    let address = edge().await;
    let request = format!("ws://{address}/v1/ws").into_client_request().unwrap();
    let Err(Error::Http(refusal)) = tokio_tungstenite::connect_async(request.clone()).await else {
        panic!("refused without subprotocol");
    };
    assert_eq!(refusal.status(), 400);
    let mut request = request;
    let protocols = "verbatim.v1, bearer.a.b.c".parse().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", protocols);
    let (mut client, response) = tokio_tungstenite::connect_async(request).await.unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], "verbatim.v1");
    for len in [0, 1, 125, 126, 65_535, 65_536] {
        let text = "ü".repeat(len / 2) + &"x".repeat(len % 2);
        client.send(Message::text(text.clone())).await.unwrap();
        assert!(client.next().await.unwrap().unwrap() == Message::text(text), "{len}");
    }
    client.send(Message::Ping("are you there".into())).await.unwrap();
    assert_eq!(client.next().await.unwrap().unwrap(), Message::Pong("are you there".into()));
    client.send(Message::text("x".repeat(65_537))).await.unwrap();
    let Message::Close(Some(close)) = client.next().await.unwrap().unwrap() else { panic!("a close frame") };
    assert_eq!((u16::from(close.code), close.reason.as_str()), (1009, "too_big"));
    let ended = timeout(Duration::from_secs(3), client.next()).await.unwrap();
    assert!(matches!(ended, None | Some(Err(_))), "{ended:?}");
}

/// Runs the same test again in its own process, where no other test uses memory.
#[test]
fn an_idle_socket_costs_at_most_3_kib_with_all_that_its_handshake_left_behind() {
    const CHILD: &str = "VERBATIM_TEST_ALONE";
    if std::env::var_os(CHILD).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(measure_idle_sockets());
    }
    let name = "gateway::tests::an_idle_socket_costs_at_most_3_kib_with_all_that_its_handshake_left_behind";
    let mut again = std::process::Command::new(std::env::current_exe().unwrap());
    let ended = again.args(["--exact", name, "--nocapture"]).env(CHILD, "1").output().unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(
        ended.status.success() && said.contains("1 passed"),
        "{said}{}",
        String::from_utf8_lossy(&ended.stderr)
    );
}

async fn measure_idle_sockets() {
    const HANDSHAKE: &[u8] =
        b"GET /v1/ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
        sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        sec-websocket-protocol: verbatim.v1, bearer.a.b.c\r\n\r\n";
    let address = edge().await;
    const WARM: usize = 200;
    // Enough sockets that the unit in which the allocator gets memory from the system does not matter.
    const MORE: usize = 1_000;
    let mut sockets = Vec::with_capacity(WARM + MORE);
    let mut connect = async |count: usize| {
        for _ in 0..count {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(HANDSHAKE).await.unwrap();
            let mut answer = [0; 512];
            let read = client.read(&mut answer).await.unwrap();
            assert!(answer[..read].starts_with(b"HTTP/1.1 101"));
            sockets.push(client.into_std().unwrap());
        }
        sleep(Duration::from_millis(50)).await;
        resident_bytes()
    };
    let warm = connect(WARM).await;
    let each = (connect(MORE).await - warm) / MORE;
    println!("{each} bytes for each idle socket");
    assert!(each <= 3072, "{each} bytes for each idle socket");
}

fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}
