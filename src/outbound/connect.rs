//! The connector, which is the guard: it connects only to addresses that it has judged.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

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

/// Why there is no connection. A name that does not resolve and a name that resolves to a private address look the same:
/// the difference would tell which names a private network has.
#[derive(Debug, Error)]
pub(super) enum NotConnected {
    /// The name has no address, or one to which no request may go.
    #[error("the host has no address that may be asked")]
    Address,
    /// None of the addresses takes a connection.
    #[error("the host cannot be reached: {0}")]
    Unreachable(io::Error),
    /// The host did not answer in time.
    #[error("the host did not answer in time")]
    TooSlow,
}

/// Connects to public addresses, and to those of the allowed networks.
#[derive(Debug, Clone)]
pub(super) struct Guarded(pub(super) Arc<Networks>);

impl Service<Uri> for Guarded {
    type Response = TokioIo<TcpStream>;
    type Error = NotConnected;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, NotConnected>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), NotConnected>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let allowed = self.0.clone();
        Box::pin(async move {
            let connecting = connect(&allowed, &uri);
            timeout(CONNECT, connecting).await.unwrap_or(Err(NotConnected::TooSlow)).map(TokioIo::new)
        })
    }
}

async fn connect(allowed: &Networks, uri: &Uri) -> Result<TcpStream, NotConnected> {
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let port = uri.port_u16().unwrap_or(443);
    let addresses: Vec<SocketAddr> =
        lookup_host((host, port)).await.map_err(|_| NotConnected::Address)?.collect();
    // One private address among several refuses the name: a name server may change their order at each question.
    let may_be_asked = |address: IpAddr| is_public(address) || allowed.contain(address);
    if addresses.is_empty() || !addresses.iter().all(|address| may_be_asked(address.ip())) {
        return Err(NotConnected::Address);
    }
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses.into_iter().take(MOST_ADDRESSES) {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // An answer is small, so nothing is gained by collecting bytes.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(NotConnected::Unreachable(last))
}
