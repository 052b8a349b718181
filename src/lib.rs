//! Verbatim: the chat backend that keeps every word, in order, once, and can prove it.

pub mod admin;
pub mod api;
pub mod app;
pub mod asyncapi;
pub mod auth;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod config;
pub mod dev;
pub mod domain;
pub mod feed;
pub mod gateway;
pub mod listen;
pub mod log;
pub mod presence;
pub mod projector;
pub mod telemetry;
pub mod views;
