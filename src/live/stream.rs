//! Follows one stream: one task takes in every event once, in the order of the log.
//!
//! In a process with a hub, the task belongs to the hub, because joining, leaving and delivering have to happen in one
//! order with the events. Otherwise [`Stream::run`] is the whole task. Either way, the steps have this order:
//!
//! 1. **The roster and the receipts hear an event before it is shown.** Members added by this event are members when
//!    the hub shows it, and its place in the chain is known.
//! 2. **The hub shows it next**, because clients wait for the frame and for nothing that follows.
//! 3. **The known keys and the recent events take in the batch before it is noted as followed.** A look-up of a key
//!    reads how far the stream has been followed and trusts that no key up to there is missing; a resume reads the same
//!    position and finds its events in memory. If the batch were noted first, a retry in it would be mistaken for a new
//!    message.
//! 4. **The batch is noted as followed.** Commands that wait for their own event continue, and find all of the above.
//! 5. **The followers without a socket are woken last.** They ask the feed for everything up to this point, and the
//!    feed answers only for what has been followed. If they were woken earlier, they would find nothing and keep
//!    sleeping.

use std::future::pending;

use crate::{
    domain::{Event, Point, Position, Recorded},
    live::{conversations::Applied, current::Current, followers::News, verdict::Verdict},
    log::{Damaged, Log, StreamFollower},
    telemetry::METRICS,
};

/// One stream as this process follows it.
pub struct Stream {
    index: usize,
    follower: StreamFollower,
    current: Current,
    at: Point,
}

/// Events that have been read, some of which have already been taken in. [`Stream::finish`] takes the batch back.
#[must_use = "its events are noted as followed when it is finished"]
pub struct Batch {
    events: Vec<Recorded>,
    verdicts: Vec<Verdict<Position>>,
}

/// An event that has just been taken in.
pub struct Step<'a> {
    /// The event.
    pub recorded: &'a Recorded,
    /// The result of the fold.
    pub applied: Verdict<Applied>,
    /// The point of the stream before the event.
    pub before: Point,
}

impl Stream {
    /// Follows all streams, starting at the points of the conversations.
    pub fn all(log: &Log, current: &Current) -> Vec<Self> {
        let follow = |(index, at): (usize, Point)| {
            let follower = log.lead(index, at.position);
            Self { index, follower, current: current.clone(), at }
        };
        current.conversations.points().into_iter().enumerate().map(follow).collect()
    }

    /// The number of the stream.
    pub fn index(&self) -> usize {
        self.index
    }

    /// The last event that was taken in.
    pub fn at(&self) -> Point {
        self.at
    }

    /// The next events. Cancel safe. After an error, the caller stops: a damaged log stays damaged.
    pub async fn batch(&mut self) -> Result<Batch, Damaged> {
        match self.follower.batch().await {
            Ok(events) => Ok(Batch { verdicts: Vec::with_capacity(events.len()), events }),
            Err(damaged) => {
                METRICS.stopped.inc();
                self.current.followers.cut(|_| true);
                Err(damaged)
            }
        }
    }

    /// Takes in the next event of a batch; `None` when there is none left.
    pub fn take_in<'a>(&mut self, batch: &'a mut Batch) -> Option<Step<'a>> {
        let recorded = batch.events.get(batch.verdicts.len())?;
        let applied = self.current.conversations.apply(recorded);
        // A receipt of a conversation that this process does not know is skipped: nobody here can say whether it counts.
        // The next one through this process first catches up.
        if let (Verdict::Counts(_), Some(Event::ReceiptAdvanced(receipt))) = (&applied, &recorded.event) {
            let Recorded { conversation, actor, position, .. } = *recorded;
            self.current.receipts.hear(conversation, actor, position, *receipt);
        }
        batch.verdicts.push(applied.as_ref().map(|applied| applied.previous));
        let before = std::mem::replace(&mut self.at, recorded.point());
        Some(Step { recorded, applied, before })
    }

    /// Notes a batch as followed. By then, all of it has been taken in and, in a process with a hub, shown.
    pub fn finish(&mut self, batch: Batch) {
        let Batch { events, verdicts } = batch;
        self.current.grown.hear(self.index, &events);
        self.current.searched.hear(&events);
        let news: Vec<News> = events.iter().map(News::of).collect();
        self.current.lately.extend(self.index, events.into_iter().zip(verdicts));
        self.current.conversations.followed(self.index, self.at);
        self.current.followers.hear(self.index, self.at, &news);
    }

    /// Follows the stream in a process without a hub.
    pub async fn run(mut self) {
        loop {
            match self.batch().await {
                Ok(mut batch) => {
                    while self.take_in(&mut batch).is_some() {}
                    self.finish(batch);
                }
                Err(damaged) => {
                    tracing::error!(error = %damaged, "stopped following a stream: the log is damaged");
                    break;
                }
            }
        }
        // Projectors that read from this follower now read for themselves.
        drop(self);
        // A damaged log is still damaged after a restart, and readiness reports it. The process keeps running for the
        // work that needs no current roster.
        pending::<()>().await;
    }
}
