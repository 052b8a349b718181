use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    time::sleep,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::aws_lc_rs::default_provider,
        pki_types::{PrivateKeyDer, pem::PemObject as _},
    },
};

use super::{Bounds, Failed, Outbound, Schemes, Target, Trust, connect::Resolve};
use crate::networks::Networks;

const BOUNDS: Bounds = Bounds { within: Duration::from_secs(5), bytes: 1000 };

/// A server for `localhost` and `127.0.0.1`, whose authority is in a file.
struct Server {
    address: SocketAddr,
    authority: PathBuf,
    /// The heads of the requests.
    heads: UnboundedReceiver<String>,
    _dir: tempfile::TempDir,
}

impl Server {
    /// Answers each request with these parts of an answer, and a pause after each part.
    async fn answering(parts: Vec<String>, pause: Duration) -> Self {
        let mut params = CertificateParams::new([]).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority =
            CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("one");
        let key = KeyPair::generate().expect("a key");
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let certificate =
            CertificateParams::new(names).expect("names").signed_by(&key, &authority).expect("a certificate");
        let secret = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).expect("a key");
        let config = ServerConfig::builder_with_provider(default_provider().into())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], secret)
            .expect("a pair");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (told, heads) = unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, told, parts) = (acceptor.clone(), told.clone(), parts.clone());
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let mut head = vec![0; 4096];
                    let read = stream.read(&mut head).await.expect("a request");
                    let _ = told.send(String::from_utf8_lossy(&head[..read]).into_owned());
                    for part in parts {
                        if stream.write_all(part.as_bytes()).await.is_err() {
                            return;
                        }
                        let _ = stream.flush().await;
                        sleep(pause).await;
                    }
                    let _ = stream.shutdown().await;
                });
            }
        });
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("authority.pem");
        std::fs::write(&file, authority.pem()).expect("a file");
        Self { address, authority: file, heads, _dir: dir }
    }

    async fn saying(answer: &str) -> Self {
        Self::answering(vec![answer.to_owned()], Duration::ZERO).await
    }

    fn url(&self, host: &str) -> Target {
        Target::parse(&format!("https://{host}:{}/keys?a=b", self.address.port())).expect("a URL")
    }

    fn client(&self, allowed: &str) -> Outbound {
        let trust = Trust::load(Some(&self.authority)).expect("an authority");
        Outbound::new(&trust, Networks::parse(allowed, "").expect("networks"))
    }
}

#[tokio::test]
async fn an_allowed_server_is_asked_by_its_name() {
    let mut server =
        Server::saying("HTTP/1.1 200 OK\r\ncache-control: max-age=7\r\ncontent-length: 2\r\n\r\n{}").await;
    let answer =
        server.client("127.0.0.0/8, ::1").get(&server.url("localhost"), BOUNDS).await.expect("an answer");
    assert_eq!((answer.status, &answer.body[..]), (200, &b"{}"[..]));
    assert_eq!(answer.header("cache-control"), Some("max-age=7"));
    let head = server.heads.recv().await.expect("a request");
    assert!(head.starts_with("GET /keys?a=b HTTP/1.1\r\n"), "{head}");
    assert!(head.contains(&format!("host: localhost:{}\r\n", server.address.port())), "{head}");
}

#[tokio::test]
async fn a_private_address_gets_no_byte_in_any_spelling_unless_its_network_is_allowed() {
    let mut server = Server::saying("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    for allowed in ["", "10.0.0.0/8", "::1"] {
        for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"] {
            let asked = server.client(allowed).get(&server.url(host), BOUNDS).await;
            assert!(matches!(asked, Err(Failed::AddressNotAllowed)), "{host} with {allowed}: {asked:?}");
        }
        // The resolver reads these as addresses, but no certificate could contain them as names.
        for host in ["2130706433", "0x7f.1", "127.1", "0177.0.0.1"] {
            assert!(server.client(allowed).get(&server.url(host), BOUNDS).await.is_err(), "{host}");
        }
    }
    let asked = server.client("").get(&server.url("name.invalid"), BOUNDS).await;
    assert!(matches!(asked, Err(Failed::AddressNotAllowed)), "the same as no such name: {asked:?}");
    assert!(server.heads.try_recv().is_err(), "the server got a request");
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let redirect = "HTTP/1.1 302 Found\r\nlocation: https://169.254.169.254/\r\ncontent-length: 0\r\n\r\n";
    let mut server = Server::saying(redirect).await;
    let answer =
        server.client("127.0.0.0/8, ::1").get(&server.url("127.0.0.1"), BOUNDS).await.expect("an answer");
    assert_eq!(answer.status, 302);
    assert!(server.heads.recv().await.is_some() && server.heads.try_recv().is_err());
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_is_refused() {
    let mut server = Server::saying("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let other = Server::saying("").await;
    let asked = other.client("127.0.0.0/8, ::1").get(&server.url("127.0.0.1"), BOUNDS).await;
    assert!(matches!(&asked, Err(Failed::NotConnected(why)) if why.contains("certificate")), "{asked:?}");
    assert!(server.heads.try_recv().is_err(), "the server got a request");
}

#[tokio::test]
async fn an_answer_is_bounded_in_bytes_and_in_time() {
    let long = format!("HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n{}", "x".repeat(1001));
    let endless =
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{}", "4\r\nabcd\r\n".repeat(300));
    for answer in [long, endless] {
        let server = Server::saying(&answer).await;
        let asked = server.client("127.0.0.0/8, ::1").get(&server.url("127.0.0.1"), BOUNDS).await;
        assert!(matches!(asked, Err(Failed::TooLarge(1000))), "{asked:?}");
    }
    let drops = std::iter::once("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n".to_owned());
    let drops = drops.chain((0..100).map(|_| "x".to_owned())).collect();
    let server = Server::answering(drops, Duration::from_millis(50)).await;
    let bounds = Bounds { within: Duration::from_millis(300), ..BOUNDS };
    let asked = server.client("127.0.0.0/8, ::1").get(&server.url("127.0.0.1"), bounds).await;
    assert!(matches!(asked, Err(Failed::TooSlow(_))), "{asked:?}");
}

/// A resolver that gives the next answer for each query, and repeats the last one.
fn rebinding(answers: Vec<Vec<SocketAddr>>) -> Resolve {
    let asked = AtomicUsize::new(0);
    Arc::new(move |_, _| {
        let number = asked.fetch_add(1, Ordering::Relaxed).min(answers.len() - 1);
        let answer = answers[number].clone();
        Box::pin(async move { Ok(answer) })
    })
}

#[tokio::test]
async fn a_name_that_changes_its_address_between_the_check_and_the_connection_gets_no_byte() {
    let mut server = Server::saying("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let public: SocketAddr = "93.184.215.14:443".parse().expect("an address");
    let canary = server.address;
    let trust = Trust::load(Some(&server.authority)).expect("an authority");
    for answers in [
        vec![vec![public], vec![canary]],
        vec![vec![public], vec![public, canary]],
        vec![vec![public], vec![canary, public]],
        vec![vec![public], vec![]],
    ] {
        let resolve = rebinding(answers);
        let client = Outbound::resolving(&trust, Networks::default(), Schemes::HttpToo, 2, resolve);
        let target = server.url("localhost");
        client.judge(&target).await.expect("the first answer is a public address");
        let posted = client.post(&target, &[], Bytes::from_static(b"{}"), BOUNDS).await;
        assert!(matches!(posted, Err(Failed::AddressNotAllowed)), "{posted:?}");
        let judged = client.judge(&target).await;
        assert!(matches!(judged, Err(Failed::AddressNotAllowed)), "{judged:?}");
    }
    assert!(server.heads.try_recv().is_err(), "the server got a request");
}

#[tokio::test]
async fn a_connection_goes_to_the_address_that_was_judged_and_the_request_names_the_host() {
    let mut server = Server::saying("HTTP/1.1 204 No Content\r\n\r\n").await;
    let trust = Trust::load(Some(&server.authority)).expect("an authority");
    let allowed = Networks::parse("127.0.0.0/8", "").expect("networks");
    // Only the first answer leads to the server; there is no second query.
    let resolve = rebinding(vec![vec![server.address], vec!["127.0.0.1:1".parse().expect("an address")]]);
    let client = Outbound::resolving(&trust, allowed, Schemes::Https, 2, resolve);
    let headers = [("webhook-id", "x"), ("content-type", "application/cloudevents+json")];
    let answer = client.post(&server.url("localhost"), &headers, Bytes::from_static(b"{}"), BOUNDS).await;
    assert_eq!(answer.expect("an answer").status, 204);
    let head = server.heads.recv().await.expect("a request");
    assert!(head.starts_with("POST /keys?a=b HTTP/1.1\r\n") && head.contains("webhook-id: x\r\n"), "{head}");
    assert!(head.contains(&format!("host: localhost:{}\r\n", server.address.port())), "{head}");
}

#[tokio::test]
async fn of_a_post_the_status_counts_and_as_much_of_the_answer_as_comes_in_time() {
    let bounds = Bounds { within: Duration::from_millis(400), bytes: 10 };
    let drops = std::iter::once("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n".to_owned());
    let drops = drops.chain((0..5).map(|_| "x".to_owned())).collect();
    let slow = Server::answering(drops, Duration::from_millis(100)).await;
    let long =
        Server::saying(&format!("HTTP/1.1 500 No\r\ncontent-length: 1000\r\n\r\n{}", "y".repeat(1000))).await;
    let silent = Server::answering(vec![], Duration::ZERO).await;
    for (server, status, body) in [(&slow, 200, "x"), (&long, 500, "yyyyyyyyyy")] {
        let posted =
            server.client("127.0.0.0/8, ::1").post(&server.url("localhost"), &[], Bytes::new(), bounds).await;
        let answer = posted.expect("an answer");
        let text = std::str::from_utf8(&answer.body).expect("text");
        assert!(answer.status == status && text.starts_with(body) && text.len() <= 10, "{answer:?}");
    }
    let posted =
        silent.client("127.0.0.0/8, ::1").post(&silent.url("localhost"), &[], Bytes::new(), bounds).await;
    assert!(matches!(posted, Err(Failed::Broken(_))), "{posted:?}");
}
