//! What it costs to read: a page of history beside the bare query, the list of somebody who is in all
//! conversations, a search over all messages, and how large log and views are. It starts servers of
//! its own:
//!
//! ```sh
//! VERBATIM_BENCH_MESSAGES=1000000 cargo bench --bench reads
//! ```

mod stage;

use std::time::{Duration, Instant};

use sqlx::PgPool;
use time::OffsetDateTime;
use uuid::Uuid;
use verbatim::{
    domain::Position,
    projector::{self, Work},
    views::{self, Among, Direction, Reader, SearchError, Wanted},
};

use stage::{
    Said, Stage, cpu_of,
    figures::{Figure, note},
    part,
};

/// How often each read is measured.
const READS: usize = 500;
/// Messages of a page.
const PAGE: i64 = 50;

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(run());
}

async fn run() {
    let messages = stage::messages();
    let stage = Stage::set().await;
    let (talks, said) = stage.fill(messages).await;
    projector::rebuild(&stage.log, &stage.pool, &views::schema(), None, &Work::default())
        .await
        .expect("a rebuild");
    sizes(&stage, messages).await;

    let pool = &stage.pool;
    let place = |n: usize| &said[n.wrapping_mul(7_919) % said.len()];
    let everywhere = talks[0].1[0];
    let bare = measure(&stage, "bare page of 50", |n| bare(pool, place(n))).await;
    let page = measure(&stage, "history page of 50", |n| {
        let Said { conversation, position, .. } = place(n);
        let reader = Reader { conversation: *conversation, user: everywhere, visible_from: Position::START };
        let direction = Direction::Before(*position);
        async move { views::history(pool, reader, direction, PAGE).await.map(|page| page.len()) }
    })
    .await;
    println!("history page {:.2} x the bare query in processor time", page / bare);
    let cost = Figure::new("reads", "page of 50 messages: processor, here and in Postgres", "µs");
    note(cost.beside("the bare query"), page, Some(bare));
    measure(&stage, "list of 50 of all mine", |_| async {
        let page = views::page(pool, everywhere, Among::AllBut(&[]), None, PAGE).await;
        page.map(|page| page.len())
    })
    .await;
    println!("                       (in {} conversations)", talks.len());
    // The number is one message's own; the other words are in every message.
    for (what, words) in [("search for one in all", "12345"), ("search for a usual word", "people write")] {
        let wanted = Wanted::parse(words).expect("words");
        measure(&stage, what, |_| async {
            match views::search(pool, everywhere, None, &wanted, None, PAGE).await {
                Ok(hits) => Ok(hits.len()),
                Err(SearchError::TooBroad) => Ok(0),
                Err(SearchError::Database(e)) => Err(e),
            }
        })
        .await;
    }
    stage.clear().await;
}

/// Reads again and again; answers the processor time of one, here and in Postgres, in microseconds.
async fn measure<F: Future<Output = sqlx::Result<usize>>>(
    stage: &Stage,
    what: &str,
    read: impl Fn(usize) -> F,
) -> f64 {
    let (mut times, mut rows) = (Vec::with_capacity(READS), 0);
    for n in 0..READS / 10 {
        read(n).await.expect("an answer");
    }
    let (postgres, own) = (cpu_of(stage.postgres.pid()), cpu_of_self());
    for n in 0..READS {
        let begun = Instant::now();
        rows += read(n).await.expect("an answer");
        times.push(begun.elapsed());
    }
    let each = |cpu: Duration| cpu.as_secs_f64() * 1e6 / READS as f64;
    let (postgres, own) = (each(cpu_of(stage.postgres.pid()) - postgres), each(cpu_of_self() - own));
    times.sort_unstable();
    println!(
        "{what:<22} p50 {:>6.2} ms  p99 {:>6.2} ms  {postgres:>5.0} µs of Postgres, {own:>5.0} µs here, {:.0} rows",
        part(&times, 0.5),
        part(&times, 0.99),
        rows as f64 / READS as f64
    );
    postgres + own
}

/// The least that a page can be: the columns of the messages, as sqlx gives them.
async fn bare(pool: &PgPool, Said { conversation, position, .. }: &Said) -> sqlx::Result<usize> {
    type Row = (Uuid, i64, Uuid, String, String, OffsetDateTime);
    let rows: Vec<Row> = sqlx::query_as(
        "select id, position, sender, client_id, text, sent_at from message
         where conversation_id = $1 and position < $2 order by position desc limit $3",
    )
    .bind(conversation.uuid())
    .bind(position.0 as i64)
    .bind(PAGE)
    .fetch_all(pool)
    .await?;
    Ok(rows.len())
}

async fn sizes(stage: &Stage, messages: usize) {
    let bytes: Option<i64> = sqlx::query_scalar(
        "select sum(pg_total_relation_size(c.oid))::bigint from pg_class c
         where c.relnamespace = to_regnamespace($1) and c.relkind = 'r'",
    )
    .bind(views::schema())
    .fetch_one(&stage.pool)
    .await
    .expect("a size");
    let client = stage.nats.connect(verbatim::dev::NatsUser::Verbatim).await.expect("NATS");
    let stream = async_nats::jetstream::new(client).get_stream("CHAT_0").await.expect("the stream");
    println!(
        "sizes                  {:.0} bytes of log and {:.0} bytes of views for each message",
        stream.cached_info().state.bytes as f64 / messages as f64,
        bytes.unwrap_or_default() as f64 / messages as f64
    );
}

fn cpu_of_self() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields: Vec<&str> = stat.rsplit_once(") ").expect("a name").1.split(' ').collect();
    let ticks = |index: usize| fields[index].parse::<u64>().unwrap_or_default();
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}
