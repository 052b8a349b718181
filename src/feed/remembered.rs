//! The part of the log that this node keeps in memory for clients that catch up.

use std::sync::Arc;

use crate::{
    feed::{folds::Folds, points::Points},
    live::Lately,
};

/// Memory that spares requests to the servers.
pub(super) struct Remembered {
    pub(super) lately: Arc<Lately>,
    pub(super) folds: Folds,
    pub(super) points: Points,
}
