//! The **NATS edge**: commands of programs by request and reply. It has no SQL, no tables and no rules: each command is
//! a request of REST in other words, and goes the same way.

mod commands;
mod document;
mod reply;
mod serving;

pub(crate) use document::channels;
pub(crate) use serving::Responder;
