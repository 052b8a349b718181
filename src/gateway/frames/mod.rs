//! Words: the frames of `verbatim.v1`, and how a socket is closed.

pub mod close;
pub mod contract;
pub mod filter;
pub mod frame;
