//! The only aggregate: the rules for commands in a conversation, and the state of a conversation after its
//! events.

pub(in crate::domain) mod acts;
pub(in crate::domain) mod aggregate;
pub(in crate::domain) mod command;
pub(in crate::domain) mod fold;
pub(in crate::domain) mod message;
pub(in crate::domain) mod past;
mod repeat;
