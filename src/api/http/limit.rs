//! The bound of a request's body: told in `/v1/info`, held where a body is read.

/// The most bytes of a request's body.
pub(in crate::api) const BODY: usize = 64 * 1024;
