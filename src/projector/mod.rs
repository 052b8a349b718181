//! **Keeping** the views true: projectors apply the log to the views, batch by batch. For each stream, one projector is
//! active and the others stand by. After a restart a projector continues after the checkpoint. [`rebuild()`] builds a
//! new set of views beside the live ones and replaces them, and [`verify()`] builds a set and compares it with the live
//! ones.

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
