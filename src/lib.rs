//! Verbatim: the chat backend that keeps every word, in order, once, and can prove it.

pub mod dev;
pub mod domain;
