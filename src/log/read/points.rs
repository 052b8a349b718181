//! Points: is this still the same log? A position alone does not show it, because a log that was restored from an older
//! copy grows over the same positions again. The id of the event at the position does. The leader of the stream answers
//! all requests of this file, so a lagging replica cannot make a sound log look damaged.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::{
    domain::{EventId, Point, Position},
    log::{Log, Unavailable, absent::if_there, envelope, streams::layout},
};

/// The longest wait for an event that a stream does not have yet: a new leader may not have applied its whole log.
const TAKEN_IN_WITHIN: Duration = Duration::from_secs(2);
/// The wait before the next request.
const PAUSE: Duration = Duration::from_millis(200);

/// Whether a stream still has the event of a point from the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// The event of the point.
    Same,
    /// Another event, or none.
    Instead(Found),
}

/// What was found at a position of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// An event; the id is nil if it cannot be read.
    Event(EventId),
    /// Nothing yet: the stream ends before the position.
    Ahead {
        /// The last position of the stream.
        last: Position,
    },
    /// Nothing any more, although the stream has later events.
    Missing,
}

impl Log {
    /// The last event of a stream.
    pub async fn end(&self, stream: usize) -> Result<Point, Unavailable> {
        let position = self.last(stream).await?;
        let event = self.message_at(stream, position).await?;
        // Readers that come across a hole at the end report it.
        Ok(Point { position, event: event.unwrap_or(Point::START.event) })
    }

    /// Whether a stream has the event of a point.
    pub async fn holds(&self, stream: usize, point: Point) -> Result<Holds, Unavailable> {
        let found = self.find(stream, point.position).await?;
        Ok(if found == Found::Event(point.event) { Holds::Same } else { Holds::Instead(found) })
    }

    /// Finds the event at a position.
    pub async fn find(&self, stream: usize, position: Position) -> Result<Found, Unavailable> {
        let give_up = Instant::now() + TAKEN_IN_WITHIN;
        loop {
            if let Some(event) = self.message_at(stream, position).await? {
                return Ok(Found::Event(event));
            }
            let last = self.last_by_leader(stream).await?;
            if last >= position {
                return Ok(Found::Missing);
            }
            if Instant::now() > give_up {
                return Ok(Found::Ahead { last });
            }
            sleep(PAUSE).await;
        }
    }

    /// The id of the message at a position; `None` if there is no message.
    async fn message_at(&self, stream: usize, position: Position) -> Result<Option<EventId>, Unavailable> {
        if position == Position::START {
            return Ok(Some(Point::START.event));
        }
        self.know_erasures(stream).await?;
        if let Some(skeleton) = self.erased(stream).at(position) {
            return Ok(Some(skeleton.id));
        }
        let of = self.jetstream.get_stream_no_info(layout::name(stream)).await;
        let message = if_there(of.map_err(Unavailable::because)?.get_raw_message(position.0).await);
        match message.map_err(Unavailable::because)? {
            Some(message) => Ok(Some(envelope::id(Some(&message.headers)))),
            None => Ok(self.skeleton(stream, position).await?.map(|skeleton| skeleton.id)),
        }
    }
}
