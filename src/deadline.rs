//! Whether work may still **go on**.

use std::{future::poll_fn, pin::pin, task::Poll, time::Duration};

use tokio::time::{Instant, timeout_at};

/// The result of work, unless its deadline passes first.
///
/// The clock is read before each step of the work. tokio's timeout reads it afterwards, so a process that was suspended
/// in the middle of a command would append an event that it had decided on long ago. Erasures rely on the deadline.
pub(crate) async fn within<F: Future>(limit: Duration, work: F) -> Option<F::Output> {
    let until = Instant::now() + limit;
    let mut work = pin!(timeout_at(until, work));
    poll_fn(|context| match Instant::now() < until {
        true => work.as_mut().poll(context).map(Result::ok),
        false => Poll::Ready(None),
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::{future::pending, thread};

    use tokio::task::yield_now;

    use super::*;

    #[tokio::test]
    async fn work_that_was_suspended_past_its_deadline_does_not_go_on() {
        let limit = Duration::from_millis(50);
        let suspended = async || {
            thread::sleep(2 * limit);
            yield_now().await;
        };
        assert!(within(limit, suspended()).await.is_none(), "the next step is too late");
        assert!(within(100 * limit, suspended()).await.is_some());
        assert!(within(limit, pending::<()>()).await.is_none());
    }
}
