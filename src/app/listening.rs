//! Opens the listeners of a process.

use std::net::SocketAddr;

use poem::Endpoint;
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{app::AppError, listen};

/// The socket of an address.
pub(super) async fn bind(address: SocketAddr) -> Result<TcpListener, AppError> {
    TcpListener::bind(address).await.map_err(|e| AppError::Listen(address, e))
}

/// Answers its connections until it is told to stop.
pub(super) fn listen_on(
    listener: TcpListener,
    endpoint: impl Endpoint + 'static,
    settings: listen::Settings,
    stop: CancellationToken,
    connections: &TaskTracker,
) -> impl Future<Output = ()> + Send + 'static {
    let connections = connections.clone();
    async move { listen::serve(listener, endpoint, settings, stop, &connections).await }
}
