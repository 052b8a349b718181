//! Somebody who follows their conversations: a look at what there is, and then a wait until there is
//! more.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use crate::{
    api::Problem,
    clock::Clock,
    credentials::{self, BadToken, LEEWAY},
    domain::Point,
    feed::{self, Feed},
    live::{Conversations, Follower, Followers, Revoked, Shown},
    log::Log,
    views::Stay,
};

/// When to come back to a node that could not go on.
const AGAIN: Duration = Duration::from_secs(1);

/// What following takes. Cheap to clone: each reader has its own.
#[derive(Clone)]
pub(in crate::api) struct Source {
    pub(in crate::api) log: Log,
    pub(in crate::api) conversations: Conversations,
    pub(in crate::api) feed: Feed,
    pub(in crate::api) followers: Arc<Followers>,
    pub(in crate::api) revoked: Arc<Revoked>,
    pub(in crate::api) clock: Clock,
    /// Whether this process takes nothing new any more.
    pub(in crate::api) stopping: watch::Receiver<bool>,
}

/// Somebody who follows, and how far they have been told everything.
pub(in crate::api) struct Reader {
    source: Source,
    caller: credentials::Identity,
    at: Vec<Point>,
    /// Wakes one who waits; absent for one who only looks.
    follower: Option<Arc<Follower>>,
    /// The follower knows in which conversations it is.
    is_settled: bool,
    /// There may be something behind `at`.
    is_behind: bool,
}

impl Reader {
    /// Begins at a cursor, or now. One who waits takes a place among the followers.
    pub(in crate::api) async fn begin(
        source: &Source,
        caller: credentials::Identity,
        cursor: Option<String>,
        waits: bool,
    ) -> Result<Self, Problem> {
        let follower =
            if waits { Some(Arc::new(source.followers.enter(caller.user, caller.login)?)) } else { None };
        let now = source.conversations.points();
        let at = match cursor {
            None => now,
            Some(cursor) => source.feed.points(caller.user, &cursor, &now).await??,
        };
        Ok(Self { source: source.clone(), caller, at, follower, is_settled: false, is_behind: true })
    }

    /// The cursor of one who has been told everything so far.
    pub(in crate::api) fn cursor(&self) -> String {
        self.cursor_at(&self.at)
    }

    /// The cursor of one who has been told everything up to points.
    pub(in crate::api) fn cursor_at(&self, at: &[Point]) -> String {
        self.source.feed.cursor(self.caller.user, at)
    }

    /// Milliseconds after which a stream that broke off is opened again, drawn at random: those that broke
    /// together do not come back together.
    pub(in crate::api) fn retry(&self) -> u128 {
        let drawn = self.source.clock.id(|id| id.as_u128()) & u128::from(u32::MAX);
        1_000 + drawn % 4_000
    }

    /// Whether this node is being stopped.
    pub(in crate::api) fn is_stopping(&self) -> bool {
        *self.source.stopping.borrow()
    }

    /// The next events, each with the points behind it; none when there were none until then, or this node
    /// is being stopped.
    pub(in crate::api) async fn next(
        &mut self,
        limit: usize,
        until: Instant,
    ) -> Result<Vec<(Shown, Vec<Point>)>, Problem> {
        loop {
            self.may_go_on()?;
            if self.is_behind {
                let events = self.look_unless_cut(limit).await?;
                self.may_go_on()?;
                if !events.is_empty() {
                    return Ok(events);
                }
            }
            let Some(follower) = &self.follower else { return Ok(Vec::new()) };
            let Some(quiet) = follower.quiet() else {
                self.is_behind = true;
                continue;
            };
            self.at = farther(&self.at, &quiet);
            if Instant::now() >= until || self.is_stopping() {
                return Ok(Vec::new());
            }
            let mut stopping = self.source.stopping.clone();
            tokio::select! {
                () = follower.woken() => {}
                () = follower.is_cut() => return Err(self.why_cut()),
                () = sleep_until(until.min(self.expires())) => {}
                _ = stopping.wait_for(|stopping| *stopping) => {}
            }
        }
    }

    async fn look_unless_cut(&mut self, limit: usize) -> Result<Vec<(Shown, Vec<Point>)>, Problem> {
        let Some(follower) = self.follower.clone() else { return self.look(limit).await };
        tokio::select! {
            biased;
            () = follower.is_cut() => Err(self.why_cut()),
            events = self.look(limit) => events,
        }
    }

    /// Looks at what there is between `at` and now. It takes a turn only where there is something, so that
    /// those who wait in vain are in nobody's way.
    async fn look(&mut self, limit: usize) -> Result<Vec<(Shown, Vec<Point>)>, Problem> {
        let Source { feed, conversations, log, .. } = &self.source;
        let now = match &self.follower {
            Some(follower) => follower.look(),
            None => conversations.points(),
        };
        // A cursor of another node may be ahead of this one for a moment.
        let to = farther(&self.at, &now);
        let (from, upto) = (Point::positions(&self.at), Point::positions(&to));
        let memberships = feed.memberships(self.caller.user, &from, &upto).await?;
        if let Some(follower) = self.follower.as_ref().filter(|_| !self.is_settled) {
            // The views may be ahead: an event by which somebody has left by then is still to come.
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
        while let Some(feed::MissedPage { events, at }) = missed.page(limit).await? {
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

    /// Whether the caller may still be told anything.
    fn may_go_on(&self) -> Result<(), Problem> {
        if self.source.revoked.contains(self.caller.login) {
            Err(BadToken::Invalid.into())
        } else if self.source.clock.now() >= self.caller.expires_at.plus(LEEWAY) {
            Err(BadToken::Expired.into())
        } else if !self.source.log.is_current_everywhere() {
            Err(cut_off())
        } else {
            Ok(())
        }
    }

    /// When the token counts no more.
    fn expires(&self) -> Instant {
        Instant::now() + self.caller.expires_at.plus(LEEWAY).since(self.source.clock.now())
    }

    fn why_cut(&self) -> Problem {
        self.may_go_on().err().unwrap_or_else(cut_off)
    }
}

fn cut_off() -> Problem {
    let detail = "This node does not hear from the log: reconnect with your last cursor.";
    Problem::unavailable("unavailable", detail, AGAIN)
}

/// The farther point of each stream.
fn farther(one: &[Point], other: &[Point]) -> Vec<Point> {
    let of_both = one.iter().zip(other);
    of_both.map(|(one, other)| if other.position > one.position { *other } else { *one }).collect()
}
