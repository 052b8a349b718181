//! Whether log, views and this process belong together. A log that is restored from an older copy comes
//! back under its old name, with fewer events and then with others, so somebody has to look.

use std::time::Duration;

use sqlx::PgPool;
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval, sleep},
};

use crate::{
    live::Conversations,
    log::{Found, Holds, Log},
    projector::{self, Consent, Work, kinship},
    views,
};

/// The time between two looks at log and views.
const LOOK: Duration = Duration::from_secs(2);
/// So many looks in a row have to find another log under this process before it gives up: a stream that
/// has just changed its leader may lack its last events for a moment.
const LOOKS: usize = 3;

/// The fault of the views, for `/readyz`; `None` if there is none.
pub(super) type Trouble = watch::Sender<Option<String>>;

/// Waits until the views follow from the log: a process that serves others would show what the log does
/// not have, and hide what it has. With consent, views of another log are rebuilt.
pub(super) async fn until_views_follow(log: &Log, pool: &PgPool, consent: Consent, trouble: &Trouble) {
    while !follow(log, pool, trouble).await {
        if consent == Consent::Given && trouble.borrow().is_some() {
            let rebuilt =
                projector::rebuild(log, pool, &views::schema(), None, consent, &Work::default()).await;
            match rebuilt {
                Ok(()) => tracing::warn!("the views were of another log and have been rebuilt"),
                Err(e) => tracing::error!(error = %e, "could not rebuild the views; retrying"),
            }
        }
        sleep(LOOK).await;
    }
}

/// Looks now and then for as long as the process lives. Views of another log are told, and forgotten when
/// an operator has mended that. A log that is not the one which this process has followed ends this: what
/// is in memory here is of the other one.
pub(super) async fn keep_looking(log: Log, pool: PgPool, conversations: Conversations, trouble: Trouble) {
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut foreign = 0;
    while foreign < LOOKS {
        look.tick().await;
        follow(&log, &pool, &trouble).await;
        foreign = match foreign_stream(&log, &conversations).await {
            Some(stream) => {
                tracing::error!(stream, "the log is not the one that this process has followed");
                foreign + 1
            }
            None => 0,
        };
    }
}

/// Whether the views follow from the log; tells once what is wrong with them.
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
                Some(why) => tracing::error!(why, "the views are of another log"),
                None => tracing::info!("the views follow from the log again"),
            }
            *told = wrong;
        }
        is_news
    });
    is_fine
}

/// A stream that has not the event to which this process has followed it.
async fn foreign_stream(log: &Log, conversations: &Conversations) -> Option<usize> {
    for (stream, at) in conversations.points().into_iter().enumerate() {
        match log.holds(stream, at).await {
            Ok(Holds::Instead(Found::Ahead { .. } | Found::Event(_))) => return Some(stream),
            // A hole is the business of those who read over it; an outage passes.
            Ok(Holds::Same | Holds::Instead(Found::Missing)) | Err(_) => {}
        }
    }
    None
}
