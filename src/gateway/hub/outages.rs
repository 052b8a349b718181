//! Tells clients that the log cannot store events at present: once per outage, not for every slow append.

use std::time::Duration;

use tokio::{sync::watch, time::timeout};

/// A shorter outage is not reported: a leader election, or a disk that was slow for a moment.
const MOMENT: Duration = Duration::from_secs(1);
/// The log has to work for this long before another outage is reported.
const CALM: Duration = Duration::from_secs(15);

/// Calls `tell` when the log has not worked for a moment, and not again until the log has worked for a while. Ends when
/// the sender of `works` is dropped.
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
