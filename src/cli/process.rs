//! The input of a process: the system's clock, and a token that a signal cancels.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::{app::Process, clock::Clock, supervise::Supervisor};

/// The input of a process with the system's clock.
pub(super) fn process(stop: CancellationToken, drain: Duration) -> Process {
    Process { clock: Clock::system(), tasks: Supervisor::new(), stop, drain }
}

/// Keeps SIGHUP from ending this process. `systemctl reload` sends it to every node, also to one without a certificate or
/// issuers to reload. Parts that reload on it still receive it. `dev` does not call this, so it ends with its terminal.
pub(super) fn outlive_hangups() {
    // Once registered, the handler stays for the life of the process.
    if let Err(error) = signal(SignalKind::hangup()) {
        tracing::warn!(%error, "could not listen for SIGHUP, which would now end this process");
    }
}

/// A token that Ctrl-C or SIGTERM cancels.
pub(super) fn until_told() -> CancellationToken {
    let stop = CancellationToken::new();
    let told = stop.clone();
    tokio::spawn(async move {
        let (Ok(mut interrupt), Ok(mut terminate)) =
            (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
        else {
            tracing::error!("could not listen for signals; only SIGKILL stops this process");
            return;
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("stopping");
        told.cancel();
    });
    stop
}
