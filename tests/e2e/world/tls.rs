//! Certificates of a story, and clients that trust them.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::aws_lc_rs::default_provider,
        pki_types::{CertificateDer, ServerName},
    },
};
use tokio_tungstenite::{client_async, tungstenite::client::IntoClientRequest as _};

use super::{Device, PATIENCE};

/// A certificate authority.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    /// Its own certificate.
    pub file: PathBuf,
}

/// A certificate and its key in files.
pub struct Pair {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Authority {
    pub fn new(dir: &Path, name: &str) -> Self {
        let mut params = CertificateParams::new([]).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a certificate");
        let file = dir.join(format!("{name}.pem"));
        fs::write(&file, issuer.pem()).expect("a file");
        Self { issuer, file }
    }

    /// Creates a certificate for this machine, in files that may already exist and are then overwritten.
    pub fn certifies(&self, dir: &Path, name: &str) -> Pair {
        self.certifies_until(dir, name, 4096)
    }

    /// The same, valid until the beginning of a year.
    pub fn certifies_until(&self, dir: &Path, name: &str, year: i32) -> Pair {
        let key = KeyPair::generate().expect("a key");
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).expect("names");
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let pair =
            Pair { certificate: dir.join(format!("{name}.pem")), key: dir.join(format!("{name}-key.pem")) };
        fs::write(&pair.certificate, certificate.pem()).expect("a file");
        fs::write(&pair.key, key.serialize_pem()).expect("a file");
        pair
    }

    /// Connects as a client that trusts only this authority.
    pub async fn connects(&self, to: SocketAddr) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).expect("a certificate");
        let client = ClientConfig::builder_with_provider(default_provider().into());
        let client = client.with_safe_default_protocol_versions().expect("versions");
        let client = client.with_root_certificates(roots).with_no_client_auth();
        let tcp = TcpStream::connect(to).await.expect("a connection");
        let connecting = TlsConnector::from(Arc::new(client))
            .connect(ServerName::try_from("localhost").expect("a name"), tcp);
        timeout(PATIENCE, connecting).await.expect("in time").expect("a handshake")
    }

    /// The certificate that a server shows.
    pub async fn is_shown(&self, by: SocketAddr) -> CertificateDer<'static> {
        let stream = self.connects(by).await;
        stream.get_ref().1.peer_certificates().expect("a chain")[0].clone()
    }

    /// Sends a request without a body, and returns the head and the body of the answer.
    pub async fn asks(&self, of: SocketAddr, token: &str, what: &str) -> (String, Value) {
        let mut stream = self.connects(of).await;
        let request = format!(
            "{what} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.expect("it is sent");
        let mut answer = String::new();
        timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect("in time").expect("a clean end");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
        (head.to_owned(), serde_json::from_str(body).expect("JSON"))
    }

    /// Opens a WebSocket and says hello.
    pub async fn opens_socket(&self, to: SocketAddr, token: &str) -> Device {
        let mut request =
            format!("wss://localhost:{}/v1/ws", to.port()).into_client_request().expect("request");
        let headers = request.headers_mut();
        headers.insert("sec-websocket-protocol", "verbatim.v1".parse().expect("header"));
        headers.insert("authorization", format!("Bearer {token}").parse().expect("header"));
        let (stream, _) = client_async(request, self.connects(to).await).await.expect("a socket");
        Device::over(stream, serde_json::json!({ "op": "hello" })).await
    }
}
