//! Opens the listeners of a process.

use std::net::SocketAddr;

use poem::Endpoint;
use tokio::net::{TcpListener, TcpSocket};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{app::AppError, listen};

/// The number of connections that the kernel queues until they are accepted. The kernel lowers it to its own limit
/// (`net.core.somaxconn`) and drops further connections. Such a client tries again after a second, then after three,
/// seven and fifteen.
const BACKLOG: u32 = 65_535;

/// Opens a listening socket at an address.
pub(super) fn bind(address: SocketAddr) -> Result<TcpListener, AppError> {
    let listen = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    listen().map_err(|e| AppError::Listen(address, e))
}

/// Serves the connections of a listener until `stop` is cancelled.
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
