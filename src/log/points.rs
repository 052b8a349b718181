//! Whether a log is the one that it was. A position alone does not tell: a log that was restored from an
//! older copy grows over the same positions again. The id of the event at a position does. All that is
//! asked here is answered by the leader of the stream, so no lagging replica can make a sound log look
//! damaged.

use async_nats::jetstream::stream::RawMessageErrorKind;

use super::{Log, Unavailable, envelope, streams};
use crate::domain::{EventId, Point, Position};

/// What a stream has at a point that somebody knows from before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// That very event.
    Same,
    /// Nothing yet: the stream ends before it.
    Ahead {
        /// Where it ends.
        last: Position,
    },
    /// Another event.
    Another(EventId),
    /// Nothing any more, although later events are there.
    Missing,
}

impl Log {
    /// The last event of a stream.
    pub async fn end(&self, stream: usize) -> Result<Point, Unavailable> {
        let position = self.last(stream).await?;
        let event = self.event_at(stream, position).await?;
        // An event that was deleted just there is the business of those who read over it.
        Ok(Point { position, event: event.unwrap_or(Point::START.event) })
    }

    /// Whether a stream has the event of a point.
    pub async fn holds(&self, stream: usize, point: Point) -> Result<Holds, Unavailable> {
        if point.position == Position::START {
            return Ok(Holds::Same);
        }
        let found = self.event_at(stream, point.position).await?;
        match found {
            Some(event) if event == point.event => Ok(Holds::Same),
            Some(event) => Ok(Holds::Another(event)),
            None => {
                let last = self.last_by_leader(stream).await?;
                Ok(if last < point.position { Holds::Ahead { last } } else { Holds::Missing })
            }
        }
    }

    /// The id of the event at a position, as far as it has one that can be read; `None` if there is no
    /// message.
    pub async fn event_at(&self, stream: usize, position: Position) -> Result<Option<EventId>, Unavailable> {
        if position == Position::START {
            return Ok(Some(Point::START.event));
        }
        let of = self.jetstream.get_stream_no_info(streams::name(stream)).await;
        match of.map_err(Unavailable::because)?.get_raw_message(position.0).await {
            Ok(message) => Ok(Some(envelope::id(Some(&message.headers)))),
            Err(e) if e.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
            Err(e) => Err(Unavailable::because(e)),
        }
    }
}
