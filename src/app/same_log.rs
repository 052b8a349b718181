//! Checks that the log, the views and this process belong together. A log that is restored from an older copy
//! comes back under its old name, with fewer events at first and with other events later, so no name shows the
//! change.

use std::time::Duration;

use sqlx::PgPool;
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval, sleep},
};

use crate::{
    app::AppError,
    live::Conversations,
    log::{Found, Holds, Log},
    projector::{self, Consent, Work, kinship},
    views,
};

/// The interval between two comparisons of log and views.
const LOOK: Duration = Duration::from_secs(2);
/// The number of consecutive checks that have to find another log before this process gives up. A stream that
/// has just changed its leader may lack its last events for a moment.
const LOOKS: usize = 3;

/// The name of the task with [`keep_looking`].
pub(super) const TASK: &str = "same log";

/// The fault of the views, for `/readyz`; `None` without a fault.
pub(super) type Trouble = watch::Sender<Option<String>>;

/// Waits until the views follow from the log. With views of another log, a process would show events that its log
/// does not have, and hide events that it has. With consent, views of another log are rebuilt.
pub(super) async fn until_views_follow(log: &Log, pool: &PgPool, consent: Consent, trouble: &Trouble) {
    while !follow(log, pool, trouble).await {
        if consent == Consent::Given && trouble.borrow().is_some() {
            let rebuilt =
                projector::rebuild(log, pool, &views::schema(), None, consent, &Work::default()).await;
            match rebuilt {
                Ok(()) => tracing::warn!("rebuilt the views, which belonged to another log"),
                Err(e) => tracing::error!(error = %e, "could not rebuild the views; retrying"),
            }
        }
        sleep(LOOK).await;
    }
}

/// Compares log, views and process for the life of the process. Views of another log are reported in `trouble`
/// until an operator has repaired them. Returns, and so stops the process, when the log is no longer the log that
/// this process has followed, because the state in memory then belongs to another log.
pub(super) async fn keep_looking(log: Log, pool: PgPool, conversations: Conversations, trouble: Trouble) {
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut foreign = 0;
    while foreign < LOOKS {
        look.tick().await;
        follow(&log, &pool, &trouble).await;
        // A log that was restored has the same events, but no cursor that this process makes is valid in it.
        let has_other_epoch = matches!(log.is_replaced().await, Ok(true));
        let stream = foreign_stream(&log, &conversations).await;
        foreign = match (has_other_epoch, stream) {
            (false, None) => 0,
            (has_other_epoch, stream) => {
                tracing::error!(
                    stream,
                    has_other_epoch,
                    "the log is not the one that this process has followed"
                );
                foreign + 1
            }
        };
    }
}

/// Waits until the log has another epoch than when this process opened it, and returns the error with which the process
/// stops: what it knows of the log is about the other one.
pub(super) async fn replaced(log: &Log) -> AppError {
    while !matches!(log.is_replaced().await, Ok(true)) {
        sleep(LOOK).await;
    }
    AppError::Replaced
}

/// Why a process stops whose background task has ended.
pub(super) fn stopped_by(task: &'static str) -> AppError {
    if task == TASK { AppError::Replaced } else { AppError::Task(task) }
}

/// Whether the views follow from the log. Logs each change of the answer once, and stores it in `trouble`.
async fn follow(log: &Log, pool: &PgPool, trouble: &Trouble) -> bool {
    let found = async {
        let mut connection = pool.acquire().await?;
        kinship(log, &mut connection, &views::schema()).await
    };
    let wrong = match found.await {
        Ok(kinship) => kinship.trouble(),
        Err(e) => {
            tracing::warn!(error = %e, "could not compare the views with the log");
            return false;
        }
    };
    let is_fine = wrong.is_none();
    trouble.send_if_modified(|told| {
        let is_news = *told != wrong;
        if is_news {
            match &wrong {
                Some(why) => tracing::error!(why, "the views belong to another log"),
                None => tracing::info!("the views belong to the log again"),
            }
            *told = wrong;
        }
        is_news
    });
    is_fine
}

/// The first stream that lacks the event up to which this process has followed it.
async fn foreign_stream(log: &Log, conversations: &Conversations) -> Option<usize> {
    for (stream, at) in conversations.points().into_iter().enumerate() {
        match log.holds(stream, at).await {
            Ok(Holds::Instead(Found::Ahead { .. } | Found::Event(_))) => return Some(stream),
            // A hole affects only the requests that read across it, and an outage is temporary.
            Ok(Holds::Same | Holds::Instead(Found::Missing)) | Err(_) => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_of_another_log_is_to_be_started_again_and_no_bug() {
        let told = |task| stopped_by(task).to_string();
        assert!(told(TASK).ends_with("start this process again"));
        assert!(told("projector").contains("`projector` failed"));
    }
}
