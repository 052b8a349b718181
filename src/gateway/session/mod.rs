//! One socket: from its handshake to its end.

pub mod begin;
pub mod door;
pub mod handshake;
pub mod life;
pub mod places;
pub mod shared;
