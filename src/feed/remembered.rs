//! What this node keeps in memory of the log for those who catch up.

use crate::feed::{folds::Folds, lately::Lately, points::Points};

/// What spares the servers being asked.
pub(super) struct Remembered {
    pub(super) lately: Lately,
    pub(super) folds: Folds,
    pub(super) points: Points,
}
