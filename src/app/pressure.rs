//! Measures how long work waits in this process: for a processor, for Postgres and for the log.

use std::time::Duration;

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use sqlx::PgPool;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::{
    log::Log,
    overload::{Overload, Shortest, Waits},
    supervise::Supervisor,
    telemetry::PROCESS,
};

/// The interval at which the waits are turned into a level of overload.
const LOOK: Duration = Duration::from_millis(500);
/// The interval at which a task measures its wait for a thread.
const TICK: Duration = Duration::from_millis(100);
/// The interval at which a connection to Postgres is requested while most connections are in use.
const ASK: Duration = Duration::from_millis(100);
/// The maximum number of measurements that wait for a connection at the same time.
const ASKING: usize = 64;
/// The minimum number of appends in an interval for their waits to count. Fewer are single appends on a slow disk, not
/// a queue.
const APPENDS: usize = 16;

/// Starts the measurements.
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
            // One late tick is a pause of the machine; two late ticks in a row are a queue.
            let processor = processor.take(2).1;
            let waits = Waits { processor, database: database.take(1).1, log: of_log(&log) };
            overload.look(waits);
        }
    });
}

/// Measures the wait for a thread: when its sleep is over, this task waits for a thread like every other task.
async fn wait_for_threads(processor: Shortest) {
    loop {
        let then = Instant::now() + TICK;
        sleep_until(then).await;
        processor.note(then.elapsed());
        PROCESS.scheduler_delay.observe(then.elapsed());
    }
}

/// The shortest wait of recent appends, or zero if there were few: few appends are no queue, even on a slow disk.
fn of_log(log: &Log) -> Option<Duration> {
    let ((stored, shortest), waiting) = (log.waited().take(1), log.appends_waiting());
    if stored as usize + waiting < APPENDS { Some(Duration::ZERO) } else { shortest }
}

/// Measures the wait for a connection. The pool hands out connections in the order of the requests, so a request from
/// here waits as long as any other. A request that times out measures nothing, because Postgres may be down.
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
                // A few connections are idle for a moment even while requests queue, so the absence of idle connections
                // is no test for a queue.
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
