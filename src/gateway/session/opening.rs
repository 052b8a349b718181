//! The parts that every beginning of a session shares: checking whether the session may begin, `ready`, and writing at
//! the pace of the client.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::time::timeout;

use crate::{
    domain::Point,
    feed::{Behind, Reset},
    gateway::{
        frames::{
            client::FrameId,
            close::Close,
            server::{HEADS, Head, ServerFrame},
        },
        hub::listeners::Session,
        session::shared::Gateway,
        wire::socket::{Phase, Socket},
    },
};

/// How long a client may take to read what has been written.
const READING: Duration = Duration::from_secs(60);

/// A session that has not begun yet.
#[derive(Clone, Copy)]
pub(super) struct Opening<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) session: &'a Arc<Session>,
    /// The id of the `hello` that `ready` answers.
    pub(super) id: Option<&'a FrameId>,
}

/// A cursor from which the client cannot continue.
pub(super) struct RefusedCursor {
    pub(super) cursor: String,
    pub(super) why: Reset,
}

impl Opening<'_> {
    /// Whether the session may begin. It is among the sessions of this node by now: a revocation before this check is in
    /// the deny set, and a later one finds the session. In the other order, a revocation between the two would be lost,
    /// and the session of a revoked login would stay open. The same holds for a node that stops.
    pub(super) fn may_go_on(self) -> Result<(), Close> {
        if let Some(ended) = self.gateway.revoked.why(&self.session.caller()) {
            return Err(ended.into());
        }
        if !self.gateway.log.is_current_everywhere() {
            return Err(Close::LAGGING);
        }
        if self.gateway.sessions.is_closed() { Err(Close::DRAIN) } else { Ok(()) }
    }

    /// Writes frames and waits until the client has read so many that none is waiting any more.
    pub(super) async fn write(self, frames: &[Bytes]) -> Result<(), Close> {
        self.session.socket.send_all(frames);
        match timeout(READING, self.session.socket.drained()).await {
            Ok(_) => still_open(&self.session.socket),
            Err(_) => Err(Close::SLOW_CONSUMER),
        }
    }

    /// The frames that begin a session: `ready`, followed by the conversations for which it has no room.
    ///
    /// If a client has to begin afresh, `reset` comes behind the last frame. A client whose connection breaks before that
    /// must get the `reset` again, so with several frames it keeps the cursor that was refused.
    pub(super) fn ready(
        self,
        at: &[Point],
        mut conversations: Vec<Head>,
        refused: Option<&RefusedCursor>,
    ) -> Vec<Bytes> {
        conversations.retain(|head| self.session.wants(head.id));
        let (first, rest) = conversations.split_at(conversations.len().min(HEADS));
        let cursor = match refused {
            Some(RefusedCursor { cursor, .. }) if !rest.is_empty() => cursor.clone(),
            _ => self.gateway.feed.cursor(self.session.user, at),
        };
        let ready = ServerFrame::Ready {
            id: self.id,
            session_id: self.session.id,
            user_id: self.session.user,
            epoch: self.gateway.log.epoch(),
            cursor,
            conversations: first,
            more: !rest.is_empty(),
            heartbeat_ms: self.gateway.settings.heartbeat.as_millis() as u64,
            limits: self.gateway.limits_of_session(),
        };
        let mut pages = vec![ready.encode()];
        let mut rest = rest.chunks(HEADS).peekable();
        while let Some(conversations) = rest.next() {
            let more = rest.peek().is_some();
            pages.push(ServerFrame::Conversations { conversations, more }.encode());
        }
        pages
    }

    /// The frame `reset`, and a heartbeat with the cursor from which the client goes on. `ready` may have been sent with
    /// the cursor that is refused.
    pub(super) fn reset(self, why: Reset, at: &[Point]) -> Bytes {
        [ServerFrame::Reset { reason: why.word() }.encode(), self.heartbeat(at)].concat().into()
    }

    /// A heartbeat for a client that has all events up to these points.
    pub(super) fn heartbeat(self, at: &[Point]) -> Bytes {
        let cursor = self.gateway.feed.cursor(self.session.user, at);
        ServerFrame::Heartbeat { cursor, heads: &[] }.encode()
    }
}

/// Fails with the reason if a socket was closed meanwhile. A lost connection counts as closed by the client.
pub(super) fn still_open(socket: &Socket) -> Result<(), Close> {
    match socket.phase() {
        Phase::Open => Ok(()),
        Phase::Closing(why, _) | Phase::Gone(Some(why)) => Err(why),
        Phase::Gone(None) => Err(Close::BYE),
    }
}

/// The close for work that cannot be done now: the client reconnects with its cursor.
pub(super) fn later(behind: &Behind) -> Close {
    match behind {
        // This happens thousands of times in a storm of resumes.
        Behind::Crowded(_) => tracing::debug!(error = %behind, "could not open a session"),
        _ => tracing::warn!(error = %behind, "could not open a session; closing its socket"),
    }
    match behind {
        Behind::Lagging | Behind::Damaged(_) | Behind::Expired => Close::LAGGING,
        Behind::Crowded(_) | Behind::Unavailable(_) => Close::OVERLOAD,
    }
}
