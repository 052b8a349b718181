//! How a socket is closed: a code, a word and the delay before the client reconnects, as one value. This module has the
//! reasons that arise on the wire itself; `frames::close` adds those of the protocol above it.

use std::ops::RangeInclusive;

use bytes::Bytes;

use crate::{
    gateway::wire::websocket::{self, Violation},
    telemetry::{METRICS, SOCKETS},
};

/// Why the server closes a socket. After the codes 4000 to 4499, clients reconnect with their cursor; after 4500 to
/// 4999, they do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Close {
    code: u16,
    word: &'static str,
    comes_back: ComesBack,
}

/// Whether a closed client should reconnect, and how long it waits first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::gateway) enum ComesBack {
    No,
    /// The client reconnects alone, after a short wait.
    Alone,
    /// The client reconnects along with all clients of its node, so the waits are spread more widely.
    Together,
}

/// The reasons that arise on the wire itself.
impl Close {
    /// 1000: the client closed first.
    pub const BYE: Self = Self::new(1000, "bye", ComesBack::No);
    /// 1002: the client's bytes break RFC 6455.
    pub const PROTOCOL: Self = Self::new(1002, "protocol_error", ComesBack::No);
    /// 1003: a binary message; frames here are JSON text.
    pub const UNSUPPORTED: Self = Self::new(1003, "unsupported_data", ComesBack::No);
    /// 1007: a text that is not UTF-8.
    pub const NOT_UTF8: Self = Self::new(1007, "not_utf8", ComesBack::No);
    /// 1009: a message over the limit.
    pub const TOO_BIG: Self = Self::new(1009, "too_big", ComesBack::No);
    /// 4408: the client sent more frames or bytes than allowed.
    pub const RATE_LIMITED: Self = Self::new(4408, "rate_limited", ComesBack::Alone);
    /// 4409: the backlog of this socket exceeded its bound.
    pub const SLOW_CONSUMER: Self = Self::new(4409, "slow_consumer", ComesBack::Alone);

    pub(in crate::gateway) const fn new(code: u16, word: &'static str, comes_back: ComesBack) -> Self {
        Self { code, word, comes_back }
    }

    /// The close code on the wire.
    pub const fn code(self) -> u16 {
        self.code
    }

    /// The reason as a word, the same in close frames, logs and metrics.
    pub const fn word(self) -> &'static str {
        self.word
    }

    /// Counts a close of this kind.
    pub(super) fn count(self) {
        SOCKETS.closed(self.code, self.word);
        if self == Self::SLOW_CONSUMER {
            METRICS.slow_consumers.inc();
        }
    }

    /// Counts a connection that was lost without a close.
    pub(super) fn count_lost() {
        SOCKETS.closed(1006, "lost");
    }

    /// A complete close frame. Its reason is the word. For clients that should reconnect, `;retry_after_ms=N` with a
    /// random N follows, so that sockets that were closed together do not return together.
    pub fn frame(self) -> Bytes {
        match self.comes_back.after() {
            None => websocket::close(self.code, self.word),
            Some(range) => {
                websocket::close(self.code, &format!("{};retry_after_ms={}", self.word, draw(range)))
            }
        }
    }
}

impl ComesBack {
    /// The range of the wait, in milliseconds; `None` if the client should not reconnect.
    const fn after(self) -> Option<RangeInclusive<u32>> {
        match self {
            Self::No => None,
            Self::Alone => Some(500..=5_000),
            Self::Together => Some(1_000..=15_000),
        }
    }
}

impl From<Violation> for Close {
    fn from(violation: Violation) -> Self {
        match violation {
            Violation::Protocol(_) => Self::PROTOCOL,
            Violation::Binary => Self::UNSUPPORTED,
            Violation::NotUtf8 => Self::NOT_UTF8,
            Violation::TooBig => Self::TOO_BIG,
        }
    }
}

/// A random number in the range, or its upper end (the longest wait) if the system cannot provide randomness.
#[expect(
    clippy::disallowed_methods,
    reason = "a client waits for so long, and every number of the range is right"
)]
fn draw(range: RangeInclusive<u32>) -> u32 {
    let mut random = [0; 4];
    match aws_lc_rs::rand::fill(&mut random) {
        Ok(()) => range.start() + u32::from_ne_bytes(random) % (range.end() - range.start() + 1),
        Err(_) => *range.end(),
    }
}
