//! The connector, which is the guard: it connects only to addresses that it has judged.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::BoxFuture;
use hyper::Uri;
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};
use tower_service::Service;

use crate::{networks::Networks, outbound::address::is_public};

/// How long resolving and connecting may take together.
const CONNECT: Duration = Duration::from_secs(5);
/// The most addresses of one name that are tried.
const MOST_ADDRESSES: usize = 8;

/// Why there is no connection. A name that does not resolve and a name that resolves to a private address look the
/// same: the difference would reveal which names exist in a private network.
#[derive(Debug, Error)]
pub(super) enum NotConnected {
    /// The name has no address, or an address that we may not call.
    #[error("the host has no address that may be used")]
    Address,
    /// None of the addresses accepts a connection.
    #[error("the host cannot be reached: {0}")]
    Unreachable(io::Error),
    /// The host did not answer in time.
    #[error("the host did not answer in time")]
    TooSlow,
}

/// Resolves a host and a port to addresses.
pub(super) type Resolve =
    Arc<dyn Fn(String, u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync>;

/// The resolver of this machine.
pub(super) fn system() -> Resolve {
    Arc::new(|host, port| Box::pin(async move { Ok(lookup_host((host, port)).await?.collect()) }))
}

/// Connects to public addresses, and to those of the allowed networks.
#[derive(Clone)]
pub(super) struct Guarded {
    pub(super) allowed: Arc<Networks>,
    pub(super) resolve: Resolve,
}

impl Guarded {
    /// Judges the addresses of a host as a request would, and connects to none of them.
    pub(super) async fn judge(&self, uri: &Uri) -> Result<(), NotConnected> {
        timeout(CONNECT, self.addresses(uri)).await.unwrap_or(Err(NotConnected::TooSlow)).map(drop)
    }

    /// The addresses of a host, if a request may go to all of them. One private address among several refuses the name,
    /// because a name server may change their order with each query.
    async fn addresses(&self, uri: &Uri) -> Result<Vec<SocketAddr>, NotConnected> {
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let ordinary = if uri.scheme_str() == Some("http") { 80 } else { 443 };
        let port = uri.port_u16().unwrap_or(ordinary);
        let addresses = (self.resolve)(host.to_owned(), port).await.map_err(|_| NotConnected::Address)?;
        let may_be_asked = |address: IpAddr| is_public(address) || self.allowed.contain(address);
        if addresses.is_empty() || !addresses.iter().all(|address| may_be_asked(address.ip())) {
            return Err(NotConnected::Address);
        }
        Ok(addresses)
    }

    async fn connect(&self, uri: &Uri) -> Result<TcpStream, NotConnected> {
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in self.addresses(uri).await?.into_iter().take(MOST_ADDRESSES) {
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    // Nagle's algorithm would only delay the end of a request.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Err(error) => last = error,
            }
        }
        Err(NotConnected::Unreachable(last))
    }
}

impl Service<Uri> for Guarded {
    type Response = TokioIo<TcpStream>;
    type Error = NotConnected;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, NotConnected>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), NotConnected>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let guarded = self.clone();
        Box::pin(async move {
            timeout(CONNECT, guarded.connect(&uri))
                .await
                .unwrap_or(Err(NotConnected::TooSlow))
                .map(TokioIo::new)
        })
    }
}
