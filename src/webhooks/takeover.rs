//! Taking over an endpoint: the node becomes its owner, and learns how far its events were sent.

use std::time::Duration;

use tokio::time::timeout;

use crate::{
    domain::{Position, WebhookId},
    hooks::{EndpointProgress, StoredEndpoint, endpoints, progress},
    webhooks::owner::Shared,
};

/// How long a server may take for an answer.
const ANSWER: Duration = Duration::from_secs(3);

/// Takes over an endpoint that this node has claimed; `None` if that is not possible now.
pub(super) async fn take_over(shared: &Shared, id: WebhookId) -> Option<(StoredEndpoint, EndpointProgress)> {
    let Shared { pool, log, .. } = shared;
    let taking = async {
        let Some(stored) = endpoints::take(pool, id).await? else { return Ok(None) };
        // The progress is read after the takeover: from then on, anything that an earlier owner writes is refused.
        let progress = progress::load(pool, id).await?;
        Ok::<_, sqlx::Error>(Some((stored, progress)))
    };
    let (stored, mut progress) = match timeout(ANSWER, taking).await {
        Ok(Ok(taken)) => taken?,
        Err(_) => return None,
        Ok(Err(error)) => {
            tracing::warn!(%error, webhook = %id, "could not take over a webhook; retrying");
            return None;
        }
    };
    // The ends are read after the progress, so a cursor that is beyond them is wrong.
    let ends = timeout(ANSWER, log.ends()).await.ok()?.ok()?;
    put_back(&ends, id, &mut progress);
    Some((stored, progress))
}

/// Sets cursors back to the ends of their streams: the log may have been restored from an older copy, and without this,
/// new events would be skipped until the log has grown past its old end.
fn put_back(ends: &[Position], id: WebhookId, progress: &mut EndpointProgress) {
    for cursor in &mut progress.cursors {
        let Some(end) = ends.get(cursor.stream).filter(|end| cursor.position > **end) else { continue };
        tracing::warn!(
            webhook = %id, stream = cursor.stream, cursor = %cursor.position, %end,
            "the cursor of a webhook was beyond the end of the log, which has lost events; reset it to the end"
        );
        cursor.position = *end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hooks::StreamCursor;

    #[test]
    fn a_cursor_beyond_the_end_of_its_stream_is_put_back() {
        let cursor = |(stream, at)| StreamCursor { run: None, stream, position: Position(at), until: None };
        let mut progress = EndpointProgress {
            cursors: [(0, 4), (1, 9), (2, 9)].map(cursor).into(),
            held: Vec::new(),
            replays: Vec::new(),
        };
        put_back(&[Position(5), Position(5)], WebhookId::known(uuid::Uuid::nil()), &mut progress);
        let positions: Vec<_> = progress.cursors.iter().map(|cursor| cursor.position.0).collect();
        assert_eq!(positions, [4, 5, 9], "the log has no stream 2");
    }
}
