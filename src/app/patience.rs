//! Waits for the servers when a process starts. One slow answer is no reason to exit, because a restarted process
//! would only ask the same servers again.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::{admin::Health, app::AppError, log::OpenError};

/// The time between two attempts to reach a server.
pub(super) const RETRY: Duration = Duration::from_millis(500);
/// The time limit of one attempt: the next attempt may get an answer over another connection.
const ATTEMPT: Duration = Duration::from_secs(15);

/// Retries `attempt` until it succeeds or fails with a permanent error. Meanwhile `/readyz` shows what the process is
/// waiting for, and the last error.
pub(super) async fn patiently<T, F: Future<Output = Result<T, AppError>>>(
    health: &Health,
    what: &str,
    mut attempt: impl FnMut() -> F,
) -> Result<T, AppError> {
    health.is_waiting_for(format!("waiting for {what}"));
    loop {
        let why = match timeout(ATTEMPT, attempt()).await {
            Ok(Err(e)) if e.passes() => e.to_string(),
            Ok(done) => return done,
            Err(_) => format!("no answer within {} s", ATTEMPT.as_secs()),
        };
        tracing::warn!(error = why, "could not reach {what}; retrying");
        health.is_waiting_for(format!("waiting for {what}: {why}"));
        sleep(RETRY).await;
    }
}

impl AppError {
    /// Whether the error may be temporary.
    pub(super) fn passes(&self) -> bool {
        match self {
            Self::Database(e) => passes(e),
            Self::Log(_) => true,
            Self::Open(e) => matches!(e, OpenError::Connect(_) | OpenError::Streams(_)),
            _ => false,
        }
    }
}

/// Whether an error may be temporary. The refusals of a server that is starting, stopping or full are temporary:
/// classes 08, 40, 53, 55 and 57 of SQLSTATE.
fn passes(e: &sqlx::Error) -> bool {
    match e {
        sqlx::Error::Database(refused) => refused
            .code()
            .is_some_and(|code| ["08", "40", "53", "55", "57"].iter().any(|class| code.starts_with(class))),
        sqlx::Error::Io(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::Protocol(_) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::watch;

    use super::*;
    use crate::{
        archive::TablesError, erasures::ErasureError, log::Unavailable, projector::NotBuilt,
        supervise::Supervisor,
    };

    #[tokio::test]
    async fn a_slow_answer_is_waited_for_and_what_never_passes_is_told_at_once() {
        let health = Health::new(Supervisor::new().failed(), watch::Sender::new(None).subscribe());
        let tries = AtomicUsize::new(0);
        let answered = patiently(&health, "a server", || async {
            match tries.fetch_add(1, Ordering::Relaxed) {
                0 => Err(AppError::Log(Unavailable::because("it is slow"))),
                1 => Err(AppError::Database(sqlx::Error::PoolTimedOut)),
                _ => Ok(tries.load(Ordering::Relaxed)),
            }
        });
        assert_eq!(answered.await.expect("an answer at last"), 3);
        let refused =
            patiently(&health, "a server", || async { Err::<(), _>(AppError::Migrate("why".into())) });
        assert!(matches!(refused.await, Err(AppError::Migrate(_))));
    }

    #[test]
    fn an_outage_passes_in_whatever_step_of_a_restore_it_is_met() {
        let of_log = || Unavailable::because("its stream elects a leader");
        let passing: [AppError; 5] = [
            ErasureError::from(of_log()).into(),
            ErasureError::from(sqlx::Error::PoolTimedOut).into(),
            NotBuilt::from(of_log()).into(),
            NotBuilt::from(sqlx::Error::PoolTimedOut).into(),
            TablesError::from(sqlx::Error::PoolTimedOut).into(),
        ];
        assert!(passing.iter().all(AppError::passes), "{passing:?}");
        assert!(!AppError::from(ErasureError::NotFound).passes());
        assert!(!AppError::from(NotBuilt::Busy).passes());
    }
}
