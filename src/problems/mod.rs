//! How every edge says **no**: a refused request gets an RFC 9457 problem document, with the same members and headers
//! at the listener, at the REST edge and in the handshake of a WebSocket.

mod codes;
mod problem;
mod request_id;

pub(crate) use codes::{PATH, all, all_html, find};
pub(crate) use problem::{CONTENT_TYPE, Document, EXAMPLE_ID, FieldError, Problem};
pub(crate) use request_id::RequestId;
