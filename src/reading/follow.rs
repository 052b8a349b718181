//! Following the events of a user without a socket: reading the events that exist, and then waiting for more.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::error::FollowError;
use crate::{
    clock::Clock,
    credentials::{Identity, LEEWAY},
    domain::Point,
    feed::{Behind, Feed, MissedPage, Reset},
    live::{Conversations, Ended, Follower, Followers, Revoked, Shown},
    log::Log,
    views::Stay,
};

/// How long a reader pauses that has got no place to look.
const PAUSE: Duration = Duration::from_secs(1);

/// The source of the events of all users. Cheap to clone: each reader has a clone.
#[derive(Clone)]
pub struct Events {
    /// The log, which knows whether this process has heard from it recently.
    pub log: Log,
    /// The position up to which this process has followed the log.
    pub conversations: Conversations,
    /// The events that a user has missed.
    pub feed: Feed,
    /// The requests that wait for events.
    pub followers: Arc<Followers>,
    /// The revoked logins.
    pub revoked: Arc<Revoked>,
    /// The time, by which tokens expire.
    pub clock: Clock,
    /// Whether this process is stopping.
    pub stopping: watch::Receiver<bool>,
}

/// A user who follows events, and the points up to which the user has received all events.
pub struct EventReader {
    source: Events,
    caller: Identity,
    at: Vec<Point>,
    /// The place among the followers, which wakes a waiting reader; `None` for a reader that does not wait.
    follower: Option<Arc<Follower>>,
    /// Whether the follower knows the conversations of the user.
    is_settled: bool,
    /// Whether there may be events after `at`.
    is_behind: bool,
}

impl Events {
    /// A reader of the events after a cursor, or from now on. A reader that waits takes a place among the followers.
    pub async fn follow(
        &self,
        caller: Identity,
        cursor: Option<String>,
        waits: bool,
    ) -> Result<EventReader, FollowError> {
        let follower = if waits { Some(Arc::new(self.followers.enter(&caller)?)) } else { None };
        let now = self.conversations.points();
        let at = match cursor {
            None => now,
            Some(cursor) => self.feed.points(caller.user, &cursor, &now).await??,
        };
        Ok(EventReader { source: self.clone(), caller, at, follower, is_settled: false, is_behind: true })
    }
}

impl EventReader {
    /// Refuses a cursor after which messages have expired by now: once a stream has begun, it could only be ended.
    pub async fn must_be_whole(&self) -> Result<(), FollowError> {
        let Events { feed, conversations, .. } = &self.source;
        let to = farther(&self.at, &conversations.points());
        match feed.missed(self.caller.user, self.at.clone(), to).await?.is_expired() {
            true => Err(Reset::Retention.into()),
            false => Ok(()),
        }
    }

    /// The cursor after all events that the reader has returned.
    pub fn cursor(&self) -> String {
        self.cursor_at(&self.at)
    }

    /// The cursor after all events up to these points.
    pub fn cursor_at(&self, at: &[Point]) -> String {
        self.source.feed.cursor(self.caller.user, at)
    }

    /// The milliseconds after which a client reopens a broken stream. The number is random, so that streams that broke
    /// at the same time do not come back at the same time.
    pub fn retry(&self) -> u128 {
        let drawn = self.source.clock.id(|id| id.as_u128()) & u128::from(u32::MAX);
        1_000 + drawn % 4_000
    }

    /// Whether this process is stopping.
    pub fn is_stopping(&self) -> bool {
        *self.source.stopping.borrow()
    }

    /// Waits for the next events, each with the points after that event. Returns no events if none arrived before
    /// `until`, if this process is stopping, or if the reader does not wait and there are none now.
    pub async fn next(
        &mut self,
        limit: usize,
        until: Instant,
    ) -> Result<Vec<(Shown, Vec<Point>)>, FollowError> {
        loop {
            self.may_go_on()?;
            let mut is_crowded = false;
            if self.is_behind {
                let looked = self.look_unless_cut(limit).await;
                self.may_go_on()?;
                match looked {
                    Ok(events) if events.is_empty() => {}
                    Ok(events) => return Ok(events),
                    // A reader that waits anyway looks again. If it ended, it would come back and cost more look-ups.
                    Err(FollowError::Behind(Behind::Crowded(_))) if self.is_settled => is_crowded = true,
                    Err(e) => return Err(e),
                }
            }
            let Some(follower) = &self.follower else { return Ok(Vec::new()) };
            let wakes_at = if is_crowded {
                self.is_behind = true;
                until.min(Instant::now() + PAUSE)
            } else if let Some(quiet) = follower.quiet() {
                self.at = farther(&self.at, &quiet);
                until
            } else {
                self.is_behind = true;
                continue;
            };
            if Instant::now() >= until || self.is_stopping() {
                return Ok(Vec::new());
            }
            let mut stopping = self.source.stopping.clone();
            tokio::select! {
                () = follower.woken(), if !is_crowded => {}
                () = follower.is_cut() => return Err(self.why_cut()),
                () = sleep_until(wakes_at.min(self.expires())) => {}
                _ = stopping.wait_for(|stopping| *stopping) => {}
            }
        }
    }

    async fn look_unless_cut(&mut self, limit: usize) -> Result<Vec<(Shown, Vec<Point>)>, FollowError> {
        let Some(follower) = self.follower.clone() else { return self.look(limit).await };
        tokio::select! {
            biased;
            () = follower.is_cut() => Err(self.why_cut()),
            events = self.look(limit) => events,
        }
    }

    /// Reads the events between `at` and now. Only a read that has to replay events takes a turn, so that idle readers
    /// take no turns from others.
    async fn look(&mut self, limit: usize) -> Result<Vec<(Shown, Vec<Point>)>, FollowError> {
        let Events { feed, conversations, log, .. } = &self.source;
        let now = match &self.follower {
            Some(follower) => follower.look(),
            None => conversations.points(),
        };
        // A cursor of another node may be ahead of this node for a moment.
        let to = farther(&self.at, &now);
        let (from, upto) = (Point::positions(&self.at), Point::positions(&to));
        let memberships = feed.memberships(self.caller.user, &from, &upto).await?;
        if let Some(follower) = self.follower.as_ref().filter(|_| !self.is_settled) {
            // The views may be ahead of this process: it may not have seen the event that ends a membership yet.
            let is_ahead = |stay: &&Stay| stay.until > Some(now[log.stream_of(stay.conversation)].position);
            let leaving = memberships.past.iter().filter(is_ahead);
            let stays = memberships.present.iter().chain(leaving);
            follower.listens_to(stays.map(|stay| stay.conversation), &now);
            self.is_settled = true;
        }
        let mut missed = feed.missed_in(self.caller.user, self.at.clone(), to.clone(), memberships);
        self.is_behind = false;
        if missed.is_nothing() {
            self.at = to;
            return Ok(Vec::new());
        }
        let _turn = feed.turn(self.caller.user).await?;
        while let Some(MissedPage { events, at }) = missed.page(limit).await? {
            let before = std::mem::replace(&mut self.at, at);
            if !events.is_empty() {
                self.is_behind = self.at != to;
                return Ok(self.placed(before, events));
            }
        }
        Ok(Vec::new())
    }

    fn placed(&self, mut at: Vec<Point>, events: Vec<Shown>) -> Vec<(Shown, Vec<Point>)> {
        let placed = |shown: Shown| {
            at[self.source.log.stream_of(shown.recorded.conversation)] = shown.recorded.point();
            (shown, at.clone())
        };
        events.into_iter().map(placed).collect()
    }

    /// Whether the caller may get more events.
    fn may_go_on(&self) -> Result<(), FollowError> {
        match self.source.revoked.why(&self.caller) {
            Some(Ended::Suspended) if self.caller.is_acted_for() => return Err(FollowError::MayNotActFor),
            Some(ended) => return Err(FollowError::Ended(ended)),
            None => {}
        }
        if self.source.clock.now() >= self.caller.expires_at.plus(LEEWAY) {
            Err(FollowError::Expired(self.caller.proof))
        } else if !self.source.log.is_current_everywhere() {
            Err(FollowError::CutOff)
        } else {
            Ok(())
        }
    }

    /// The time at which the token ends, with leeway.
    fn expires(&self) -> Instant {
        Instant::now() + self.caller.expires_at.plus(LEEWAY).since(self.source.clock.now())
    }

    fn why_cut(&self) -> FollowError {
        self.may_go_on().err().unwrap_or(FollowError::CutOff)
    }
}

/// The farther point of each stream.
fn farther(one: &[Point], other: &[Point]) -> Vec<Point> {
    let of_both = one.iter().zip(other);
    of_both.map(|(one, other)| if other.position > one.position { *other } else { *one }).collect()
}
