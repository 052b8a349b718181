//! How much is **too much**: a node with more work than it can do refuses some of it, in a fixed order (load
//! shedding).
//!
//! The sign of overload is work that has to wait although nothing is broken ([`Waits`]). A pure function turns the
//! waits into a [`Level`], and the level says which [`WorkKind`]s are refused: first the work that people miss least,
//! sends last. The check of a request or frame ([`Overload::admit`]) costs one atomic load.

mod level;
mod shedding;
mod shortest;
mod work;

pub use level::{Level, Waits};
pub use shedding::{Overload, Shed};
pub use shortest::Shortest;
pub use work::WorkKind;
