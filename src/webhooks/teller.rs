//! Reading a stream: determines which of its events count, and which event is before each in its conversation.

use std::{collections::HashMap, sync::Arc};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use crate::{
    domain::{ConversationId, Fold, Position, Recorded},
    log::{Log, NotRead, StreamFollower},
    webhooks::told::Told,
};

/// The most conversations, and the most members of them together, whose folds are kept.
const FOLDS: usize = 20_000;
const MEMBERS: usize = 500_000;
/// The number of conversations that are folded concurrently.
const AT_ONCE: usize = 16;

/// Events of a stream that count, and how far the stream was read for them.
#[derive(Debug, Clone)]
pub(super) struct Batch {
    pub(super) events: Vec<Arc<Told>>,
    pub(super) upto: Position,
}

/// A reader of one stream.
pub(super) struct Teller {
    log: Log,
    follower: StreamFollower,
    folds: HashMap<ConversationId, Fold>,
    members: usize,
    /// Events that were read and not returned yet.
    read: Vec<Recorded>,
}

impl Teller {
    /// Reads a stream after a position.
    pub(super) fn new(log: &Log, stream: usize, after: Position) -> Self {
        let follower = log.follow(stream, after);
        Self { log: log.clone(), follower, folds: HashMap::new(), members: 0, read: Vec::new() }
    }

    /// The next events. Safe to cancel. After an outage, call it again.
    pub(super) async fn batch(&mut self) -> Result<Batch, NotRead> {
        if self.read.is_empty() {
            self.read = self.follower.batch().await?;
        }
        self.load().await?;
        let upto = self.follower.last();
        let mut events = Vec::new();
        for recorded in self.read.drain(..) {
            let Some(fold) = self.folds.get_mut(&recorded.conversation) else { continue };
            if let Some(previous) = recorded.apply_to(fold) {
                events.push(Arc::new(Told { recorded, previous }));
            }
        }
        Ok(Batch { events, upto })
    }

    /// Folds the conversations of the read events that are not in memory, each up to its first event here.
    async fn load(&mut self) -> Result<(), NotRead> {
        if self.folds.len() > FOLDS || self.members > MEMBERS {
            self.folds.clear();
            self.members = 0;
        }
        let mut unknown: HashMap<ConversationId, (Position, bool)> = HashMap::new();
        for recorded in self.read.iter().filter(|recorded| recorded.has_conversation()) {
            if !self.folds.contains_key(&recorded.conversation) {
                unknown
                    .entry(recorded.conversation)
                    .or_insert_with(|| (Position(recorded.position.0 - 1), recorded.begins()));
            }
        }
        let log = &self.log;
        let folded: Vec<_> = stream::iter(unknown)
            .map(|(id, (before, begins))| async move {
                // Nothing precedes the beginning of a conversation.
                let fold = if begins { Fold::default() } else { log.fold(id, Some(before)).await? };
                Ok::<_, NotRead>((id, fold))
            })
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        for (id, fold) in folded {
            self.members += fold.conversation.members().len();
            self.folds.insert(id, fold);
        }
        Ok(())
    }
}

/// A part of one conversation: the events that count after a position, at most one page of the log, and how far the log
/// was read for them.
pub(super) async fn part_of(
    log: &Log,
    conversation: ConversationId,
    after: Position,
    upto: Position,
    limit: usize,
) -> Result<Batch, NotRead> {
    if after >= upto {
        return Ok(Batch { events: Vec::new(), upto });
    }
    let mut fold = log.fold(conversation, Some(after)).await?;
    let mut replay = log.replay(log.stream_of(conversation), after, upto, &[conversation]).await?;
    let page = replay.page(limit).await?;
    let last = page.last().map(|last| last.position);
    let tell = |recorded: Recorded| {
        let previous = recorded.apply_to(&mut fold)?;
        Some(Arc::new(Told { recorded, previous }))
    };
    let events = page.into_iter().filter_map(tell).collect();
    // A page may end before the conversation does; then the next part begins after its last event.
    let upto = if replay.is_over() { upto } else { last.unwrap_or(upto) };
    Ok(Batch { events, upto })
}
