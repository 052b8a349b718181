//! Verbatim: the chat backend that keeps every word, in order, once, and can prove it.

pub mod domain;
pub mod gateway;
pub mod listen;
