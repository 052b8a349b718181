//! Bytes: RFC 6455 framing, the socket, its backlog and its budget.

pub mod backlog;
pub mod budget;
pub mod close;
pub mod durable;
pub mod hearing;
pub mod incoming;
pub mod limits;
pub mod secured;
pub mod socket;
pub mod websocket;
