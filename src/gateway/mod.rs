//! The WebSocket edge, `verbatim.v1`. Its layers, from the bottom up, are bytes ([`wire`]), vocabulary ([`frames`]),
//! delivery ([`hub`]), one socket (`session`), and the tasks that run until the process exits (`watch`).
//!
//! The [`hub`] follows the log once for the whole process and hands each event, encoded once, to the sockets of the
//! members. A session is one socket after its handshake. It costs one task, and no buffer while it is idle. One sweep
//! does the occasional work for all sessions.

pub mod frames;
pub mod hub;
pub mod session;
pub mod settings;
#[cfg(test)]
mod tests;
mod watch;
pub mod wire;

pub use frames::contract::channels;
pub use session::{door::Door, places::Places, shared::Gateway};
pub use settings::GatewaySettings;
