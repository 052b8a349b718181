//! Tasks that live as long as the process. Half a process is worse than none: a hub that has died leaves stale rosters
//! behind, on which commands are still decided. So the first task that panics, or ends without being told to, stops the
//! whole process.

use std::{any::Any, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use tokio::{sync::watch, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::telemetry::METRICS;

/// Runs the long-lived tasks of a process and notes the first one that fails. Cheap to clone.
#[derive(Clone, Default)]
pub struct Supervisor(Arc<Inner>);

#[derive(Default)]
struct Inner {
    stop: CancellationToken,
    tasks: TaskTracker,
    failed: watch::Sender<Option<&'static str>>,
}

impl Supervisor {
    /// A supervisor without tasks.
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs a task that is needed until [`Supervisor::stop`]. A panic and an end before that are failures.
    pub fn spawn(&self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        self.run(name, work, move |supervisor| supervisor.fail(name, "it ended before the process did"));
    }

    /// Runs a task that may end by itself, for instance with the last sender of its queue. Only a panic is a failure.
    pub fn spawn_ending(&self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        self.run(name, work, |_| {});
    }

    fn run(
        &self,
        name: &'static str,
        work: impl Future<Output = ()> + Send + 'static,
        ended: impl FnOnce(&Self) + Send + 'static,
    ) {
        let supervisor = self.clone();
        self.0.tasks.spawn(async move {
            // The process stops, so no other task sees the state that a panic has left half done.
            let work = AssertUnwindSafe(work).catch_unwind();
            tokio::select! {
                // A task that ends when it is told to has not failed, so the order to stop is checked first.
                biased;
                () = supervisor.0.stop.cancelled() => {}
                outcome = work => match outcome {
                    // The order may have come after the first branch was checked.
                    Ok(()) if supervisor.0.stop.is_cancelled() => {}
                    Ok(()) => ended(&supervisor),
                    Err(panic) => supervisor.fail(name, said(&*panic)),
                },
            }
        });
    }

    fn fail(&self, name: &'static str, why: &str) {
        METRICS.failed_tasks.inc();
        tracing::error!(task = name, why, "a background task failed; stopping this process");
        self.0.failed.send_if_modified(|failed| failed.is_none() && failed.replace(name).is_none());
    }

    /// The name of the first task that has failed, as soon as there is one.
    pub fn failed(&self) -> watch::Receiver<Option<&'static str>> {
        self.0.failed.subscribe()
    }

    /// Waits until a task has failed, and returns its name.
    pub async fn failure(&self) -> &'static str {
        let mut failed = self.failed();
        match failed.wait_for(Option::is_some).await.map(|failed| *failed) {
            Ok(Some(name)) => name,
            // The sender lives in `self`, and the condition asks for a name.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    /// The token that is cancelled when tasks are to end.
    pub fn stopping(&self) -> &CancellationToken {
        &self.0.stop
    }

    /// Cancels all tasks and waits until the last one has ended. `false`: that took longer than `patience`.
    pub async fn stop(&self, patience: Duration) -> bool {
        self.0.stop.cancel();
        self.0.tasks.close();
        timeout(patience, self.0.tasks.wait()).await.is_ok()
    }
}

/// The message of a panic.
fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("it panicked")
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    const LONG_ENOUGH: Duration = Duration::from_secs(10);

    async fn first_failure(of: &Supervisor) -> &'static str {
        timeout(LONG_ENOUGH, of.failure()).await.expect("a task fails")
    }

    #[tokio::test]
    async fn a_panic_and_an_early_end_are_failures_and_the_first_one_counts() {
        let supervisor = Supervisor::new();
        supervisor.spawn("sound", pending());
        supervisor.spawn("broken", async { panic!("as this test wants it") });
        assert_eq!(first_failure(&supervisor).await, "broken");
        supervisor.spawn("over", async {});
        assert!(supervisor.stop(LONG_ENOUGH).await);
        assert_eq!(*supervisor.failed().borrow(), Some("broken"));

        let supervisor = Supervisor::new();
        supervisor.spawn("over", async {});
        assert_eq!(first_failure(&supervisor).await, "over");
    }

    #[tokio::test]
    async fn a_task_that_may_end_fails_only_by_a_panic() {
        let supervisor = Supervisor::new();
        supervisor.spawn_ending("over", async {});
        supervisor.0.tasks.close();
        supervisor.0.tasks.wait().await;
        assert_eq!(*supervisor.failed().borrow(), None);
        supervisor.spawn_ending("broken", async { panic!("{}", "as this test wants it") });
        assert_eq!(first_failure(&supervisor).await, "broken");
    }

    #[tokio::test]
    async fn what_ends_because_it_was_told_to_has_not_failed() {
        let supervisor = Supervisor::new();
        let stopping = supervisor.stopping().clone();
        supervisor.spawn("obedient", async move { stopping.cancelled().await });
        supervisor.spawn("endless", pending());
        assert!(supervisor.stop(LONG_ENOUGH).await);
        assert_eq!(*supervisor.failed().borrow(), None);
    }
}
