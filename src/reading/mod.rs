//! **Reading**: who may read what of a conversation, decided on the log, and how fresh the views must be.
//!
//! The views say what there is; the log says who may see it. Each of these functions asks the log first.

mod error;
mod found;
mod lists;
mod open;
mod past;
mod presence;

pub use error::{NoSuchPoint, ReadError};
pub use open::{Reading, Standing};

pub(crate) use found::SEARCHES;
