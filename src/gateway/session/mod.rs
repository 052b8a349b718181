//! One socket, from its handshake to its end.

mod answers;
mod begin;
pub mod door;
mod early;
mod going_live;
pub mod handshake;
mod hello;
mod life;
mod opening;
pub mod places;
mod present;
mod resume;
pub mod shared;
mod strikes;
