//! The age of the rosters in memory. A process that is cut off from the log learns of no removal and would admit a
//! removed member for ever. So the rosters are valid only for some seconds after the last sign of their stream.
//!
//! A sign of a stream is an event that its follower hands over, or an answer of its leader that the stream ends where
//! the follower is. An event may be old when it arrives, but its arrival shows that events get through. How far a busy
//! follower lags is checked elsewhere (`/readyz`).
//!
//! Once the rosters are too old, events alone prove nothing: a process that was stopped finds old ones in its buffers.
//! Then they count as soon as the follower has reached the end that the leader has reported meanwhile.

use std::{
    sync::{
        Arc,
        atomic::{
            AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    time::Duration,
};

use tokio::time::Instant;

use crate::domain::Position;

/// How long the rosters of a stream are valid without a sign of it.
const MOST: Duration = Duration::from_secs(5);
/// The same while the servers as a whole answer. They elect another leader for the stream, which takes up to ten
/// seconds, and until then no event can be stored in the stream.
pub(crate) const ELECTION: Duration = Duration::from_secs(12);

/// The time of the last sign of each stream. Cheap to clone.
#[derive(Clone)]
pub(in crate::log) struct Signs(Arc<Inner>);

struct Inner {
    born: Instant,
    streams: Vec<Stream>,
    /// When the servers as a whole last answered.
    quorum: AtomicU64,
}

/// Times are milliseconds since `born`, plus one.
#[derive(Default)]
struct Stream {
    /// The last sign; 0 while the stream has no follower, so that no roster is kept current.
    sign: AtomicU64,
    /// How far the follower has come.
    followed: AtomicU64,
    /// The furthest end of the stream that its leader has reported.
    told: AtomicU64,
    /// When the leader was last asked for it.
    asked: AtomicU64,
}

impl Signs {
    pub(in crate::log) fn of(streams: usize) -> Self {
        let streams = (0..streams).map(|_| Stream::default()).collect();
        Self(Arc::new(Inner { born: Instant::now(), streams, quorum: AtomicU64::new(0) }))
    }

    fn time(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.0.born).as_millis();
        u64::try_from(since).unwrap_or(u64::MAX - 1) + 1
    }

    /// The leading follower has reached a position.
    pub(in crate::log) fn followed(&self, stream: usize, last: Position) {
        let its = &self.0.streams[stream];
        its.followed.fetch_max(last.0, Relaxed);
        let now = Instant::now();
        if self.is_current(stream, now) {
            its.sign.fetch_max(self.time(now), Relaxed);
        } else {
            self.meet(its);
        }
    }

    /// Takes the last answer of the leader for a sign, if the follower has reached the end that the leader reported.
    fn meet(&self, its: &Stream) {
        // The time is read first: an end that is reported in between is a later one.
        let asked = its.asked.load(Acquire);
        if its.sign.load(Relaxed) > 0 && its.followed.load(Relaxed) >= its.told.load(Relaxed) {
            its.sign.fetch_max(asked, Relaxed);
        }
    }

    /// The leader of a stream, asked at `asked`, has reported where the stream ends and that it can store events.
    pub(in crate::log) fn told(&self, stream: usize, end: Position, asked: Instant) {
        let its = &self.0.streams[stream];
        its.told.fetch_max(end.0, Relaxed);
        its.asked.fetch_max(self.time(asked), Release);
        self.meet(its);
    }

    /// The servers as a whole have answered.
    pub(in crate::log) fn has_quorum(&self, asked: Instant) {
        self.0.quorum.fetch_max(self.time(asked), Relaxed);
    }

    /// Whether the leading follower lacks an event that is stored.
    pub(in crate::log) fn lacks_some(&self, stream: usize) -> bool {
        let its = &self.0.streams[stream];
        its.told.load(Relaxed) > its.followed.load(Relaxed)
    }

    pub(in crate::log) fn is_current(&self, stream: usize, now: Instant) -> bool {
        let age = |at: &AtomicU64| Duration::from_millis(self.time(now).saturating_sub(at.load(Relaxed)));
        let sign = &self.0.streams[stream].sign;
        let most = if age(&self.0.quorum) < MOST { ELECTION } else { MOST };
        sign.load(Relaxed) == 0 || age(sign) < most
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn what_is_known_counts_for_five_seconds_without_a_sign() {
        let signs = Signs::of(2);
        let is_current = |stream| signs.is_current(stream, Instant::now());
        advance(SECOND * 60).await;
        assert!(is_current(0), "nobody follows, and nothing is believed to be current");
        signs.followed(0, Position(7));
        signs.followed(1, Position(3));
        advance(SECOND * 4).await;
        assert!(is_current(0) && is_current(1));
        signs.followed(1, Position(4));
        advance(SECOND).await;
        assert!(!is_current(0) && is_current(1));
        signs.told(0, Position(7), Instant::now());
        assert!(is_current(0) && !signs.lacks_some(0), "the follower is where the leader is");
        advance(SECOND * 5).await;
        signs.told(0, Position(8), Instant::now());
        assert!(!is_current(0) && signs.lacks_some(0), "it has not heard of the last event");
        signs.followed(0, Position(8));
        assert!(is_current(0) && !signs.lacks_some(0));
    }

    #[tokio::test(start_paused = true)]
    async fn old_events_do_not_end_a_silence() {
        let signs = Signs::of(1);
        let is_current = || signs.is_current(0, Instant::now());
        signs.followed(0, Position(7));
        signs.told(0, Position(7), Instant::now());
        advance(SECOND * 30).await;
        signs.followed(0, Position(8));
        assert!(!is_current(), "the event may have waited in a buffer");
        signs.told(0, Position(10), Instant::now());
        signs.followed(0, Position(9));
        assert!(!is_current(), "one more is stored");
        signs.followed(0, Position(10));
        assert!(is_current());
        advance(SECOND * 4).await;
        signs.followed(0, Position(11));
        advance(SECOND * 4).await;
        assert!(is_current(), "from then on, each event is a sign again");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_as_old_as_its_question() {
        let signs = Signs::of(1);
        signs.followed(0, Position(7));
        let asked = Instant::now();
        advance(SECOND * 5).await;
        signs.told(0, Position(7), asked);
        assert!(!signs.is_current(0, Instant::now()));
    }

    #[tokio::test(start_paused = true)]
    async fn an_election_is_waited_for_while_the_servers_answer() {
        let signs = Signs::of(1);
        signs.followed(0, Position(7));
        for second in 1..20 {
            advance(SECOND).await;
            signs.has_quorum(Instant::now());
            assert_eq!(signs.is_current(0, Instant::now()), second < 12, "{second}");
        }
        signs.followed(0, Position(8));
        advance(SECOND * 5).await;
        assert!(!signs.is_current(0, Instant::now()), "nobody answers any more");
    }
}
