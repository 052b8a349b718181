//! The reasons to close a socket that the protocol adds to those of the wire.

use crate::{access::NotAuthenticated, gateway::wire::close::ComesBack, live::Ended};

pub(crate) use crate::gateway::wire::close::Close;

/// The reasons of `verbatim.v1`.
impl Close {
    /// Every reason, including those of the wire.
    pub const ALL: [Self; 20] = [
        Self::BYE,
        Self::EXIT,
        Self::DRAIN,
        Self::OVERLOAD,
        Self::PROTOCOL,
        Self::UNSUPPORTED,
        Self::NOT_UTF8,
        Self::TOO_BIG,
        Self::NO_HELLO,
        Self::TOKEN_EXPIRED,
        Self::RATE_LIMITED,
        Self::SLOW_CONSUMER,
        Self::NO_PONG,
        Self::LAGGING,
        Self::TOO_MANY_SOCKETS,
        Self::BAD_FRAMES,
        Self::INVALID_TOKEN,
        Self::LOGIN_REVOKED,
        Self::SUSPENDED,
        Self::UNKNOWN_PROTOCOL,
    ];

    /// 1001: the process exits.
    pub const EXIT: Self = Self::new(1001, "process_exit", ComesBack::Together);
    /// 1012: this node is being drained; reconnect elsewhere.
    pub const DRAIN: Self = Self::new(1012, "drain", ComesBack::Together);
    /// 1013: this node is overloaded.
    pub const OVERLOAD: Self = Self::new(1013, "overload", ComesBack::Together);
    /// 4400: no `hello` arrived in time.
    pub const NO_HELLO: Self = Self::new(4400, "no_hello", ComesBack::Alone);
    /// 4401: the access token had expired at the handshake, or expired later and was not renewed.
    pub const TOKEN_EXPIRED: Self = Self::new(4401, "token_expired", ComesBack::Alone);
    /// 4410: nothing was heard from the client for too long, or it left a message unfinished.
    pub const NO_PONG: Self = Self::new(4410, "no_pong", ComesBack::Alone);
    /// 4411: this node lags behind the log; reconnect elsewhere.
    pub const LAGGING: Self = Self::new(4411, "lagging_node", ComesBack::Together);
    /// 4429: the user has too many sockets.
    pub const TOO_MANY_SOCKETS: Self = Self::new(4429, "too_many_sockets", ComesBack::Alone);
    /// 4500: too many frames in a row could not be understood.
    pub const BAD_FRAMES: Self = Self::new(4500, "bad_frames", ComesBack::No);
    /// 4501: the token or key of the handshake, or of a frame `authenticate`, is not valid or was revoked.
    pub const INVALID_TOKEN: Self = Self::new(4501, "invalid_token", ComesBack::No);
    /// 4503: the login was revoked, or the API key has ended.
    pub const LOGIN_REVOKED: Self = Self::new(4503, "login_revoked", ComesBack::No);
    /// 4504: the account is deactivated.
    pub const SUSPENDED: Self = Self::new(4504, "suspended", ComesBack::No);
    /// 4505: a protocol version that this server does not speak.
    pub const UNKNOWN_PROTOCOL: Self = Self::new(4505, "unknown_protocol", ComesBack::No);
}

impl From<Ended> for Close {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Revoked | Ended::KeyRevoked => Self::LOGIN_REVOKED,
            Ended::Suspended => Self::SUSPENDED,
        }
    }
}

impl Close {
    /// How to close a socket whose proof is refused; `None` if the same proof may be accepted later.
    pub(in crate::gateway) fn of_refused(proof: &NotAuthenticated) -> Option<Self> {
        use NotAuthenticated::*;
        match proof {
            _ if proof.is_unjudged() => None,
            Suspended => Some(Self::SUSPENDED),
            _ if proof.is_expired() => Some(Self::TOKEN_EXPIRED),
            _ => Some(Self::INVALID_TOKEN),
        }
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
                    let is_together = close.code() < 4000 || close == Close::LAGGING;
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
        let reasons: HashSet<_> = (0..100).map(|_| reason(Close::DRAIN)).collect();
        assert!(reasons.len() > 80, "{}", reasons.len());
    }
}
