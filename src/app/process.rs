//! The input of a process, and the addresses that it reports once it serves.

use std::{net::SocketAddr, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{clock::Clock, log::NatsServers, projector::Consent, supervise::Supervisor};

/// The addresses of the servers.
#[derive(Debug, Clone)]
pub struct Addresses {
    /// nats-server.
    pub nats: NatsServers,
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

/// Whether the process accepts a log that is not synced before each acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weakness {
    /// The process refuses to start, as in production.
    Refused,
    /// The process warns and starts, as in dev mode.
    Warned,
}

/// The weaknesses that a process accepts.
#[derive(Debug, Clone, Copy)]
pub struct Mode {
    /// Whether a log that is not synced is accepted.
    pub weakness: Weakness,
    /// Whether views of another log are rebuilt, or refused.
    pub rebuild: Consent,
}

/// The input that a process gets from its caller: time, tasks and the signal to stop.
pub struct Process {
    /// The clock of all parts of the process.
    pub clock: Clock,
    /// The background tasks of the process. The first task that fails stops the process.
    pub tasks: Supervisor,
    /// Stops the process when it is cancelled.
    pub stop: CancellationToken,
    /// How long a stopping process still accepts connections while `/readyz` already answers 503. Load balancers poll
    /// it only now and then.
    pub drain: Duration,
}
