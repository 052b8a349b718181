//! The one aggregate: what may be done in a conversation, and what follows from what happened in it.

pub mod aggregate;
pub mod fold;
pub mod message;
pub mod past;
