//! Erasing: the only way by which events are deleted from the log. JetStream overwrites the message on every replica.
//!
//! Only positions that the log lists are deleted: the event `content.erased` comes before the deletion. So a hole is
//! explained before it exists, and an eraser that stops in between leaves nothing that the next one cannot finish.

use std::collections::BTreeSet;

use async_nats::jetstream::stream::{DirectGetErrorKind, Info, Stream};

use crate::{
    domain::{ConversationId, EventId, Position, Recorded},
    log::{
        Log, Unavailable, absent::if_there, envelope::GONE, level, memory::erased::ErasedEvent,
        streams::layout,
    },
};

/// The number of reads for each replica, on average: the servers choose which replica answers.
const ASKED: usize = 4;
/// The contract level of the readers that know erasures.
const KNOWS_ERASURES: u32 = 2;

impl Log {
    /// Whether every stream refuses readers that do not know erasures.
    pub(crate) async fn is_for_readers_of_erasures(&self) -> Result<bool, Unavailable> {
        for index in 0..self.layout.streams {
            let stream = self.jetstream.get_stream(layout::name(index)).await;
            let stream = stream.map_err(Unavailable::because)?;
            let level = stream.cached_info().config.metadata.get(level::READS);
            if level.and_then(|level| level.parse().ok()).is_none_or(|level: u32| level < KNOWS_ERASURES) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The erased events of a stream, as its leader lists them now.
    pub(crate) async fn erased_in(&self, stream: usize) -> Result<Vec<ErasedEvent>, Unavailable> {
        self.learn_erasures(stream).await?;
        Ok(self.erased(stream).events())
    }

    /// The erased events of a conversation, as the leader lists them now.
    pub(crate) async fn erased_events(
        &self,
        conversation: ConversationId,
    ) -> Result<Vec<ErasedEvent>, Unavailable> {
        Ok(self.erased_of(&[conversation]).await?.pop().unwrap_or_default())
    }

    /// The same of each of these conversations. Each leader is asked once.
    pub(crate) async fn erased_of(
        &self,
        conversations: &[ConversationId],
    ) -> Result<Vec<Vec<ErasedEvent>>, Unavailable> {
        let streams: BTreeSet<usize> = conversations.iter().map(|id| self.stream_of(*id)).collect();
        for stream in streams {
            self.learn_erasures(stream).await?;
        }
        let listed = |id: &ConversationId| self.erased(self.stream_of(*id)).events_of(*id);
        Ok(conversations.iter().map(listed).collect())
    }

    /// Deletes the message at a listed position. Does nothing if it is already gone.
    pub(crate) async fn erase(&self, stream: usize, position: Position) -> Result<(), Unavailable> {
        let Some(event) = self.erased(stream).at(position) else {
            return Err(Unavailable::because(format!("no record in the log says that {position} is erased")));
        };
        let name = layout::name(stream);
        let of = self.jetstream.get_stream_no_info(&name).await.map_err(Unavailable::because)?;
        match delete(&of, position, event.id).await.map_err(Unavailable::because)? {
            Deleted::Yes => Ok(()),
            Deleted::OtherEvent => Err(Unavailable::because(format!(
                "{name} has another event at {position} than the one that is erased, so nothing was deleted: was the log replaced?"
            ))),
        }
    }

    /// Whether the leader has nothing at a position.
    pub(crate) async fn is_gone(&self, stream: usize, position: Position) -> Result<bool, Unavailable> {
        let of =
            self.jetstream.get_stream_no_info(layout::name(stream)).await.map_err(Unavailable::because)?;
        has_nothing_at(&of, position).await.map_err(Unavailable::because)
    }

    /// The positions at which a replica of a stream still has a message; `None` if a replica is offline, behind or silent.
    ///
    /// The leader is read. Another replica has nothing at these positions either once it has executed what the leader had
    /// committed by then, which the servers report. If they do not, the replicas are read, too, as far as chance allows.
    pub(crate) async fn left_at(
        &self,
        stream: usize,
        positions: &[Position],
    ) -> Result<Option<BTreeSet<Position>>, Unavailable> {
        let of = self.jetstream.get_stream(layout::name(stream)).await.map_err(Unavailable::because)?;
        if !follow(of.cached_info()) {
            return Ok(None);
        }
        let mut left = BTreeSet::new();
        for position in positions {
            if !has_nothing_at(&of, *position).await.map_err(Unavailable::because)? {
                left.insert(*position);
            }
        }
        if self.layout.replicas == 1 {
            return Ok(Some(left));
        }
        match self.replicas_are_current(stream).await {
            Ok(Some(true)) => {}
            Ok(Some(false)) => return Ok(None),
            // Other requests need not wait for a replica that does not report, so this is not an error.
            Err(error) => {
                tracing::debug!(%error, "could not read the Raft logs");
                return Ok(None);
            }
            Ok(None) => {
                for position in positions {
                    if !self.is_gone_by_chance(&of, *position).await? {
                        left.insert(*position);
                    }
                }
            }
        }
        Ok(Some(left))
    }

    /// Whether no replica that answers has anything at a position. The servers choose which replica answers. A mirror may
    /// answer, too.
    async fn is_gone_by_chance(&self, of: &Stream, position: Position) -> Result<bool, Unavailable> {
        for _ in 0..ASKED * self.layout.replicas {
            match of.direct_get(position.0).await {
                Ok(_) => return Ok(false),
                Err(e) if e.kind() == DirectGetErrorKind::NotFound => {}
                Err(e) => return Err(Unavailable::because(e)),
            }
        }
        Ok(true)
    }

    /// Whether a consumer has acknowledged everything up to a position, or has nothing more to read; `None` if it does
    /// not read the stream.
    pub(crate) async fn has_passed(
        &self,
        consumer: &str,
        stream: usize,
        position: Position,
    ) -> Result<Option<bool>, Unavailable> {
        let info = self.durable_info(consumer, &layout::name(stream)).await.map_err(Unavailable::because)?;
        let passed = |info: async_nats::jetstream::consumer::Info| {
            let waits = info.num_pending + info.num_ack_pending as u64;
            waits == 0 || info.ack_floor.stream_sequence >= position.0
        };
        Ok(info.map(passed))
    }
}

/// The result of deleting an erased event.
pub(in crate::log) enum Deleted {
    /// It is gone.
    Yes,
    /// There is another event at its position, which stays.
    OtherEvent,
}

/// Deletes an erased event, or the placeholder that a restore has put in its place.
pub(in crate::log) async fn delete<T>(
    stream: &Stream<T>,
    position: Position,
    event: EventId,
) -> Result<Deleted, String> {
    let there = if_there(stream.get_raw_message(position.0).await).map_err(|e| e.to_string())?;
    let Some(there) = there else { return Ok(Deleted::Yes) };
    let (sequence, headers) = (there.sequence, Some(&there.headers));
    let there = Recorded::read_or_poison(sequence, &there.subject, headers, there.payload);
    if there.id != event && there.word != GONE {
        return Ok(Deleted::OtherEvent);
    }
    delete_at(stream, position).await.map(|()| Deleted::Yes)
}

/// Deletes the message at a position on every replica, which overwrites it. Does nothing if it is already gone.
pub(in crate::log) async fn delete_at<T>(stream: &Stream<T>, position: Position) -> Result<(), String> {
    match stream.delete_message(position.0).await {
        Ok(_) => Ok(()),
        Err(_) if has_nothing_at(stream, position).await.is_ok_and(|is_gone| is_gone) => Ok(()),
        Err(e) => Err(e.to_string()),
    }
}

/// Whether the leader of a stream has nothing at a position.
pub(in crate::log) async fn has_nothing_at<T>(
    stream: &Stream<T>,
    position: Position,
) -> Result<bool, String> {
    let there = if_there(stream.get_raw_message(position.0).await).map_err(|e| e.to_string())?;
    Ok(there.is_none())
}

/// Whether all replicas of a stream are online, and are as far as the leader.
pub(in crate::log) fn follow(info: &Info) -> bool {
    let Some(cluster) = &info.cluster else { return true };
    let others = info.config.num_replicas.saturating_sub(1);
    let follows =
        cluster.replicas.iter().filter(|one| one.current && !one.offline && one.lag.unwrap_or(0) == 0);
    follows.count() >= others
}
