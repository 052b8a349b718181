//! What JetStream answers where there is nothing: no message, no consumer or no stream. Its answers are told apart by
//! their codes, because their texts may change.

use async_nats::jetstream::{
    ErrorCode,
    stream::{ConsumerError, ConsumerErrorKind, RawMessageError, RawMessageErrorKind},
};

/// The message that was read, if there is one.
pub(in crate::log) fn if_there<T>(read: Result<T, RawMessageError>) -> Result<Option<T>, RawMessageError> {
    match read {
        Ok(message) => Ok(Some(message)),
        Err(e) if e.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// Whether there is no such consumer on the stream.
pub(in crate::log) fn is_without_consumer(e: &ConsumerError) -> bool {
    has_code(e, ErrorCode::CONSUMER_NOT_FOUND)
}

/// Whether there is no such stream.
pub(in crate::log) fn is_without_stream(e: &ConsumerError) -> bool {
    has_code(e, ErrorCode::STREAM_NOT_FOUND)
}

fn has_code(e: &ConsumerError, code: ErrorCode) -> bool {
    matches!(e.kind(), ConsumerErrorKind::JetStream(e) if e.error_code() == code)
}
