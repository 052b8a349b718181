//! **Keeping** the views true: the log into the views, batch by batch. One of several projectors works on a stream and
//! the others stand by. After a restart a projector goes on behind the checkpoint. [`rebuild()`] makes views anew beside
//! the live ones, and [`verify()`] compares the two.

mod apply;
mod kinship;
mod project;
mod reader;
mod rebuild;
mod scratch;
mod stopped;
mod turn;
mod verify;

pub(crate) use kinship::{AnotherLog, Kinship, NotCompared, kinship};
pub use project::project;
pub use rebuild::{Consent, rebuild};
pub(crate) use scratch::NotBuilt;
pub use scratch::Work;
pub(crate) use verify::Verified;
pub use verify::verify;
