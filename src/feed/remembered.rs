//! The data that a node keeps in memory for clients that catch up.

use std::sync::Arc;

use crate::{
    feed::{folds::Folds, points::Points},
    live::Lately,
};

/// Events, folds and points that save requests to the servers.
pub(super) struct Remembered {
    pub(super) lately: Arc<Lately>,
    pub(super) folds: Folds,
    pub(super) points: Points,
}
