//! TLS at the listener: versions 1.2 and 1.3 by rustls, only for HTTP/1.1.

use std::{io, sync::Arc, time::Duration};

use poem::http::{HeaderMap, StatusCode};
use tokio::{io::AsyncWriteExt as _, net::TcpStream, time::timeout};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::aws_lc_rs::default_provider,
        server::NoServerSessionStorage,
        version::{TLS12, TLS13},
    },
};

use crate::{
    listen::{certificate::Certificate, stream::Stream},
    problems::{CONTENT_TYPE, Document, Problem, RequestId},
};

/// The first byte of a handshake.
const HANDSHAKE: u8 = 0x16;

/// TLS with a certificate that may be replaced.
#[derive(Debug, Clone)]
pub struct Tls {
    config: Arc<ServerConfig>,
    /// The certificate that is presented to clients.
    pub certificate: Arc<Certificate>,
}

impl Tls {
    /// TLS that presents `certificate` to clients.
    pub fn with(certificate: Certificate) -> Self {
        let certificate = Arc::new(certificate);
        let versions = ServerConfig::builder_with_provider(default_provider().into())
            .with_protocol_versions(&[&TLS13, &TLS12])
            .expect("the provider has suites for both versions");
        let mut config = versions.with_no_client_auth().with_cert_resolver(certificate.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // A resumed handshake cost as much as a full one when we measured both.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Self { config: Arc::new(config), certificate }
    }

    /// The connection after its handshake. `None` if the handshake failed or took longer than `within`.
    pub(super) async fn open(&self, tcp: TcpStream, within: Duration) -> Option<Stream> {
        let opened = async {
            let mut first = [0];
            if tcp.peek(&mut first).await? == 1 && first[0] != HANDSHAKE {
                return refuse(tcp, first[0]).await;
            }
            let accepted = TlsAcceptor::from(self.config.clone()).accept(tcp).await?;
            Ok(Some(Stream::Secured(Box::new(accepted))))
        };
        match timeout(within, Box::pin(opened)).await {
            Ok(Ok(opened)) => opened,
            Ok(Err(error)) => {
                tracing::debug!(%error, "a TLS handshake failed");
                None
            }
            Err(_) => {
                tracing::debug!("a TLS handshake took too long");
                None
            }
        }
    }
}

/// Refuses a connection that does not begin with a TLS handshake. A client that speaks HTTP gets a response.
async fn refuse(mut tcp: TcpStream, first: u8) -> io::Result<Option<Stream>> {
    if first.is_ascii_uppercase() {
        let id = RequestId::of(&HeaderMap::new());
        let detail = "This port accepts only TLS: begin the address with https:// or wss://.";
        let problem = Problem::new(StatusCode::BAD_REQUEST, "bad_request", detail);
        let body = serde_json::to_string(&Document::of(&problem, id.as_str()))?;
        let answer = format!(
            "HTTP/1.1 400 Bad Request\r\ncontent-type: {CONTENT_TYPE}\r\ncontent-length: {}\r\nx-request-id: {id}\r\n\
             cache-control: no-store\r\nx-content-type-options: nosniff\r\nconnection: close\r\n\r\n{body}",
            body.len(),
        );
        tcp.write_all(answer.as_bytes()).await?;
        super::parting::part(Stream::Plain(tcp)).await;
    }
    Ok(None)
}
