//! What a node that has more to do than it can does **not** do, and in which order: load shedding.
//!
//! The sign of overload is work that has to wait although nothing is broken ([`Waits`]). From it follows a [`Level`], by
//! a pure function, and from the level the kinds of [`WorkKind`] that are refused. What people would miss least is refused
//! first; sends are refused last. A request or frame asks ([`Overload::admit`]) at the price of one atomic load.

mod level;
mod shedding;
mod shortest;
mod work;

pub use level::{Level, Waits};
pub use shedding::{Overload, Shed};
pub use shortest::Shortest;
pub use work::WorkKind;
