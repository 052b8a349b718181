//! Reading the audit trail.

use crate::{
    domain::Position,
    log::{AuditPage, AuditRange, Log, Unavailable},
};

/// The audit trail. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Trail {
    /// The log, whose servers also hold the stream of audit events.
    pub log: Log,
}

impl Trail {
    /// A page of audit events.
    pub(crate) async fn page(&self, range: &AuditRange, limit: usize) -> Result<AuditPage, Unavailable> {
        self.log.audits(range, limit).await
    }

    /// The position before the latest `many` positions.
    pub(crate) async fn before_latest(&self, many: usize) -> Result<Position, Unavailable> {
        let last = self.log.last_audit().await.map_err(Unavailable::because)?.unwrap_or_default();
        Ok(Position(last.0.saturating_sub(many as u64)))
    }
}
