//! The claim on an archive: only one process at a time writes there.

use std::time::Duration;

use tokio::{
    sync::watch,
    time::{Instant, timeout},
};
use uuid::Uuid;

use crate::{
    archive::{ArchiveError, ArchiveTarget},
    log::{CLAIM, Claim, ClaimBucket, Log, NodeId},
};

/// How often the claim on the archive is renewed, and the age of the last renewal at which the holder gives the claim
/// up for lost.
pub(super) const RENEW: Duration = Duration::from_secs(2);
const OVER: Duration = CLAIM.checked_sub(Duration::from_secs(3)).expect("a claim lasts for longer");
/// How long an answer about the claim may take.
const ANSWER: Duration = Duration::from_secs(2);

/// The claim of this process on an archive.
pub(super) struct Held {
    bucket: ClaimBucket<Uuid>,
    claim: Claim<Uuid>,
    node: NodeId,
    renewed: watch::Sender<Instant>,
}

/// How long the claim may be relied on.
pub(super) struct Term(watch::Receiver<Instant>);

impl Held {
    /// Claims an archive; `None` if another process has it.
    pub(super) async fn take(log: &Log, target: &ArchiveTarget) -> Result<Option<Self>, ArchiveError> {
        let (bucket, node, renewed) =
            (log.archive_claims().await?, NodeId::new(), watch::Sender::new(Instant::now()));
        let claim = bucket.take(target.id(), &node).await?;
        Ok(claim.map(|claim| Self { bucket, claim, node, renewed }))
    }

    pub(super) async fn renew(&mut self) -> Result<(), ArchiveError> {
        let begun = Instant::now();
        match timeout(ANSWER, self.bucket.renew(self.claim, &self.node)).await {
            Ok(Ok(Some(claim))) => {
                self.claim = claim;
                self.renewed.send_replace(begun);
            }
            Ok(Ok(None)) => return Err(ArchiveError::Lost),
            // The next attempt may get an answer.
            Ok(Err(_)) | Err(_) => {}
        }
        self.term().is_valid()
    }

    pub(super) fn term(&self) -> Term {
        Term(self.renewed.subscribe())
    }

    /// Gives the claim back. If that fails, the claim soon expires by itself.
    pub(super) async fn give_back(self) {
        let _ = timeout(ANSWER, self.bucket.give_back(self.claim)).await;
    }
}

impl Term {
    pub(super) fn is_valid(&self) -> Result<(), ArchiveError> {
        if self.0.borrow().elapsed() < OVER { Ok(()) } else { Err(ArchiveError::Lost) }
    }
}
