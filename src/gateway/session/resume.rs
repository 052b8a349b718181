//! A session that goes on from a cursor.
//!
//! ```text
//!        cursor, read and found in this log
//!                      │
//!                      ▼          this node has not come so far ──► close 4411
//!                   Placed
//!      many events     │     few events behind
//!          ┌───────────┴───────────┐
//!          ▼                       │
//!       Far: `ready`               │
//!       give a page, as the        │
//!       client reads ◄─┐           │
//!          │   far ────┘           │
//!          └───────────┬───────────┘
//!                      ▼          conversations cannot be read ──► the log lacks something? `reset`
//!                    Live                                          and in any case a close
//!       events are held, `ready` if it has not been sent
//!                      │
//!                      ▼
//!             give the last stretch
//!                      │
//!       ┌──────────────┴──────────────────┐
//!       ▼ all heads reached               ▼ the log lacks something
//!   `caught_up`                        `reset`
//!       └──────────────┬──────────────────┘
//!                      ▼
//!       what is held and was not given; the session goes on
//! ```
//!
//! Each arrow may also end in a close with which the client comes back: a revoked login, a node that is
//! cut off or drained, views that lag, a client that does not read.
//!
//! **Why this order.** *Live before the last stretch:* events that happen while it is read are held;
//! in the other order those in between would be missed. *What is far behind before live:* only
//! so much is held for a socket as fits in its backlog, and a long resume would outlast it. *The
//! last stretch before what is held:* the chain of each conversation has to come in its order. *What is
//! held is passed over by position*, not by time: both the feed and the hub may have an event, and it
//! is told once. *Heads are compared before `caught_up`:* a client that is told so trusts that it has all.
//!
//! **What is asked.** A short resume asks the views once and the hub twice (once, if another session of
//! the user is here): the stays that the views told to find the conversations also tell what was missed in
//! them, up to where the hub has joined them ([`Live::go`]). Each round of a long resume asks the views
//! once, and the first of them also serves `ready`.

use std::{pin::pin, time::Duration};

use bytes::Bytes;
use tokio::{task::yield_now, time::timeout};

use crate::{
    domain::{Point, Position, UserId},
    feed::{Behind, Memberships, Missed, Reset},
    gateway::{
        frames::{
            close::Close,
            server::{self, Head, ServerFrame},
        },
        session::{
            going_live::{Live, NotLive},
            opening::{Opening, later},
            shared::Gateway,
        },
    },
    live::Shown,
    log::PAGE,
    shares::Place,
    telemetry::METRICS,
};

/// So few events behind, a session goes live and catches up with live events held.
const LAST_STRETCH: u64 = 200;
/// The most rounds of catching up before going live: a busy log may never be nearer.
const ROUNDS: usize = 8;
/// Frames that are written before the client has to have read them.
const AT_ONCE: usize = 128;
/// How long a client may take to read that, before its turn is another's until it has.
const PACE: Duration = Duration::from_millis(500);
/// How long this node may be behind the one that made the cursor.
const BEHIND: Duration = Duration::from_secs(2);

/// A resume, from the points of its cursor to its end. Its methods are the stages above.
pub(super) struct Resume<'a> {
    opening: Opening<'a>,
    /// Everything up to here has been given.
    at: Vec<Point>,
    given: Given,
    /// `ready` has been sent.
    is_greeted: bool,
    /// Others wait for it. Nobody keeps it by reading slowly.
    turn: Option<Place<UserId>>,
}

/// How much of what was missed has been given.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Given {
    All,
    /// What comes before something that the log lacks.
    NotAll,
}

impl<'a> Resume<'a> {
    /// Goes on from the points of a cursor.
    pub(super) fn new(opening: Opening<'a>, from: Vec<Point>) -> Self {
        Self { opening, at: from, given: Given::All, is_greeted: false, turn: None }
    }

    /// Goes through all stages.
    pub(super) async fn run(mut self) -> Result<(), Close> {
        self.take_turn().await?;
        METRICS.resumes.inc();
        self.be_placed().await?;
        if self.distance() > LAST_STRETCH {
            self.come_near().await?;
        }
        match Live::go(self.opening, Some(&Point::positions(&self.at))).await {
            Ok(live) => self.end(live).await,
            Err(NotLive::Closed(close)) => Err(close),
            Err(NotLive::Unread(close)) => Err(self.tell_if_lost(close).await?),
        }
    }

    /// Waits for a turn, if there is none at present.
    async fn take_turn(&mut self) -> Result<(), Close> {
        let Opening { gateway, session, .. } = self.opening;
        if self.turn.is_none() {
            self.turn = Some(gateway.feed.turn(session.user).await.map_err(|e| later(&e))?);
        }
        Ok(())
    }

    /// Another node has made the cursor. Before this one has come as far, it can tell neither what was missed
    /// nor who may know.
    async fn be_placed(&self) -> Result<(), Close> {
        let since = Point::positions(&self.at);
        let has_come = self.opening.gateway.conversations.all_reached(&since, BEHIND).await;
        if has_come { Ok(()) } else { Err(Close::LAGGING) }
    }

    /// How many events lie between the client and this node, over all streams.
    fn distance(&self) -> u64 {
        let now = self.opening.gateway.conversations.positions();
        let between = |(at, now): (&Point, &Position)| now.0.saturating_sub(at.position.0);
        self.at.iter().zip(&now).map(between).sum()
    }

    /// Far: gives round by round what is far behind, without being live.
    async fn come_near(&mut self) -> Result<(), Close> {
        for _ in 0..ROUNDS {
            self.give_up_to_now().await?;
            if self.given == Given::NotAll || self.distance() <= LAST_STRETCH {
                break;
            }
        }
        Ok(())
    }

    /// One round, with one question to the views.
    async fn give_up_to_now(&mut self) -> Result<(), Close> {
        let Opening { gateway, session, .. } = self.opening;
        let to = gateway.conversations.points();
        let (since, upto) = (Point::positions(&self.at), Point::positions(&to));
        let memberships =
            gateway.feed.memberships(session.user, &since, &upto).await.map_err(|e| later(&e))?;
        if !self.is_greeted {
            self.greet_far(&memberships, upto).await?;
        }
        let mut missed = gateway.feed.missed_in(session.user, self.at.clone(), to.clone(), memberships);
        self.give(&mut missed).await?;
        self.at = to;
        Ok(())
    }

    /// `ready` of a session that is not live: it names what the views know.
    ///
    /// They may be ahead of this node. What `ready` names is given before `caught_up`, so this node has
    /// to come as far first: otherwise a client would be told that it has all, and not have it.
    async fn greet_far(&mut self, memberships: &Memberships, mut named: Vec<Position>) -> Result<(), Close> {
        let Gateway { log, conversations, .. } = self.opening.gateway;
        for stay in &memberships.present {
            let of_stream = &mut named[log.stream_of(stay.conversation)];
            *of_stream = (*of_stream).max(stay.last);
        }
        if !conversations.all_reached(&named, BEHIND).await {
            return Err(Close::LAGGING);
        }
        let heads = memberships.present.iter().map(|stay| Head { id: stay.conversation, head: stay.last });
        self.greet(heads.collect()).await
    }

    /// The cursor of `ready` is the client's own: a resume that is interrupted begins again.
    async fn greet(&mut self, heads: Vec<Head>) -> Result<(), Close> {
        self.is_greeted = true;
        for page in self.opening.ready(&self.at, heads) {
            self.opening.write(&[page]).await?;
        }
        Ok(())
    }

    /// Live: gives the last stretch and lets go of what is held.
    async fn end(mut self, mut live: Live) -> Result<(), Close> {
        if !self.is_greeted {
            self.greet(live.heads()).await?;
        }
        if self.given == Given::All {
            self.give_last_stretch(&mut live).await?;
        }
        let Opening { gateway, session, .. } = self.opening;
        let first = match self.given {
            Given::All => {
                ServerFrame::CaughtUp { cursor: gateway.feed.cursor(session.user, live.at()) }.encode()
            }
            Given::NotAll => reset(),
        };
        self.opening.may_go_on()?;
        live.release(&first);
        Ok(())
    }

    async fn give_last_stretch(&mut self, live: &mut Live) -> Result<(), Close> {
        let Opening { gateway, session, .. } = self.opening;
        let (from, to) = (self.at.clone(), live.at().to_vec());
        let mut missed = match live.take_memberships() {
            Some(memberships) => gateway.feed.missed_in(session.user, from.clone(), to, memberships),
            None => gateway.feed.missed(session.user, from.clone(), to).await.map_err(|e| later(&e))?,
        };
        self.give(&mut missed).await?;
        let stream_of = |id| gateway.log.stream_of(id);
        if self.given == Given::All && !live.is_complete(&from, missed.heads(), stream_of) {
            METRICS.holes.inc();
            tracing::error!(user = %session.user, "a resume did not reach the heads; the client was reset");
            self.given = Given::NotAll;
        }
        live.pass_over(missed.heads());
        Ok(())
    }

    /// The conversations cannot be read. If that is because the log lacks something, the client cannot go
    /// on elsewhere either, and is told so before its socket is closed.
    async fn tell_if_lost(mut self, close: Close) -> Result<Close, Close> {
        if self.given == Given::All {
            self.give_up_to_now().await?;
        }
        if self.given == Given::NotAll {
            self.opening.session.socket.send(&reset());
        }
        Ok(close)
    }

    /// Writes all pages, at the pace at which the client reads.
    async fn give(&mut self, missed: &mut Missed) -> Result<(), Close> {
        let Opening { gateway, session, .. } = self.opening;
        loop {
            self.take_turn().await?;
            let page = match missed.page(PAGE).await {
                Ok(Some(page)) => page,
                Ok(None) => return Ok(()),
                Err(Behind::Damaged(_)) => {
                    self.given = Given::NotAll;
                    return Ok(());
                }
                Err(e) => return Err(later(&e)),
            };
            self.opening.may_go_on()?;
            let wanted = page.events.iter().filter(|shown| session.wants(shown.recorded.conversation));
            let wanted: Vec<&Shown> = wanted.collect();
            let mut rest = &wanted[..];
            while !rest.is_empty() {
                let frames = piece(&mut rest, gateway.settings.socket.bytes / 4);
                let writing = self.opening.write(&frames);
                let mut writing = pin!(writing);
                let Ok(written) = timeout(PACE, &mut writing).await else {
                    missed.pause();
                    self.turn = None;
                    writing.await?;
                    continue;
                };
                written?;
            }
            METRICS.deliveries.inc_by(wanted.len() as u64);
            if !page.events.is_empty() {
                // An interrupted resume goes on from here, not from its beginning.
                let cursor = gateway.feed.cursor(session.user, &page.at);
                session.socket.send(&ServerFrame::Heartbeat { cursor, heads: &[] }.encode());
            }
            // From memory to a client that reads fast, nothing above has to wait.
            yield_now().await;
        }
    }
}

/// Encodes the next events: few enough to wait for a client that reads nothing, beside what is held for it. A whole
/// page with its envelopes is more than a socket lets wait, and would close it.
fn piece(rest: &mut &[&Shown], most_bytes: usize) -> Vec<Bytes> {
    let (mut frames, mut bytes) = (Vec::new(), 0);
    while let [Shown { recorded, previous }, behind @ ..] = *rest
        && frames.len() < AT_ONCE
        && bytes < most_bytes
    {
        let frame = server::event(recorded, *previous);
        bytes += frame.len();
        frames.push(frame);
        *rest = behind;
    }
    frames
}

fn reset() -> Bytes {
    ServerFrame::Reset { reason: Reset::Incomplete.word() }.encode()
}
