//! The input of a process, and its report when it serves.

use std::{net::SocketAddr, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{clock::Clock, projector::Consent, supervise::Supervisor};

/// The addresses of the servers.
#[derive(Debug, Clone)]
pub struct Addresses {
    /// nats-server.
    pub nats: String,
    /// Postgres.
    pub database: String,
}

/// The addresses of both listeners.
#[derive(Debug, Clone, Copy)]
pub struct Listening {
    /// REST and WebSockets.
    pub public: SocketAddr,
    /// Whether the public listener speaks TLS.
    pub is_secured: bool,
    /// Health and metrics.
    pub admin: SocketAddr,
}

/// Whether a log that is not synced before each acknowledgement is put up with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weakness {
    /// As in production.
    Refused,
    /// As in dev mode.
    Warned,
}

/// The weaknesses that a process accepts.
#[derive(Debug, Clone, Copy)]
pub struct Mode {
    /// A log that is not synced.
    pub weakness: Weakness,
    /// Whether views of another log are rebuilt and not refused.
    pub rebuild: Consent,
}

/// The input of a process from above.
pub struct Process {
    /// The time.
    pub clock: Clock,
    /// Its background tasks. The first one that fails ends it.
    pub tasks: Supervisor,
    /// Ends it.
    pub stop: CancellationToken,
    /// For so long it still accepts connections while it says already that it is not ready: load balancers
    /// look now and then.
    pub drain: Duration,
}
