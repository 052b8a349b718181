//! Reads the file of issuers again on SIGHUP.

use tokio::signal::unix::{SignalKind, signal};

use crate::issuers::Issuers;

/// Reads the file again whenever the process receives SIGHUP, and then calls `when_read`. An invalid file
/// changes nothing.
pub(crate) async fn keep_current(issuers: &Issuers, when_read: impl Fn()) {
    let Ok(mut hangups) = signal(SignalKind::hangup()) else {
        tracing::warn!("could not listen for SIGHUP; a changed issuers file needs a restart");
        return std::future::pending().await;
    };
    while hangups.recv().await.is_some() {
        match issuers.read_again() {
            Ok(number) => {
                tracing::info!(issuers = number, "reloaded the issuers");
                when_read();
            }
            Err(error) => tracing::warn!(
                file = %issuers.file().display(),
                %error,
                "could not reload the issuers; the old ones stay in use"
            ),
        }
    }
    std::future::pending::<()>().await;
}
