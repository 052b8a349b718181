//! The one aggregate: what may be done in a conversation, and what follows from what happened in it.

pub(in crate::domain) mod acts;
pub(in crate::domain) mod aggregate;
pub(in crate::domain) mod command;
pub(in crate::domain) mod fold;
pub(in crate::domain) mod message;
pub(in crate::domain) mod past;
