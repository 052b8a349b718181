//! The WebSocket edge: who is connected, what they are sent, and how they leave.

mod backlog;
pub mod close;
pub mod handshake;
pub mod incoming;
pub mod socket;
pub mod websocket;

#[cfg(test)]
mod tests;
