//! A session that resumes from a cursor.
//!
//! ```text
//!        cursor, read and found in this log
//!                      │
//!                      ▼          this node is behind the cursor ──► close 4411
//!                   Placed
//!      many events     │     few events behind
//!          ┌───────────┴───────────┐
//!          ▼                       │
//!       Far: `ready`               │
//!       send a page, as the        │
//!       client reads ◄─┐           │
//!          │   far ────┘           │
//!          └───────────┬───────────┘
//!                      ▼          conversations cannot be read ──► the log has a hole? `reset`
//!                    Live                                          and in any case a close
//!       events are held, `ready` if it has not been sent
//!                      │
//!                      ▼
//!             send the last stretch
//!                      │
//!       ┌──────────────┴──────────────────┐
//!       ▼ all heads reached               ▼ the log has a hole
//!   `caught_up`                        `reset`, a cursor
//!       └──────────────┬──────────────────┘
//!                      ▼
//!       the held events that have not been sent; the session goes on
//! ```
//!
//! Each arrow may also end in a close, after which the client reconnects: a revoked login, a node that is cut off or
//! drained, views that lag, a client that does not read.
//!
//! **Why this order.**
//!
//! - *Far events before live.* A socket can hold only as many events as fit in its backlog. If a long resume were live
//!   from its beginning, it would overflow the backlog, and the socket would be closed.
//! - *Live before the last stretch.* Events that happen while the last stretch is read are held. In the other order,
//!   the events between the end of the stretch and the joining would be missed.
//! - *The last stretch before the held events.* The chain of each conversation has to arrive in order.
//! - *Held events are skipped by position, not by time.* Both the feed and the hub may have an event; compared by time,
//!   it would be sent twice or not at all.
//! - *Heads are compared before `caught_up`.* A client that gets `caught_up` trusts that it has all events.
//!
//! **Requests.** A short resume queries the views once and the hub twice (once if the user has another session here,
//! three times if more events arrive meanwhile than are held).
//! The stays from the views serve two purposes: they name the conversations to join, and they determine the missed
//! events of these conversations up to the point at which the hub has joined them ([`Live::go`]). Each round of a long
//! resume queries the views once, and the first answer is also used for `ready`.

use std::{pin::pin, time::Duration};

use bytes::Bytes;
use tokio::{
    task::yield_now,
    time::{Instant, timeout},
};

use crate::{
    domain::{Point, Position, UserId},
    feed::{Behind, Missed, MissedPage, Reset, Stay},
    gateway::{
        frames::{
            close::Close,
            server::{self, Head, ServerFrame},
        },
        session::{
            going_live::{Live, NotLive},
            opening::{Opening, RefusedCursor, later},
            shared::Gateway,
        },
    },
    live::Shown,
    log::PAGE,
    shares::Place,
    telemetry::{METRICS, SOCKETS},
};

/// A session that is at most this many events behind goes live, and catches up while live events are held.
const LAST_STRETCH: u64 = 200;
/// The most rounds of catching up before the session goes live. On a busy log, the session might never catch up.
const ROUNDS: usize = 8;
/// The number of frames that are written before the client has to have read them.
const AT_ONCE: usize = 128;
/// How long a client may take to read these frames. After that, it loses its turn until it has read them.
const PACE: Duration = Duration::from_millis(500);
/// How long to wait for this node to catch up with a cursor or with the views.
const BEHIND: Duration = Duration::from_secs(2);

/// A resume, from the points of its cursor to its end. Its methods are the stages in the diagram.
pub(super) struct Resume<'a> {
    opening: Opening<'a>,
    /// The points up to which all events have been sent.
    at: Vec<Point>,
    given: Given,
    /// Whether `ready` has been sent.
    is_greeted: bool,
    /// The session's turn. Other sessions wait for one, so a client that reads slowly loses it.
    turn: Option<Place<UserId>>,
}

/// How many of the missed events have been sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Given {
    All,
    /// Only the events before one that cannot be sent any more.
    NotAll(Reset),
}

impl<'a> Resume<'a> {
    /// Resumes from the points of a cursor.
    pub(super) fn new(opening: Opening<'a>, from: Vec<Point>) -> Self {
        Self { opening, at: from, given: Given::All, is_greeted: false, turn: None }
    }

    /// Runs all stages.
    pub(super) async fn run(self) -> Result<(), Close> {
        let begun = Instant::now();
        let ended = self.stages().await;
        let result = match ended {
            Ok(Given::All) => "caught_up",
            Ok(Given::NotAll(_)) => "reset",
            Err(why) => why.word(),
        };
        SOCKETS.resumed.get_or_create(&[("result", result)]).inc();
        SOCKETS.resume_took.observe(begun.elapsed());
        ended.map(|_| ())
    }

    async fn stages(mut self) -> Result<Given, Close> {
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

    /// Waits for a turn, unless the session has one.
    async fn take_turn(&mut self) -> Result<(), Close> {
        let Opening { gateway, session, .. } = self.opening;
        if self.turn.is_none() {
            self.turn = Some(gateway.feed.turn(session.user).await.map_err(|e| later(&e))?);
        }
        Ok(())
    }

    /// Waits until this node has caught up with the node that made the cursor. Until then, this node knows neither the
    /// missed events nor the roster that says whether the user may see them.
    async fn be_placed(&self) -> Result<(), Close> {
        let since = Point::positions(&self.at);
        let has_come = self.opening.gateway.conversations.all_reached(&since, BEHIND).await;
        if has_come { Ok(()) } else { Err(Close::LAGGING) }
    }

    /// The number of events between the client and this node, over all streams.
    fn distance(&self) -> u64 {
        let now = self.opening.gateway.conversations.positions();
        let between = |(at, now): (&Point, &Position)| now.0.saturating_sub(at.position.0);
        self.at.iter().zip(&now).map(between).sum()
    }

    /// Far: sends the far events round by round, without being live.
    async fn come_near(&mut self) -> Result<(), Close> {
        for _ in 0..ROUNDS {
            self.give_up_to_now().await?;
            if self.given != Given::All || self.distance() <= LAST_STRETCH {
                break;
            }
        }
        Ok(())
    }

    /// One round, with one query of the views.
    async fn give_up_to_now(&mut self) -> Result<(), Close> {
        let Opening { gateway, session, .. } = self.opening;
        let to = gateway.conversations.points();
        let (since, upto) = (Point::positions(&self.at), Point::positions(&to));
        let memberships =
            gateway.feed.memberships(session.user, &since, &upto).await.map_err(|e| later(&e))?;
        let stays = if self.is_greeted { Vec::new() } else { memberships.present.clone() };
        let mut missed = gateway.feed.missed_in(session.user, self.at.clone(), to.clone(), memberships);
        if self.begins_afresh(&missed) {
            return Ok(());
        }
        if !self.is_greeted {
            self.greet_far(&stays, upto).await?;
        }
        self.give(&mut missed).await?;
        self.at = to;
        Ok(())
    }

    /// Whether the client has to begin afresh and has not got `ready` yet. Then it gets `ready` and `reset` together at
    /// the end. If it got `ready` first, with the cursor of a new beginning, and lost its connection before the `reset`,
    /// it would resume from there and never know that it has missed something.
    fn begins_afresh(&mut self, missed: &Missed) -> bool {
        let begins = missed.is_expired() && !self.is_greeted;
        if begins {
            self.given = Given::NotAll(Reset::Retention);
        }
        begins
    }

    /// Sends `ready` for a session that is not live, with the heads that the views have.
    ///
    /// The views may be ahead of this node. All events up to the heads in `ready` are sent before `caught_up`, so this
    /// node *first* catches up with the views and *then* writes `ready`. In the other order, a client could get
    /// `caught_up` without an event that `ready` has named.
    async fn greet_far(&mut self, stays: &[Stay], mut named: Vec<Position>) -> Result<(), Close> {
        let Gateway { log, conversations, .. } = self.opening.gateway;
        for stay in stays {
            let of_stream = &mut named[log.stream_of(stay.conversation)];
            *of_stream = (*of_stream).max(stay.last);
        }
        if !conversations.all_reached(&named, BEHIND).await {
            return Err(Close::LAGGING);
        }
        let heads = stays.iter().map(|stay| Head { id: stay.conversation, head: stay.last });
        self.greet(heads.collect()).await
    }

    /// The cursor in `ready` is the client's own, so that an interrupted resume starts over.
    async fn greet(&mut self, heads: Vec<Head>) -> Result<(), Close> {
        self.is_greeted = true;
        for page in self.opening.ready(&self.at, heads, None) {
            self.opening.write(&[page]).await?;
        }
        Ok(())
    }

    /// Live: sends the last stretch and then the held events.
    async fn end(mut self, mut live: Live) -> Result<Given, Close> {
        if self.given == Given::All {
            self.give_last_stretch(&mut live).await?;
        }
        let Self { opening, at, given, is_greeted, .. } = self;
        match given {
            Given::All => {
                let cursor = opening.gateway.feed.cursor(opening.session.user, live.at());
                live.release(&ServerFrame::CaughtUp { cursor }.encode())?;
            }
            Given::NotAll(why) if is_greeted => {
                let reset = opening.reset(why, live.at());
                live.release(&reset)?;
            }
            Given::NotAll(why) => {
                let cursor = opening.gateway.feed.cursor(opening.session.user, &at);
                live.begin(opening, Some(RefusedCursor { cursor, why })).await?;
            }
        }
        Ok(given)
    }

    /// Sends `ready`, if it has not been sent, and the last stretch.
    async fn give_last_stretch(&mut self, live: &mut Live) -> Result<(), Close> {
        let Opening { gateway, session, .. } = self.opening;
        let (from, to) = (self.at.clone(), live.at().to_vec());
        let mut missed = match live.take_memberships() {
            Some(memberships) => gateway.feed.missed_in(session.user, from.clone(), to, memberships),
            None => gateway.feed.missed(session.user, from.clone(), to).await.map_err(|e| later(&e))?,
        };
        if self.begins_afresh(&missed) {
            return Ok(());
        }
        if !self.is_greeted {
            self.greet(live.heads()).await?;
        }
        self.give(&mut missed).await?;
        let stream_of = |id| gateway.log.stream_of(id);
        if self.given == Given::All && !live.is_complete(&from, missed.heads(), stream_of) {
            METRICS.holes.inc();
            tracing::error!(user = %session.user, "a resume did not reach the heads; reset the client");
            self.given = Given::NotAll(Reset::Incomplete);
        }
        live.pass_over(missed.heads());
        Ok(())
    }

    /// Handles conversations that cannot be read. If the log has a hole, the client cannot resume at another node
    /// either, so it gets `reset` before its socket is closed. After the close, nothing reaches the client.
    async fn tell_if_lost(mut self, close: Close) -> Result<Close, Close> {
        if self.given == Given::All {
            self.give_up_to_now().await?;
        }
        if let Given::NotAll(why) = self.given
            && self.is_greeted
        {
            self.opening.session.socket.send(&ServerFrame::Reset { reason: why.word() }.encode());
        }
        Ok(close)
    }

    /// Writes all pages at the pace of the client.
    async fn give(&mut self, missed: &mut Missed) -> Result<(), Close> {
        let Opening { gateway, session, .. } = self.opening;
        let mut heartbeat = self.opening.heartbeat(&self.at);
        loop {
            let page = match self.next_page(missed, &heartbeat).await? {
                Ok(Some(page)) => page,
                Ok(None) => return Ok(()),
                Err(e @ (Behind::Damaged(_) | Behind::Expired)) => {
                    let is_expired = matches!(e, Behind::Expired);
                    let why = if is_expired { Reset::Retention } else { Reset::Incomplete };
                    self.given = Given::NotAll(why);
                    return Ok(());
                }
                Err(e) => return Err(later(&e)),
            };
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
                // The cursor follows its page, so that an interrupted resume continues from here. If it came before the
                // page, a client that resumed from it could miss events of the page.
                heartbeat = self.opening.heartbeat(&page.at);
                session.socket.send(&heartbeat);
            }
            // Nothing above waits if the events come from memory and the client reads fast.
            yield_now().await;
        }
    }

    /// The next page, once the session has its turn. Both can take long: others wait for a turn too, and the log may have
    /// many events of other users. Meanwhile the client gets heartbeats, so that it does not give up.
    async fn next_page(
        &mut self,
        missed: &mut Missed,
        heartbeat: &Bytes,
    ) -> Result<Result<Option<MissedPage>, Behind>, Close> {
        let Opening { gateway, session, .. } = self.opening;
        let mut page = pin!(async {
            self.take_turn().await?;
            Ok(missed.page(PAGE).await)
        });
        loop {
            match timeout(gateway.settings.heartbeat, &mut page).await {
                Ok(page) => return page,
                Err(_) => session.socket.send(heartbeat),
            }
        }
    }
}

/// Encodes the next events, few enough to wait for a client that reads nothing, along with the events that are held for
/// it. A whole page with its envelopes is more than the backlog of a socket allows, and would close it.
fn piece(rest: &mut &[&Shown], most_bytes: usize) -> Vec<Bytes> {
    let (mut frames, mut bytes) = (Vec::new(), 0);
    while let [shown, behind @ ..] = *rest
        && frames.len() < AT_ONCE
        && bytes < most_bytes
    {
        let frame = shown.frame(server::event);
        bytes += frame.len();
        frames.push(frame);
        *rest = behind;
    }
    frames
}
