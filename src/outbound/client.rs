//! Requests and their bounded answers.

use std::{error::Error as _, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use hyper::{HeaderMap, Request, header};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};
use thiserror::Error;
use tokio::time::timeout;
use tokio_rustls::rustls::ClientConfig;

use crate::{
    networks::Networks,
    outbound::{Target, Trust, connect::Guarded, connect::NotConnected},
};

/// The name of this program, as servers see it.
pub(super) const AGENT: &str = concat!("Verbatim/", env!("CARGO_PKG_VERSION"));
/// How long an unused connection stays open.
const IDLE: Duration = Duration::from_secs(30);
/// The most bytes of the head of an answer.
const MOST_HEAD: usize = 64 * 1024;

/// The bounds of an answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// The time from the beginning of the request to the end of the answer.
    pub(crate) within: Duration,
    /// The most bytes of the body.
    pub(crate) bytes: usize,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The status, which may be an error or a redirect.
    pub(crate) status: u16,
    headers: HeaderMap,
    /// The body.
    pub(crate) body: Bytes,
}

impl Answer {
    /// The value of a header, if it is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub(crate) enum Failed {
    /// The name has no address, or one to which no request may go.
    #[error(
        "the host has no address that may be asked: check its name, and allow its network if the network is private"
    )]
    AddressNotAllowed,
    /// The answer was not complete in time.
    #[error("no answer within {} s", .0.as_secs())]
    TooSlow(Duration),
    /// The body has too many bytes.
    #[error("the answer has more than {0} bytes")]
    TooLarge(usize),
    /// The connection failed, or what came over it is not HTTP.
    #[error("{0}")]
    Broken(String),
}

/// Asks servers that other people name. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub(crate) struct Outbound(Client<HttpsConnector<Guarded>, Empty<Bytes>>);

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outbound")
    }
}

impl Outbound {
    /// A client that may ask public addresses, and those of the allowed networks.
    pub(crate) fn new(trust: &Trust, allowed: Networks) -> Self {
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(ClientConfig::clone(&trust.0))
            .https_only()
            .enable_http1()
            .wrap_connector(Guarded(Arc::new(allowed)));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(2)
            .http1_max_buf_size(MOST_HEAD)
            .build(https);
        Self(client)
    }

    /// Asks for a JSON document.
    pub(crate) async fn get(&self, target: &Target, bounds: Bounds) -> Result<Answer, Failed> {
        let request = Request::get(target.0.clone())
            .header(header::USER_AGENT, AGENT)
            .header(header::ACCEPT, "application/json")
            .body(Empty::new())
            .expect("the parts of this request are valid");
        let asking = async {
            let answer = self.0.request(request).await.map_err(|error| not_sent(&error))?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, bounds.bytes).collect().await.map_err(|error| {
                match error.downcast_ref::<LengthLimitError>() {
                    Some(_) => Failed::TooLarge(bounds.bytes),
                    None => Failed::Broken(format!("the answer broke off: {error}")),
                }
            })?;
            Ok(Answer { status: head.status.as_u16(), headers: head.headers, body: body.to_bytes() })
        };
        timeout(bounds.within, asking).await.unwrap_or(Err(Failed::TooSlow(bounds.within)))
    }
}

/// The cause that helps an operator: the guard's refusal if there is one, else the last cause in the chain.
pub(super) fn not_sent(error: &hyper_util::client::legacy::Error) -> Failed {
    let mut cause = error.source();
    let mut told = error.to_string();
    while let Some(error) = cause {
        if let Some(NotConnected::Address) = error.downcast_ref() {
            return Failed::AddressNotAllowed;
        }
        told = error.to_string();
        cause = error.source();
    }
    Failed::Broken(told)
}
