//! Where the streams end, as their leaders report, and so where JetStream's duplicate windows begin.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::json;
use tokio::time::Instant;

use crate::{
    domain::{Position, Time},
    log::{
        connection::Log,
        errors::{NotRead, Unavailable},
        streams::layout,
    },
};

/// The most streams that are asked for at once.
const AT_ONCE: usize = 16;

impl Log {
    /// The last position of a stream. Look-ups after this call are at least as new.
    pub async fn last(&self, stream: usize) -> Result<Position, Unavailable> {
        let last = self.last_by_leader(stream).await?;
        match self.learn(stream, last).await {
            // The event at the end was deleted, so there is nothing to learn from it.
            Ok(()) | Err(NotRead::Damaged(_)) => Ok(last),
            Err(NotRead::Unavailable(e)) => Err(e),
        }
    }

    /// The last position of each stream, as its leader reports it: every event that was acknowledged before this call is
    /// at or before it.
    pub(crate) async fn ends(&self) -> Result<Vec<Position>, Unavailable> {
        let ends = (0..self.layout().streams).map(|stream| self.last(stream));
        stream::iter(ends).buffered(AT_ONCE).try_collect().await
    }

    /// The position before the first event that a stream has stored since a time; the end of the stream if there is
    /// none.
    pub(crate) async fn before(&self, stream: usize, since: Time) -> Result<Position, Unavailable> {
        let last = self.last(stream).await?;
        let request = json!({ "start_time": since.to_string(), "next_by_subj": ">", "batch": 1 });
        let found = self.direct_of(&layout::name(stream), &request).await?;
        Ok(found.first().map_or(last, |first| Position(first.position.0 - 1).min(last)))
    }

    pub(in crate::log) async fn last_by_leader(&self, stream: usize) -> Result<Position, Unavailable> {
        Ok(self.extent(stream).await?.last)
    }

    /// The position after which JetStream itself recognises retries of appends to a stream; `None` if its leader has
    /// not answered for a long time.
    pub fn window(&self, stream: usize) -> Option<Position> {
        self.windows[stream].begins_behind(Instant::now())
    }

    /// Asks the leaders that have not been asked lately where their streams end. To be called every few seconds.
    pub async fn keep_windows(&self) {
        let now = Instant::now();
        let quiet = (0..self.windows.len()).filter(|stream| self.windows[*stream].is_quiet(now));
        let asked = quiet.map(|stream| async move {
            if let Err(e) = self.last_by_leader(stream).await {
                tracing::debug!(error = %e, stream, "cannot read the end of a stream");
            }
        });
        stream::iter(asked).buffer_unordered(AT_ONCE).collect::<()>().await;
    }
}
