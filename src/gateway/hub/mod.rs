//! Delivery: topics, listeners, and the work that is done for all sessions at once.

pub mod changed_users;
pub mod delivery;
pub mod held;
pub mod listeners;
pub mod outages;
mod pending;
pub mod requests;
pub mod stream;
pub mod sweep;
pub mod topics;
