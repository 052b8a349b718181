//! How a socket is closed: the codes, the words for them, and when to come back.

use std::ops::RangeInclusive;

use bytes::Bytes;

use crate::{
    credentials::BadToken,
    gateway::wire::websocket::{self, Violation},
};

/// Why the server closes a socket. 4000 to 4499 come back with their cursor, 4500 to 4999 do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Close {
    /// 1000: the client said goodbye first.
    Bye,
    /// 1001: the process ends.
    Exit,
    /// 1012: this node is being emptied; reconnect elsewhere.
    Drain,
    /// 1013: this node has too much to do.
    Overload,
    /// 1002: what was sent is not RFC 6455.
    Protocol,
    /// 1003: a binary message; frames here are JSON text.
    Unsupported,
    /// 1007: a text that is not UTF-8.
    NotUtf8,
    /// 1009: a message over the limit.
    TooBig,
    /// 4400: no `hello` within its time.
    NoHello,
    /// 4401: the access token of the handshake has expired, or expired later and was not renewed.
    TokenExpired,
    /// 4408: more frames or bytes than allowed.
    RateLimited,
    /// 4409: more waited for this socket than its bound.
    SlowConsumer,
    /// 4410: nothing was heard for too long.
    NoPong,
    /// 4411: this node lags behind the log; reconnect elsewhere.
    Lagging,
    /// 4429: more sockets than one user may have.
    TooManySockets,
    /// 4500: frame after frame could not be understood.
    BadFrames,
    /// 4501: the token of the handshake, or the one that was to renew the session, is not valid or was revoked.
    InvalidToken,
    /// 4503: the login was revoked.
    LoginRevoked,
    /// 4505: a protocol version that this server does not speak.
    UnknownProtocol,
}

/// Milliseconds after which one socket that was closed alone comes back.
const ALONE: RangeInclusive<u32> = 500..=5_000;
/// The same when a whole node's sockets come back together.
const TOGETHER: RangeInclusive<u32> = 1_000..=15_000;

impl Close {
    /// Every reason there is.
    pub const ALL: [Self; 19] = [
        Self::Bye,
        Self::Exit,
        Self::Drain,
        Self::Overload,
        Self::Protocol,
        Self::Unsupported,
        Self::NotUtf8,
        Self::TooBig,
        Self::NoHello,
        Self::TokenExpired,
        Self::RateLimited,
        Self::SlowConsumer,
        Self::NoPong,
        Self::Lagging,
        Self::TooManySockets,
        Self::BadFrames,
        Self::InvalidToken,
        Self::LoginRevoked,
        Self::UnknownProtocol,
    ];

    const fn row(self) -> (u16, &'static str, Option<RangeInclusive<u32>>) {
        match self {
            Self::Bye => (1000, "bye", None),
            Self::Exit => (1001, "process_exit", Some(TOGETHER)),
            Self::Drain => (1012, "drain", Some(TOGETHER)),
            Self::Overload => (1013, "overload", Some(TOGETHER)),
            Self::Protocol => (1002, "protocol_error", None),
            Self::Unsupported => (1003, "unsupported_data", None),
            Self::NotUtf8 => (1007, "not_utf8", None),
            Self::TooBig => (1009, "too_big", None),
            Self::NoHello => (4400, "no_hello", Some(ALONE)),
            Self::TokenExpired => (4401, "token_expired", Some(ALONE)),
            Self::RateLimited => (4408, "rate_limited", Some(ALONE)),
            Self::SlowConsumer => (4409, "slow_consumer", Some(ALONE)),
            Self::NoPong => (4410, "no_pong", Some(ALONE)),
            Self::Lagging => (4411, "lagging_node", Some(TOGETHER)),
            Self::TooManySockets => (4429, "too_many_sockets", Some(ALONE)),
            Self::BadFrames => (4500, "bad_frames", None),
            Self::InvalidToken => (4501, "invalid_token", None),
            Self::LoginRevoked => (4503, "login_revoked", None),
            Self::UnknownProtocol => (4505, "unknown_protocol", None),
        }
    }

    /// The close code on the wire.
    pub const fn code(self) -> u16 {
        self.row().0
    }

    /// The reason as a word, the same in close reasons, logs and metrics.
    pub const fn word(self) -> &'static str {
        self.row().1
    }

    /// A complete close frame. Its reason is the word, and `;retry_after_ms=N` with a random N for
    /// those who shall come back: sockets that were closed together do not return together.
    pub fn frame(self) -> Bytes {
        let (code, word, retry) = self.row();
        match retry {
            None => websocket::close(code, word),
            Some(range) => websocket::close(code, &format!("{word};retry_after_ms={}", draw(range))),
        }
    }
}

impl From<BadToken> for Close {
    fn from(bad: BadToken) -> Self {
        match bad {
            BadToken::Expired => Self::TokenExpired,
            BadToken::Invalid => Self::InvalidToken,
        }
    }
}

impl From<Violation> for Close {
    fn from(violation: Violation) -> Self {
        match violation {
            Violation::Protocol(_) => Self::Protocol,
            Violation::Binary => Self::Unsupported,
            Violation::NotUtf8 => Self::NotUtf8,
            Violation::TooBig => Self::TooBig,
        }
    }
}

/// A number in the range; its end, the most careful one, if the system has no randomness.
fn draw(range: RangeInclusive<u32>) -> u32 {
    let mut random = [0; 4];
    match aws_lc_rs::rand::fill(&mut random) {
        Ok(()) => range.start() + u32::from_ne_bytes(random) % (range.end() - range.start() + 1),
        Err(_) => *range.end(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn reason(close: Close) -> String {
        let frame = close.frame();
        assert_eq!((frame[0], usize::from(frame[1])), (0x88, frame.len() - 2), "one close frame");
        assert_eq!(frame[2..4], close.code().to_be_bytes());
        String::from_utf8(frame[4..].to_vec()).unwrap()
    }

    #[test]
    fn who_shall_come_back_is_told_when() {
        for close in Close::ALL {
            let comes_back = matches!(close.code(), 1001 | 1012 | 1013 | 4000..=4499);
            match reason(close).split_once(";retry_after_ms=") {
                Some((word, after)) => {
                    assert!(comes_back, "{close:?}");
                    assert_eq!(word, close.word());
                    let is_together = close.code() < 4000 || close == Close::Lagging;
                    let range = if is_together { 1_000..=15_000 } else { 500..=5_000 };
                    assert!(range.contains(&after.parse().unwrap()), "{close:?} {after}");
                }
                None => assert!(!comes_back && reason(close) == close.word(), "{close:?}"),
            }
        }
    }

    #[test]
    fn codes_and_words_are_each_one_of_a_kind() {
        let codes: HashSet<_> = Close::ALL.iter().map(|close| close.code()).collect();
        let words: HashSet<_> = Close::ALL.iter().map(|close| close.word()).collect();
        assert_eq!((codes.len(), words.len()), (Close::ALL.len(), Close::ALL.len()));
        assert!(
            words.iter().flat_map(|word| word.chars()).all(|c| c.is_ascii_lowercase() || "_8".contains(c))
        );
    }

    #[test]
    fn sockets_that_are_closed_together_do_not_return_together() {
        let reasons: HashSet<_> = (0..100).map(|_| reason(Close::Drain)).collect();
        assert!(reasons.len() > 80, "{}", reasons.len());
    }
}
