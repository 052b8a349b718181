//! Why a projection stops, and whether a retry may help.

use crate::{
    domain::Epoch,
    log::{Damaged, NotRead, Unavailable},
    projector::kinship::{AnotherLog, NotCompared},
};

/// Why an attempt to project ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stopped {
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Log(#[from] Unavailable),
    #[error("the views were recreated, or another projector works on the stream")]
    NotOurs,
    #[error("{0}")]
    AnotherLog(AnotherLog),
    #[error("the views belong to epoch {0}, not to that of the log")]
    AnotherEpoch(Epoch),
    #[error("the projections of a stream are at different positions")]
    Apart,
    #[error(transparent)]
    Damaged(#[from] Damaged),
}

impl From<NotRead> for Stopped {
    fn from(e: NotRead) -> Self {
        match e {
            NotRead::Damaged(damaged) => damaged.into(),
            NotRead::Unavailable(e) => e.into(),
        }
    }
}

impl From<NotCompared> for Stopped {
    fn from(outage: NotCompared) -> Self {
        match outage {
            NotCompared::Database(e) => e.into(),
            NotCompared::Log(e) => e.into(),
        }
    }
}

impl Stopped {
    /// Whether the cause may pass by itself. Any other cause needs an operator, and is logged once instead of at every
    /// retry.
    pub(super) fn passes(&self) -> bool {
        match self {
            Self::Database(_) | Self::Log(_) | Self::NotOurs => true,
            Self::AnotherLog(_) | Self::AnotherEpoch(_) | Self::Apart | Self::Damaged(_) => false,
        }
    }
}
