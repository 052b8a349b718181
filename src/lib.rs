//! Verbatim: the chat backend that keeps every word, in order, once, and can prove it.

pub mod api;
pub mod asyncapi;
pub mod auth;
pub mod clock;
pub mod commands;
pub mod dev;
pub mod domain;
pub mod gateway;
pub mod listen;
pub mod log;
pub mod presence;
pub mod projector;
pub mod telemetry;
pub mod views;
