//! Why a command did not succeed.

use crate::{app::AppError, dev::DevError, projector::NotBuilt};

/// The reasons for which a command fails.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    #[error(transparent)]
    App(#[from] AppError),
    #[error(transparent)]
    Dev(#[from] DevError),
    #[error(transparent)]
    NotBuilt(#[from] NotBuilt),
}
