//! A download: a task writes the zip. It stops at a deadline, when the client disconnects, when the login or the
//! account ends, and when this process stops. A zip that was cut off has no end, and its answer is cut off too, so no
//! client takes it for complete.

use std::io;

use bytes::Bytes;
use futures_util::{Stream, stream};
use tokio::{sync::mpsc, time::timeout};

use super::{
    content::Content,
    error::ExportError,
    sending::{Bounds, Piece, Sending},
};
use crate::{domain::UserId, shares::Place};

/// A download that has begun.
pub struct Download {
    pieces: mpsc::Receiver<Piece>,
    /// The file name for a browser.
    pub name: String,
}

impl Download {
    /// Begins to send. The task holds the place until it ends.
    pub(super) fn begin(content: Content, bounds: Bounds, place: Place<UserId>) -> Self {
        let (created, deadline, user) = (content.export.created_at, bounds.deadline, bounds.user);
        let (sending, pieces) = Sending::new(created, bounds);
        tokio::spawn(async move {
            let _place = place;
            match timeout(deadline, written(&content, sending)).await {
                Ok(Ok(bytes)) => tracing::info!(%user, bytes, "sent an export"),
                Ok(Err(ExportError::HoldLifted)) => {
                    tracing::info!(%user, "an export was cut off: its hold was lifted");
                }
                Ok(Err(ExportError::Abandoned | ExportError::Over)) => {
                    tracing::info!(%user, "an export was cut off: the client disconnected or lost its access");
                }
                Ok(Err(ExportError::NotTaken)) | Err(_) => {
                    tracing::info!(%user, "an export was cut off: the client was too slow");
                }
                Ok(Err(e)) => tracing::warn!(%user, error = %e, "could not send an export"),
            }
        });
        Self { pieces, name: format!("verbatim-export-{}.zip", created.datetime().date()) }
    }

    /// The bytes of the zip. The stream ends with an error if the zip was cut off.
    pub fn bytes(self) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
        stream::unfold(Some(self.pieces), |pieces| async move {
            let mut pieces = pieces?;
            match pieces.recv().await {
                Some(Piece::Bytes(bytes)) => Some((Ok(bytes), Some(pieces))),
                Some(Piece::End) => None,
                None => Some((Err(io::Error::other("the export was cut off")), None)),
            }
        })
    }
}

async fn written(content: &Content, mut sending: Sending) -> Result<u64, ExportError> {
    let unwanted = sending.is_unwanted();
    tokio::select! {
        () = unwanted => return Err(ExportError::Abandoned),
        written = content.write(&mut sending) => written?,
    }
    sending.finish().await
}
