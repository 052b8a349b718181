//! Which events of the log are wanted: points in the log, and the ranges between them.

use std::collections::BTreeMap;

use crate::{
    domain::{ConversationId, Position, Time},
    webhooks::not_done::{Bound, WebhookError},
};

/// Where events begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Since {
    /// With the next event.
    Now,
    /// With the first event of the log.
    Start,
    /// With the first event that was stored since a time.
    Time(Time),
    /// With an event of a conversation, or of a log that has one stream.
    Position(Position),
    /// With an event of each named stream, and with the next event of the others.
    Streams(BTreeMap<usize, Position>),
}

/// The events of a replay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Range {
    /// The events from one point on, up to another: of all conversations, or of one.
    Log { from: Since, conversation: Option<ConversationId>, until: Option<Since> },
    /// The events of these deliveries.
    Deliveries(Vec<i64>),
    /// The parked events.
    Parked,
}

impl Since {
    /// Refuses a map with a stream that the log does not have.
    pub(super) fn is_within(&self, bound: Bound, streams: usize) -> Result<(), WebhookError> {
        match self {
            Self::Streams(map) if map.keys().any(|stream| *stream >= streams) => {
                Err(WebhookError::NoSuchStream(bound, streams))
            }
            _ => Ok(()),
        }
    }

    /// Refuses a point that does not say where it is in each stream.
    pub(super) fn is_of_all(&self, bound: Bound, streams: usize) -> Result<(), WebhookError> {
        match self {
            Self::Position(_) if streams > 1 => Err(WebhookError::NoStream(bound)),
            _ => self.is_within(bound, streams),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_names_streams_of_the_log_and_the_end_that_is_wrong() {
        let (position, other) = (Since::Position(Position(7)), Since::Streams([(4, Position(7))].into()));
        assert!(position.is_of_all(Bound::From, 1).is_ok() && position.is_within(Bound::From, 4).is_ok());
        assert!(other.is_of_all(Bound::From, 5).is_ok());
        let refused = position.is_of_all(Bound::Until, 4);
        assert!(matches!(refused, Err(WebhookError::NoStream(Bound::Until))));
        for refused in [other.is_of_all(Bound::Until, 4), other.is_within(Bound::Until, 4)] {
            assert!(matches!(refused, Err(WebhookError::NoSuchStream(Bound::Until, 4))));
        }
    }
}
