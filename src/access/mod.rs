//! **Access**: ending what lets somebody in, on this node and on all others.

mod revoking;

pub use revoking::Revoking;
