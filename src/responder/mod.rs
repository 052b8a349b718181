//! The **NATS edge**: commands of programs by request and reply. It has no SQL, no tables and no rules: each command
//! corresponds to a REST request, and takes the same path.

mod commands;
mod document;
mod reply;
mod serving;
mod stops;

pub(crate) use document::channels;
pub(crate) use serving::Responder;
