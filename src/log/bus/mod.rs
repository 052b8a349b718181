//! Messages between nodes that no stream keeps: signals, leases, peers and admitted requests.

pub(in crate::log) mod lease;
pub(in crate::log) mod peers;
pub(in crate::log) mod signal;
pub(in crate::log) mod spending;
