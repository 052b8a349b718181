//! The reasons why a command fails.

use crate::{app::AppError, dev::DevError, projector::NotBuilt};

/// The reason why a command failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    #[error(transparent)]
    App(#[from] AppError),
    #[error(transparent)]
    Dev(#[from] DevError),
    #[error(transparent)]
    NotBuilt(#[from] NotBuilt),
}
