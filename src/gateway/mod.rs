//! The WebSocket edge: who is connected, what they are sent, and how they leave.

pub mod close;
pub mod websocket;
