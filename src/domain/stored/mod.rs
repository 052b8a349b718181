//! What the log keeps: a contract for years.

pub mod event;
pub mod lane;
pub mod shapes;
