//! The published documents.

pub mod asyncapi;
