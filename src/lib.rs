//! Verbatim: the chat backend that keeps every word, in order, once, and can prove it.

pub mod clock;
pub mod commands;
pub mod domain;
pub mod log;
pub mod projector;
pub mod telemetry;
pub mod views;
