//! **Reading**: who may read what of a conversation, decided on the log, and how fresh the views must be.
//!
//! The views say what there is; the log says who may see it. Each of these functions asks the log first.

mod error;
mod found;
mod lists;
mod messages;
mod open;
mod past;
mod presence;
mod when;

pub use error::{NoSuchPoint, ReadError};
pub use open::Reading;
pub use when::{Asked, Standing, When};

pub(crate) use found::SEARCHES;
