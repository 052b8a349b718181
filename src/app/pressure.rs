//! Measuring how long work waits in this process.

use std::time::Duration;

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use sqlx::PgPool;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::{
    log::Log,
    overload::{Overload, Shortest, Waits},
    supervise::Supervisor,
};

/// How often waits are looked at.
const LOOK: Duration = Duration::from_millis(500);
/// How often one waits for a thread.
const TICK: Duration = Duration::from_millis(50);
/// How often a connection to Postgres is asked for, while most are in use.
const ASK: Duration = Duration::from_millis(100);
/// How many ask at once at most.
const ASKING: usize = 64;
/// So many appends between two looks may tell of a queue; fewer are single appends on a slow disk.
const APPENDS: usize = 16;

/// Starts measuring.
pub(super) fn start(overload: &Overload, pool: &PgPool, log: &Log, tasks: &Supervisor) {
    let (processor, database) = (Shortest::default(), Shortest::default());
    tasks.spawn("processor wait", wait_for_threads(processor.clone()));
    tasks.spawn("database wait", wait_for_connections(pool.clone(), database.clone()));
    let (overload, log) = (overload.clone(), log.clone());
    tasks.spawn("overload", async move {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            look.tick().await;
            // One late moment is a pause of the machine; two in a row are a queue.
            let processor = processor.take(2).1;
            let waits = Waits { processor, database: database.take(1).1, log: of_log(&log) };
            overload.look(waits);
        }
    });
}

/// A task that has slept long enough waits for a thread like every other task.
async fn wait_for_threads(processor: Shortest) {
    loop {
        let then = Instant::now() + TICK;
        sleep_until(then).await;
        processor.note(then.elapsed());
    }
}

/// Few appends are no queue, however slow the disk is.
fn of_log(log: &Log) -> Option<Duration> {
    let ((stored, shortest), waiting) = (log.waited().take(1), log.appends_waiting());
    if stored as usize + waiting < APPENDS { Some(Duration::ZERO) } else { shortest }
}

/// Connections are given in the order in which they were asked for, so one that is asked for here takes as long as any
/// other. Where there is none within the time of the pool, nothing is known: Postgres may not answer at all.
async fn wait_for_connections(pool: PgPool, database: Shortest) {
    let mut often = interval(ASK);
    often.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut asking = FuturesUnordered::new();
    let wait = async || {
        let since = Instant::now();
        pool.acquire().await.ok().map(|_| since.elapsed())
    };
    loop {
        tokio::select! {
            Some(waited) = asking.next(), if !asking.is_empty() => {
                if let Some(waited) = waited {
                    database.note(waited);
                }
            }
            _ = often.tick() => {
                // Some are idle for a moment also where there is a line.
                let most = pool.options().get_max_connections();
                if pool.size() < most || pool.num_idle() > most as usize / 2 {
                    database.note(Duration::ZERO);
                } else if asking.len() < ASKING {
                    asking.push(wait());
                }
            }
        }
    }
}
