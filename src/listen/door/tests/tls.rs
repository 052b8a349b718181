//! The door with TLS, and independent clients.

use std::{io::Write as _, path::Path};

use rcgen::{CertificateParams, KeyPair};
use time::{OffsetDateTime, macros::datetime};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion,
        crypto::aws_lc_rs::default_provider,
        pki_types::{CertificateDer, ServerName, pem::PemObject as _},
        version::{TLS12, TLS13},
    },
};

use super::*;
use crate::listen::{Certificate, Tls, Upgrade, validity};

/// A certificate for `localhost` and its key, in two files.
struct Made {
    certificate: tempfile::NamedTempFile,
    key: tempfile::NamedTempFile,
}

fn file(content: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(content.as_bytes()).unwrap();
    file
}

fn made_until(until: OffsetDateTime) -> Made {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.not_after = until;
    let certificate = params.self_signed(&key).unwrap();
    Made { certificate: file(&certificate.pem()), key: file(&key.serialize_pem()) }
}

fn made() -> Made {
    made_until(datetime!(2099-01-01 0:00 UTC))
}

fn read(certificate: &Path, key: &Path) -> Result<Certificate, String> {
    Certificate::read(certificate, key).map_err(|bad| bad.to_string())
}

impl Made {
    fn settings(&self, limits: Limits) -> Settings {
        let certificate = read(self.certificate.path(), self.key.path()).unwrap();
        Settings { limits, tls: Some(Tls::with(certificate)), ..Settings::default() }
    }

    async fn connect(
        &self,
        to: SocketAddr,
        version: &'static SupportedProtocolVersion,
    ) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.certificate.path()).unwrap()).unwrap();
        let client = ClientConfig::builder_with_provider(default_provider().into());
        let client = client.with_protocol_versions(&[version]).unwrap();
        let mut client = client.with_root_certificates(roots).with_no_client_auth();
        client.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let stream = TcpStream::connect(to).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(client)).connect(name, stream).await.unwrap()
    }
}

fn says_scheme() -> impl Endpoint {
    make(|request: Request| async move { Ok::<_, poem::Error>(format!("{}!", request.scheme())) })
}

#[tokio::test]
async fn a_request_over_tls_is_answered_over_tls() {
    let made = made();
    let served = served_with(made.settings(Limits::default()), says_scheme()).await;
    for (version, spoken) in [(&TLS13, ProtocolVersion::TLSv1_3), (&TLS12, ProtocolVersion::TLSv1_2)] {
        let mut stream = made.connect(served.address, version).await;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        assert_eq!(stream.get_ref().1.protocol_version(), Some(spoken));
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut said = String::new();
        timeout(SOON * 20, stream.read_to_string(&mut said)).await.expect("it closes").unwrap();
        assert!(said.starts_with("HTTP/1.1 200 OK\r\n") && said.ends_with("https!"), "{said}");
        assert!(said.contains("\r\nstrict-transport-security: max-age=31536000\r\n"), "{said}");
    }
}

#[tokio::test]
async fn an_upgrade_over_tls_gives_back_the_connection_with_its_keys() {
    let made = made();
    let endpoint = make(|request: Request| async move {
        let upgrade = Upgrade::of(&request).expect("an upgrade");
        tokio::spawn(async move {
            let (link, early) = upgrade.socket().await.expect("a connection");
            assert_eq!(&early[..], b"early", "it was deciphered with the request");
            let mut tls = link.tls.expect("its keys");
            tls.writer().write_all(b"late").unwrap();
            link.tcp.writable().await.unwrap();
            let mut bytes = Vec::new();
            tls.write_tls(&mut bytes).unwrap();
            assert_eq!(link.tcp.try_write(&bytes).unwrap(), bytes.len());
            sleep(SOON).await;
        });
        let answer = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS);
        Ok::<_, poem::Error>(answer.header("connection", "upgrade").header("upgrade", "websocket").finish())
    });
    let served = served_with(made.settings(Limits::default()), endpoint).await;
    let mut stream = made.connect(served.address, &TLS13).await;
    let asks = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nearly";
    stream.write_all(asks).await.unwrap();
    let mut said = Vec::new();
    while !said.ends_with(b"late") {
        assert!(timeout(SOON * 20, stream.read_buf(&mut said)).await.expect("more").unwrap() > 0);
    }
    assert!(said.starts_with(b"HTTP/1.1 101 "));
}

#[tokio::test]
async fn what_does_not_speak_tls_is_told_so_or_cut_off() {
    let made = made();
    let limits = Limits { handshake_within: SOON, ..Limits::default() };
    let served = served_with(made.settings(limits), says_scheme()).await;
    let said = served.says(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let (head, body) = said.split_once("\r\n\r\n").expect("an answer");
    assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{head}");
    assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["code"], "bad_request");
    for sent in [&b"\x00\x01\x02"[..], b"\x16\x03\x01", b""] {
        let mut stream = served.connect(sent).await;
        let mut said = Vec::new();
        let _ = timeout(SOON * 20, stream.read_to_end(&mut said)).await.expect("it is cut off");
        assert!(said.is_empty());
    }
    let mut stream = made.connect(served.address, &TLS13).await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).await.unwrap();
    assert!(said.ends_with("https!"), "the next one is served: {said}");
}

#[test]
fn files_that_are_no_pair_are_refused_with_what_to_give() {
    let (one, other, empty) = (made(), made(), file("nothing here"));
    let garbage = file("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let (certificate, key) = (one.certificate.path(), one.key.path());
    assert!(read(certificate, key).is_ok());
    for (certificate, key, why) in [
        (certificate, other.key.path(), "does not match the first certificate"),
        (empty.path(), key, "has no certificate in PEM"),
        (garbage.path(), key, "has no certificate in PEM"),
        (certificate, empty.path(), "has no private key in PEM"),
        (key, certificate, "has no certificate in PEM"),
        (Path::new("/nowhere"), key, "/nowhere cannot be read"),
        (certificate, Path::new("/nowhere"), "/nowhere cannot be read"),
    ] {
        let refused = read(certificate, key).err().unwrap_or_default();
        assert!(refused.contains(why), "{why}: {refused}");
    }
}

#[test]
fn the_end_of_a_certificate_is_read() {
    for until in [
        datetime!(2026-12-31 23:59:59 UTC),
        datetime!(2049-02-28 0:00 UTC),
        datetime!(2131-07-01 1:02:03 UTC),
    ] {
        let made = made_until(until);
        let certificate = CertificateDer::from_pem_file(made.certificate.path()).unwrap();
        assert_eq!(validity::not_after(&certificate), Some(until));
        for length in 0..certificate.len() {
            // The parser must not panic at any length.
            let _ = validity::not_after(&certificate[..length]);
        }
        let mut changed = certificate.to_vec();
        for at in 0..changed.len() {
            changed[at] ^= 0xFF;
            let _ = validity::not_after(&changed);
            changed[at] ^= 0xFF;
        }
    }
}
