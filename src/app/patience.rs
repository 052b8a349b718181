//! A process that starts waits for its servers. One slow answer is no reason to exit: whoever starts the
//! process again only asks the same servers again.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::{admin::Health, app::AppError, log::OpenError};

/// How long to wait before servers that are not there are tried again.
pub(super) const RETRY: Duration = Duration::from_millis(500);
/// How long one attempt may take: a server that hangs is asked again, perhaps over another connection.
const ATTEMPT: Duration = Duration::from_secs(15);

/// Tries until it comes to something. What no waiting mends ends it; until then `/readyz` says what is waited
/// for.
pub(super) async fn patiently<T, F: Future<Output = Result<T, AppError>>>(
    health: &Health,
    what: &str,
    mut attempt: impl FnMut() -> F,
) -> Result<T, AppError> {
    health.is_waiting_for(format!("{what} is waited for"));
    loop {
        let why = match timeout(ATTEMPT, attempt()).await {
            Ok(Err(e)) if e.passes() => e.to_string(),
            Ok(done) => return done,
            Err(_) => format!("there is no answer within {} s", ATTEMPT.as_secs()),
        };
        tracing::warn!(error = why, "could not reach {what}; retrying");
        health.is_waiting_for(format!("{what} is waited for: {why}"));
        sleep(RETRY).await;
    }
}

impl AppError {
    /// Whether it may pass by itself.
    fn passes(&self) -> bool {
        match self {
            Self::Database(e) => passes(e),
            Self::Log(_) => true,
            Self::Open(e) => matches!(e, OpenError::Connect(_) | OpenError::Streams(_)),
            _ => false,
        }
    }
}

/// A server that is slow, starting, stopping or full refuses, too: classes 08, 40, 53, 55 and 57 of SQLSTATE.
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
    use crate::{log::Unavailable, supervise::Supervisor};

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
}
