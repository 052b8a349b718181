//! Requests, and answers of bounded size.

use std::{error::Error as _, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::{
    HeaderMap, Method, Request,
    body::Incoming,
    header::{self, HeaderName, HeaderValue},
};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};
use thiserror::Error;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::rustls::ClientConfig;

use crate::{
    networks::Networks,
    outbound::{
        Target, Trust,
        connect::{Guarded, NotConnected, Resolve, system},
    },
};

/// The user agent of this program.
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

/// The method of a request, and its body.
#[derive(Debug)]
pub(crate) enum Verb {
    /// Reads something.
    Get,
    /// Changes something.
    Post(Bytes),
    /// Replaces something.
    Put(Bytes),
    /// Removes something.
    Delete,
}

impl Verb {
    pub(super) fn parts(self) -> (Method, Bytes) {
        match self {
            Self::Get => (Method::GET, Bytes::new()),
            Self::Post(body) => (Method::POST, body),
            Self::Put(body) => (Method::PUT, body),
            Self::Delete => (Method::DELETE, Bytes::new()),
        }
    }
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
    /// The name has no address, or an address that we may not call.
    #[error(
        "the host has no address that may be used: check its name, and allow its network if it is private"
    )]
    AddressNotAllowed,
    /// No connection could be made.
    #[error("no connection: {0}")]
    NotConnected(String),
    /// The answer was not complete in time.
    #[error("no answer within {} s", .0.as_secs())]
    TooSlow(Duration),
    /// The body has too many bytes.
    #[error("the answer has more than {0} bytes")]
    TooLarge(usize),
    /// The connection failed, or the answer is not HTTP.
    #[error("{0}")]
    Broken(String),
}

/// Sends requests to servers that other people name. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub(crate) struct Outbound {
    client: Client<HttpsConnector<Guarded>, Full<Bytes>>,
    guarded: Guarded,
}

/// Whether requests may go without TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Schemes {
    /// `https` only.
    Https,
    /// `http` too.
    HttpToo,
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outbound")
    }
}

impl Outbound {
    /// A client that may call public addresses, and those of the allowed networks.
    pub(crate) fn new(trust: &Trust, allowed: Networks) -> Self {
        Self::with(trust, allowed, Schemes::Https, 2)
    }

    /// Makes a client like [`new`](Self::new), with these schemes and at most this many unused connections to one host.
    pub(crate) fn with(trust: &Trust, allowed: Networks, schemes: Schemes, idle: usize) -> Self {
        Self::resolving(trust, allowed, schemes, idle, system())
    }

    pub(super) fn resolving(
        trust: &Trust,
        allowed: Networks,
        schemes: Schemes,
        idle: usize,
        resolve: Resolve,
    ) -> Self {
        let guarded = Guarded { allowed: Arc::new(allowed), resolve };
        let builder = HttpsConnectorBuilder::new().with_tls_config(ClientConfig::clone(&trust.0));
        let builder = match schemes {
            Schemes::Https => builder.https_only(),
            Schemes::HttpToo => builder.https_or_http(),
        };
        let https = builder.enable_http1().wrap_connector(guarded.clone());
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(idle)
            .http1_max_buf_size(MOST_HEAD)
            .build(https);
        Self { client, guarded }
    }

    /// Judges the addresses of a URL as a request would. A name server may answer differently later, so each request
    /// judges again.
    pub(crate) async fn judge(&self, target: &Target) -> Result<(), Failed> {
        self.guarded.judge(&target.0).await.map_err(|refused| match refused {
            NotConnected::Address => Failed::AddressNotAllowed,
            other => Failed::NotConnected(other.to_string()),
        })
    }

    /// Posts a document. Of the answer's body, at most `bounds.bytes` are kept, and only what has arrived in time: the
    /// status alone says whether the request succeeded.
    pub(crate) async fn post(
        &self,
        target: &Target,
        headers: &[(&str, &str)],
        body: Bytes,
        bounds: Bounds,
    ) -> Result<Answer, Failed> {
        let until = Instant::now() + bounds.within;
        let request = Request::post(target.0.clone()).header(header::USER_AGENT, AGENT);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let request =
            request.body(Full::new(body)).map_err(|error| Failed::Broken(format!("no request: {error}")))?;
        let answer = match timeout_at(until, self.client.request(request)).await {
            Ok(answer) => answer.map_err(|error| not_sent(&error))?,
            Err(_) => return Err(Failed::TooSlow(bounds.within)),
        };
        let (head, mut incoming) = answer.into_parts();
        let mut kept = Vec::new();
        while kept.len() < bounds.bytes
            && let Ok(Some(Ok(frame))) = timeout_at(until, incoming.frame()).await
        {
            if let Some(data) = frame.data_ref() {
                kept.extend_from_slice(&data[..data.len().min(bounds.bytes - kept.len())]);
            }
        }
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body: kept.into() })
    }

    /// Requests a JSON document.
    pub(crate) async fn get(&self, target: &Target, bounds: Bounds) -> Result<Answer, Failed> {
        self.send(Verb::Get, target, &[("accept", "application/json")], bounds).await
    }

    /// Sends a request, and reads the whole answer.
    pub(crate) async fn send(
        &self,
        verb: Verb,
        target: &Target,
        headers: &[(&str, &str)],
        bounds: Bounds,
    ) -> Result<Answer, Failed> {
        let (method, body) = verb.parts();
        let request =
            Request::builder().method(method).uri(target.0.clone()).header(header::USER_AGENT, AGENT);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let request =
            request.body(Full::new(body)).map_err(|error| Failed::Broken(format!("no request: {error}")))?;
        let asking = async {
            let answer = self.client.request(request).await.map_err(|error| not_sent(&error))?;
            let (head, body) = answer.into_parts();
            let body = whole(body, bounds.bytes).await?;
            Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
        };
        timeout(bounds.within, asking).await.unwrap_or(Err(Failed::TooSlow(bounds.within)))
    }
}

/// The body of an answer, if it has at most this many bytes.
pub(super) async fn whole(body: Incoming, most: usize) -> Result<Bytes, Failed> {
    let read = Limited::new(body, most).collect().await;
    let body = read.map_err(|error| match error.downcast_ref::<LengthLimitError>() {
        Some(_) => Failed::TooLarge(most),
        None => Failed::Broken(format!("the answer broke off: {error}")),
    })?;
    Ok(body.to_bytes())
}

/// Whether a name and a value are valid for a header.
pub(crate) fn is_header(name: &str, value: &str) -> bool {
    HeaderName::from_bytes(name.as_bytes()).is_ok() && HeaderValue::from_str(value).is_ok()
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
    if error.is_connect() { Failed::NotConnected(told) } else { Failed::Broken(told) }
}
