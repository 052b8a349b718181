//! When a follower that gets no events looks for the reason. The hub cancels the wait for events whenever it answers a
//! request, and begins the wait anew. So the times are kept here: a time that is computed when a wait begins may never
//! come.

use std::time::Duration;

use tokio::time::Instant;

/// A stream that is silent for this long may have lost the next event.
const LONG: Duration = Duration::from_secs(10);
/// How often the follower checks for an event that is stored but does not arrive, and how many checks in a row must
/// find one before the consumer is recreated: its server may be lost while all others are alive.
const LOOK: Duration = Duration::from_secs(1);
const LOOKS: u32 = 2;

/// The silence of a stream.
pub(in crate::log) struct Silence {
    /// When an event last arrived, or the leader was last asked why none arrives.
    since: Instant,
    next_look: Instant,
    /// How many checks in a row have found an event that was stored and had not arrived.
    lacked: u32,
}

impl Silence {
    /// The silence begins now: an event has arrived, or the leader has said why none arrives.
    pub(in crate::log) fn begin() -> Self {
        let now = Instant::now();
        Self { since: now, next_look: now + LOOK, lacked: 0 }
    }

    /// When to look for the reason.
    pub(in crate::log) fn look(&self) -> Instant {
        self.next_look.min(self.since + LONG)
    }

    /// Whether it is so long that the leader has to be asked.
    pub(in crate::log) fn is_long(&self) -> bool {
        self.since.elapsed() >= LONG
    }

    /// Notes a check, and returns whether the consumer has to be recreated.
    pub(in crate::log) fn looked(&mut self, lacks_some: bool) -> bool {
        self.lacked = if lacks_some { self.lacked + 1 } else { 0 };
        self.next_look = Instant::now() + LOOK;
        self.lacked >= LOOKS
    }

    /// There is a new consumer, which may take as long as the last one did until its first event arrives.
    pub(in crate::log) fn has_new_consumer(&mut self) {
        (self.next_look, self.lacked) = (Instant::now() + LOOK, 0);
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::{sleep, timeout, timeout_at};

    use super::*;

    /// Waits for events that never arrive, and begins each wait anew after `cancelled`, until a look says that the
    /// consumer has to be recreated.
    async fn until_recreated(silence: &mut Silence, cancelled: Duration) {
        loop {
            tokio::select! {
                _ = timeout_at(silence.look(), pending::<()>()) => if silence.looked(true) { return },
                () = sleep(cancelled) => {}
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_is_cancelled_again_and_again_still_ends_with_a_look() {
        for cancelled in [LOOK / 3, LOOK * 100] {
            let (mut silence, begun) = (Silence::begin(), Instant::now());
            let recreated = timeout(LOOK * 60, until_recreated(&mut silence, cancelled)).await;
            assert!(recreated.is_ok(), "no look when waits are cancelled after {cancelled:?}");
            assert_eq!(begun.elapsed().as_secs(), (LOOK * LOOKS).as_secs());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_consumer_gets_the_full_time_and_does_not_end_the_silence() {
        let mut silence = Silence::begin();
        assert!(!silence.looked(true));
        sleep(LONG - LOOK / 2).await;
        silence.has_new_consumer();
        assert!(
            !silence.is_long() && silence.look() <= Instant::now() + LOOK / 2,
            "the leader is asked soon"
        );
        sleep(LOOK / 2).await;
        assert!(silence.is_long());
        silence = Silence::begin();
        assert!(
            !silence.is_long() && !silence.looked(true) && !silence.looked(false) && !silence.looked(true)
        );
        assert!(silence.looked(true), "twice in a row");
    }
}
