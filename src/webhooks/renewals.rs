//! When the claims are renewed: as often as they need it, while other work goes on.

use std::{
    pin::{Pin, pin},
    time::Duration,
};

use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

/// How often the claims are renewed.
const RENEW: Duration = Duration::from_secs(3);
/// The pause after a renewal that took longer than that. Without it, the next one would be due at once, and nothing else
/// would ever have its turn.
const PAUSE: Duration = Duration::from_millis(500);

/// The times of the renewals.
pub(super) struct Renewals(Interval);

impl Renewals {
    /// The first renewal is due at once.
    pub(super) fn new() -> Self {
        let mut due = interval(RENEW);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self(due)
    }

    /// Waits until the claims are to be renewed.
    pub(super) async fn due(&mut self) {
        self.0.tick().await;
    }

    /// Notes that a renewal has ended now.
    pub(super) fn ended(&mut self, begun: Instant) {
        self.0.reset_at((begun + RENEW).max(Instant::now() + PAUSE));
    }
}

/// Renews while `work` goes on, so that its time limits do not count a renewal. Returns the result of the work if it has
/// ended first. The renewal always ends: a claim whose answer is not read would be lost.
pub(super) async fn meanwhile<T>(
    work: Pin<&mut impl Future<Output = T>>,
    renewal: impl Future<Output = ()>,
) -> Option<T> {
    let mut renewal = pin!(renewal);
    tokio::select! {
        () = &mut renewal => None,
        done = work => {
            renewal.await;
            Some(done)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::time::{sleep, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_slow_renewal_leaves_others_their_turn() {
        let mut renewals = Renewals::new();
        let (start, mut begun, mut turns) = (Instant::now(), Vec::new(), 0);
        while start.elapsed() < RENEW * 10 {
            tokio::select! {
                biased;
                () = renewals.due() => {
                    let now = Instant::now();
                    begun.push(now);
                    // The first is quick.
                    sleep(if begun.len() == 1 { PAUSE } else { RENEW }).await;
                    renewals.ended(now);
                }
                () = sleep(PAUSE / 2) => turns += 1,
            }
        }
        assert!(turns >= begun.len(), "{turns} turns beside {} renewals", begun.len());
        let gaps: Vec<_> = begun.windows(2).map(|two| two[1] - two[0]).collect();
        assert_eq!(gaps[..2], [RENEW, RENEW + PAUSE]);
    }

    #[tokio::test(start_paused = true)]
    async fn work_goes_on_during_a_renewal_and_ends_none() {
        let work = async {
            sleep(RENEW / 2).await;
            sleep(RENEW / 3).await;
        };
        let mut work = pin!(timeout(RENEW, work));
        let is_renewed = Cell::new(false);
        let renewal = async {
            sleep(RENEW * 2).await;
            is_renewed.set(true);
        };
        assert_eq!(meanwhile(work.as_mut(), renewal).await, Some(Ok(())), "it was in time");
        assert!(is_renewed.get());
        let mut work = pin!(sleep(RENEW));
        assert_eq!(meanwhile(work.as_mut(), sleep(RENEW / 2)).await, None, "it goes on afterwards");
    }
}
