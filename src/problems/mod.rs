//! How every door says **no**: the refusal of a request as an RFC 9457 problem document, with the same members
//! and headers at the listener, at the REST edge and at the handshake of a WebSocket.

mod codes;
mod problem;
mod request_id;

pub(crate) use codes::{PATH, all, find};
pub(crate) use problem::{CONTENT_TYPE, Document, EXAMPLE_ID, FieldError, Problem};
pub(crate) use request_id::RequestId;
