//! Telling clients that no event can be stored at present: once for each outage, and not for each slow append.

use std::time::Duration;

use tokio::{sync::watch, time::timeout};

/// A shorter outage is not told: a leader was elected, or a disk was slow for a moment.
const MOMENT: Duration = Duration::from_secs(1);
/// The log has to work for so long before another outage counts.
const CALM: Duration = Duration::from_secs(15);

/// Calls `tell` when the log has not worked for a moment, and not again before the log has worked for a while. Ends
/// with the sender of `works`.
pub(in crate::gateway) async fn tell_of(mut works: watch::Receiver<bool>, mut tell: impl FnMut()) {
    while works.wait_for(|works| !works).await.is_ok() {
        if timeout(MOMENT, works.wait_for(|works| *works)).await.is_ok() {
            continue;
        }
        tell();
        loop {
            if works.wait_for(|works| *works).await.is_err() {
                return;
            }
            if timeout(CALM, works.wait_for(|works| !works)).await.is_err() {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_outage_is_told_once_and_a_moment_is_none() {
        let (works, told) = (watch::Sender::new(true), Arc::<AtomicUsize>::default());
        let count = told.clone();
        tokio::spawn(tell_of(works.subscribe(), move || {
            count.fetch_add(1, Ordering::Relaxed);
        }));
        let has_told = || told.load(Ordering::Relaxed);
        for _ in 0..20 {
            works.send_replace(false);
            sleep(MOMENT / 2).await;
            works.send_replace(true);
            sleep(MOMENT / 2).await;
        }
        assert_eq!(has_told(), 0, "each was over in a moment");
        works.send_replace(false);
        sleep(MOMENT * 2).await;
        assert_eq!(has_told(), 1);
        for _ in 0..20 {
            works.send_replace(true);
            sleep(CALM / 3).await;
            works.send_replace(false);
            sleep(MOMENT * 2).await;
        }
        assert_eq!(has_told(), 1, "it goes on");
        works.send_replace(true);
        sleep(CALM * 2).await;
        works.send_replace(false);
        sleep(MOMENT * 2).await;
        assert_eq!(has_told(), 2, "this is another one");
        drop(works);
    }
}
