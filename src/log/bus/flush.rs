//! Flushes: a process asks the archiver, wherever it runs, to write what it has read.

use async_nats::Subscriber;
use futures_util::{FutureExt as _, StreamExt as _};

use crate::log::{Log, Unavailable};

const FLUSH: &str = "verbatim.archive.flush";

/// The requests that an archiver receives.
pub(crate) struct FlushRequests(Subscriber);

impl Log {
    /// Asks the archiver to write what it has read. The request may be lost; the archiver then writes a little later.
    pub(crate) async fn ask_for_flush(&self) -> Result<(), Unavailable> {
        self.client.publish(FLUSH, Default::default()).await.map_err(Unavailable::because)?;
        self.client.flush().await.map_err(Unavailable::because)
    }

    /// Subscribes to the requests.
    pub(crate) async fn flushes(&self) -> Result<FlushRequests, Unavailable> {
        self.client.subscribe(FLUSH).await.map(FlushRequests).map_err(Unavailable::because)
    }
}

impl FlushRequests {
    /// Waits for a request, and takes all that are there: they ask for the same. Safe to cancel.
    pub(crate) async fn next(&mut self) {
        if self.0.next().await.is_none() {
            // The connection is closed, so no request will come.
            std::future::pending::<()>().await;
        }
        while self.0.next().now_or_never().flatten().is_some() {}
    }
}
