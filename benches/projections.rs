//! How fast views are rebuilt from the log, what that costs Postgres compared with a bare insert of the same
//! rows, how far live views lag behind, and whether a rebuild during live sends loses anything. The
//! benchmark starts its own servers:
//!
//! ```sh
//! VERBATIM_BENCH_MESSAGES=1000000 cargo bench --bench projections
//! ```

#![allow(clippy::disallowed_methods, reason = "a client has the clock and the ids of its own machine")]

mod stage;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use sqlx::{Connection as _, PgConnection, PgPool};
use tokio_util::sync::CancellationToken;
use verbatim::{
    clock::Clock,
    log::Log,
    projector::{self, Consent, Work},
    views::{self, Checkpoint},
};

use stage::{
    Said, Stage, Talk, cpu_of,
    figures::{Figure, note},
    message, part,
    process::cpu,
    talk::micros,
};

/// Sends a second while the lag is measured, and the duration.
const RATE: u32 = 500;
const LAG_FOR: Duration = Duration::from_secs(20);
/// Sends a second during a rebuild.
const BESIDE: u32 = 200;

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(run());
}

async fn run() {
    let messages = stage::messages();
    let stage = Stage::set().await;
    let Stage { log, pool, postgres, .. } = &stage;
    let begun = Instant::now();
    let (talks, said) = stage.fill(messages).await;
    println!("filled       {:>9.0} sends/s", messages as f64 / begun.elapsed().as_secs_f64());

    let with = bare(&stage, &said, Indexes::First).await;
    println!("bare inserts {with}, with all indexes from the beginning");
    let floor = bare(&stage, &said, Indexes::Last).await;
    println!("bare inserts {floor}, in the order of the key, other indexes last");

    let (spent, work) = (Spent::begin(&stage), Work::default());
    projector::rebuild(log, pool, &views::schema(), None, Consent::Withheld, &work).await.expect("a rebuild");
    let rebuilt = spent.on(&stage, work.progress().0);
    println!(
        "rebuilt      {rebuilt}: {:.2} x the second floor, {:.2} x the first",
        rebuilt.postgres / floor.postgres,
        rebuilt.postgres / with.postgres
    );

    note(Figure::new("projections", "rebuild: events", "1/s").goal("at least 50,000/s"), rebuilt.rate, None);
    let cost = Figure::new("projections", "rebuild: CPU time of Postgres per event", "µs");
    let cost = cost.goal("at most 1.2 x").beside("the bare insert of the messages");
    note(cost, rebuilt.postgres, Some(floor.postgres));
    let cost = Figure::new("projections", "rebuild: CPU time of all three processes per event", "µs");
    note(cost, rebuilt.postgres + rebuilt.ours + rebuilt.nats, None);

    let stop = CancellationToken::new();
    let projecting =
        tokio::spawn(projector::project(log.clone(), pool.clone(), views::schema(), 0, stop.clone()));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut lags = lags(log, postgres.url(), &talks).await;
    lags.sort_unstable();
    for (p, name, goal) in [(0.5, "p50", ""), (0.99, "p99", "at most 50 ms"), (1.0, "maximum", "")] {
        let lag = Figure::new("projections", format!("lag at {RATE} sends/s: {name}"), "ms").goal(goal);
        note(lag, part(&lags, p), None);
    }
    beside(&stage, &talks).await;
    stop.cancel();
    projecting.await.expect("the projection ends");
    stage.clear().await;
}

/// Rebuilds all views while messages are sent, and compares the views with the log.
async fn beside(Stage { log, pool, .. }: &Stage, talks: &[Talk]) {
    let stop = CancellationToken::new();
    let talking = tokio::spawn(talk(log.clone(), talks.to_vec(), stop.clone()));
    let (begun, work) = (Instant::now(), Work::default());
    projector::rebuild(log, pool, &views::schema(), None, Consent::Withheld, &work).await.expect("a rebuild");
    let took = begun.elapsed();
    let (begun, compared) = (Instant::now(), Work::default());
    let told = |table, difference| println!("{table}: {difference:?}");
    let verified =
        projector::verify(log, pool, &views::schema(), &compared, told).await.expect("a comparison");
    let compared = begun.elapsed();
    stop.cancel();
    let said = talking.await.expect("sends");
    let missing = missing(pool, &said).await;
    println!(
        "beside       {:>9} sends at {BESIDE}/s, {missing} missing: rebuilt {} events in {:.1} s; compared {} rows in {:.1} s, {} differ",
        said.len(),
        work.progress().0,
        took.as_secs_f64(),
        verified.rows,
        compared.as_secs_f64(),
        verified.differences
    );
    assert_eq!((verified.differences, missing), (0, 0), "nothing is lost");
}

/// The number of acknowledged messages that the views lack, once they have reached the last one.
async fn missing(pool: &PgPool, said: &[Said]) -> i64 {
    let last = said.iter().map(|said| said.position).max().expect("somebody has said something");
    let progress = views::Progress::new(pool.clone());
    let there = progress.reached(Checkpoint { stream: 0, position: last }, Duration::from_secs(10)).await;
    assert!(there.expect("Postgres"), "the views come as far as the last message");
    sqlx::query_scalar(
        "select count(*) from unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::text[])
             as said (conversation_id, position, id, text)
         left join message m using (conversation_id, position, id, text) where m.sender is null",
    )
    .bind(said.iter().map(|said| said.conversation.uuid()).collect::<Vec<_>>())
    .bind(said.iter().map(|said| said.position.0 as i64).collect::<Vec<_>>())
    .bind(said.iter().map(|said| said.message.message_id.uuid()).collect::<Vec<_>>())
    .bind(said.iter().map(|said| said.message.text.as_str()).collect::<Vec<_>>())
    .fetch_one(pool)
    .await
    .expect("Postgres")
}

/// Sends until it is stopped, and returns the acknowledged messages.
async fn talk(log: Log, talks: Vec<Talk>, stop: CancellationToken) -> Vec<Said> {
    let (clock, mut sends) = (Clock::system(), tokio::task::JoinSet::new());
    let mut next = tokio::time::interval(Duration::from_secs(1) / BESIDE);
    for n in 0.. {
        tokio::select! {
            _ = next.tick() => {}
            () = stop.cancelled() => break,
        }
        let ((draft, message), log) = (message(&clock, &talks, n), log.clone());
        sends.spawn(async move {
            let position = log.append(&draft).await.expect("a send").position;
            Said {
                position,
                conversation: draft.conversation,
                sender: draft.actor,
                message,
                time: draft.time,
            }
        });
    }
    sends.join_all().await
}

/// The cost of an operation in each process, in microseconds for each event, and its rate.
struct Each {
    rate: f64,
    postgres: f64,
    ours: f64,
    nats: f64,
}

impl fmt::Display for Each {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rate, postgres, ours, nats } = self;
        write!(
            f,
            "{rate:>9.0}/s  {postgres:.1} µs of Postgres, {ours:.1} of ours, {nats:.1} of nats-server each"
        )
    }
}

/// The CPU time of the processes when a measurement begins.
struct Spent {
    begun: Instant,
    cpu: [Duration; 3],
}

impl Spent {
    fn begin(stage: &Stage) -> Self {
        Self { begun: Instant::now(), cpu: Self::now(stage) }
    }

    fn now(Stage { nats, postgres, .. }: &Stage) -> [Duration; 3] {
        [cpu_of(postgres.pid()), cpu(std::process::id()), cpu(nats.pid())]
    }

    fn on(self, stage: &Stage, events: u64) -> Each {
        let took = self.begun.elapsed();
        let now = Self::now(stage);
        let each = |n: usize| micros(now[n] - self.cpu[n]) / events as f64;
        Each { rate: events as f64 / took.as_secs_f64(), postgres: each(0), ours: each(1), nats: each(2) }
    }
}

/// When to create the indexes that a bare insert does not need.
#[derive(PartialEq)]
enum Indexes {
    First,
    Last,
}

/// The minimum work: inserts the rows of all messages.
async fn bare(stage: &Stage, said: &[Said], indexes: Indexes) -> Each {
    let spent = Spent::begin(stage);
    let mut connection = PgConnection::connect(stage.postgres.url()).await.expect("Postgres");
    let definition = "drop schema if exists floor cascade; create schema floor;
         set search_path = floor; set synchronous_commit = off; set maintenance_work_mem = '128MB';
         create table message (like view.message including all excluding indexes, primary key (conversation_id, position));";
    let made: String = views::indexes().filter(|sql| sql.contains(" on message")).collect();
    let (first, last) = if indexes == Indexes::First { (&*made, "") } else { ("", &*made) };
    let sql = sqlx::AssertSqlSafe(format!("{definition} {first}"));
    sqlx::raw_sql(sql).execute(&mut connection).await.expect("a table");
    let size = if indexes == Indexes::First { 5_000 } else { 20_000 };
    for batch in said.chunks(size) {
        let mut batch: Vec<&Said> = batch.iter().collect();
        if indexes == Indexes::Last {
            batch.sort_unstable_by_key(|said| (said.conversation, said.position));
        }
        sqlx::query(
            "insert into message (conversation_id, position, id, sender, client_id, text, sent_at, words)
             select *, to_tsvector('simple', text)
             from unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::uuid[], $5::text[], $6::text[],
                         $7::timestamptz[]) as new (conversation_id, position, id, sender, client_id, text, time)
             on conflict do nothing",
        )
        .bind(batch.iter().map(|said| said.conversation.uuid()).collect::<Vec<_>>())
        .bind(batch.iter().map(|said| said.position.0 as i64).collect::<Vec<_>>())
        .bind(batch.iter().map(|said| said.message.message_id.uuid()).collect::<Vec<_>>())
        .bind(batch.iter().map(|said| said.sender.uuid()).collect::<Vec<_>>())
        .bind(batch.iter().map(|said| said.message.client_id.as_str()).collect::<Vec<_>>())
        .bind(batch.iter().map(|said| said.message.text.as_str()).collect::<Vec<_>>())
        .bind(batch.iter().map(|said| said.time.datetime()).collect::<Vec<_>>())
        .execute(&mut connection)
        .await
        .expect("rows");
    }
    sqlx::raw_sql(sqlx::AssertSqlSafe(last.to_owned())).execute(&mut connection).await.expect("indexes");
    connection.close().await.expect("close");
    spent.on(stage, said.len() as u64)
}

/// The times from the acknowledgement of each send until the views have it.
async fn lags(log: &Log, url: &str, talks: &[Talk]) -> Vec<Duration> {
    let clock = Clock::system();
    let acknowledged = Arc::<Mutex<HashMap<u64, Instant>>>::default();
    let mut sends = tokio::task::JoinSet::new();
    let mut connection = PgConnection::connect(url).await.expect("Postgres");
    let sql = format!("select min(position) from {}.checkpoint", views::schema());
    let (mut next, mut look) = (
        tokio::time::interval(Duration::from_secs(1) / RATE),
        tokio::time::interval(Duration::from_millis(2)),
    );
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (begun, mut n, mut lags) = (Instant::now(), 0, Vec::new());
    while begun.elapsed() < LAG_FOR || !acknowledged.lock().expect("times").is_empty() {
        tokio::select! {
            _ = next.tick(), if begun.elapsed() < LAG_FOR => {
                let (draft, _) = message(&clock, talks, n);
                n += 1;
                let (log, acknowledged) = (log.clone(), acknowledged.clone());
                sends.spawn(async move {
                    let position = log.append(&draft).await.expect("a send").position.0;
                    acknowledged.lock().expect("times").insert(position, Instant::now());
                });
            }
            _ = look.tick() => {
                let at: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(sql.clone()))
                    .fetch_one(&mut connection)
                    .await
                    .expect("a position");
                acknowledged.lock().expect("times").retain(|position, since| {
                    let is_there = *position <= at as u64;
                    if is_there {
                        lags.push(since.elapsed());
                    }
                    !is_there
                });
            }
        }
    }
    lags
}
