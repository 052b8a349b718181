//! What nodes tell one another without storing it: signals, leases and peers.

pub mod lease;
pub mod peers;
pub mod signal;
