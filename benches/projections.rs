//! How fast views are rebuilt from the log, what that costs Postgres beside a bare insert of the same
//! rows, and how far live views lag behind. It starts servers of its own:
//!
//! ```sh
//! VERBATIM_BENCH_MESSAGES=1000000 cargo bench --bench projections
//! ```

use std::{
    collections::HashMap,
    fs,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use sqlx::{Connection as _, PgConnection};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use verbatim::{
    app,
    clock::Clock,
    dev::{self, NatsOptions, PostgresOptions},
    domain::{
        ConversationCreated, ConversationId, Event, EventId, History, Kind, MessageId, MessageSent,
        NewMember, Position, Role, Text, Time, Title, UserId,
    },
    log::{Draft, Layout, Log},
    projector::{self, Work},
    views,
};

/// Messages of a conversation, on average.
const OF_EACH: usize = 200;
/// Rows of a statement of the floor, as many as a batch of the projector has events.
const BATCH: usize = 5_000;
/// Sends a second while the lag is measured, and for how long.
const RATE: u32 = 500;
const LAG_FOR: Duration = Duration::from_secs(20);

/// A message as the log has it.
struct Said {
    position: Position,
    conversation: ConversationId,
    sender: UserId,
    message: MessageSent,
    time: Time,
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(run());
}

async fn run() {
    let messages =
        std::env::var("VERBATIM_BENCH_MESSAGES").ok().and_then(|n| n.parse().ok()).unwrap_or(200_000);
    let dir = tempfile::Builder::new().prefix("verbatim-bench-").tempdir().expect("a temporary folder");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(dir.path(), open).expect("own folder");
    let tools = dev::tools().expect("nats-server and Postgres are found or fetched");
    let nats = dev::start_nats(&tools, &dir.path().join("nats"), NatsOptions::default()).await.expect("NATS");
    let options = PostgresOptions { fsync_off: true };
    let postgres =
        dev::start_postgres(&tools, &dir.path().join("postgres"), options).await.expect("Postgres");
    app::migrate(postgres.url()).await.expect("migrations");
    let log = Log::open(nats.url(), Layout { streams: 1, replicas: 1 }).await.expect("the log");
    let pool = app::database(postgres.url(), 4).await.expect("Postgres");

    let begun = Instant::now();
    let talks = conversations(&log, (messages / OF_EACH).max(1)).await;
    let said = say(&log, &talks, messages).await;
    println!("filled       {:>9.0} sends/s", messages as f64 / begun.elapsed().as_secs_f64());

    let (cpu, begun) = (cpu_of(postgres.pid()), Instant::now());
    floor(postgres.url(), &said).await;
    let floor = (cpu_of(postgres.pid()) - cpu).as_secs_f64() * 1e6 / messages as f64;
    let rate = messages as f64 / begun.elapsed().as_secs_f64();
    println!("bare inserts {rate:>9.0} rows/s    {floor:.1} µs of Postgres each");

    let (cpu, begun, work) = (cpu_of(postgres.pid()), Instant::now(), Work::default());
    projector::rebuild(&log, &pool, &views::schema(), None, &work).await.expect("a rebuild");
    let (events, _) = work.progress();
    let each = (cpu_of(postgres.pid()) - cpu).as_secs_f64() * 1e6 / events as f64;
    let rate = events as f64 / begun.elapsed().as_secs_f64();
    println!(
        "rebuilt      {rate:>9.0} events/s  {each:.1} µs of Postgres each, {:.2} x the floor",
        each / floor
    );

    let stop = CancellationToken::new();
    let projecting =
        tokio::spawn(projector::project(log.clone(), pool.clone(), views::schema(), 0, stop.clone()));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut lags = lags(&log, postgres.url(), &talks).await;
    lags.sort_unstable();
    let at = |part: f64| lags[((lags.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
    println!(
        "live lag     {:>9} sends at {RATE}/s  p50 {:.1} ms  p99 {:.1} ms  max {:.1} ms",
        lags.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
    stop.cancel();
    projecting.await.expect("the projection ends");
    pool.close().await;
    nats.stop().await;
    postgres.stop().await;
}

/// Groups of three.
async fn conversations(log: &Log, count: usize) -> Vec<(ConversationId, [UserId; 3])> {
    let clock = Clock::system();
    let begin = |_| {
        let clock = clock.clone();
        async move {
            let id = clock.id(ConversationId::known);
            let members = [(); 3].map(|()| clock.id(UserId::known));
            let event = Event::ConversationCreated(ConversationCreated {
                kind: Kind::Group,
                title: Some(Title::try_from("A group".to_owned()).expect("a title")),
                history: History::Full,
                members: members.map(|user_id| NewMember { user_id, role: Role::Owner }).to_vec(),
            });
            let draft = draft(&clock, id, members[0], event, None);
            log.append_roster(&draft, Position::START).await.map(|_| (id, members))
        }
    };
    stream::iter(0..count).map(begin).buffer_unordered(256).try_collect().await.expect("conversations")
}

fn draft(
    clock: &Clock,
    conversation: ConversationId,
    actor: UserId,
    event: Event,
    key: Option<verbatim::domain::ClientId>,
) -> Draft {
    Draft { conversation, id: clock.id(EventId::known), actor, time: clock.now(), event, key }
}

/// The nth message, of somebody in one of the conversations.
fn message(clock: &Clock, talks: &[(ConversationId, [UserId; 3])], n: usize) -> (Draft, MessageSent) {
    let (conversation, members) = talks[n.wrapping_mul(7_919) % talks.len()];
    let message = MessageSent {
        message_id: clock.id(MessageId::known),
        client_id: Uuid::now_v7().simple().to_string().try_into().expect("a key"),
        text: Text::try_from(format!("This is message {n}, about as long as people write them."))
            .expect("text"),
        reply_to: None,
        reply_to_position: None,
        metadata: None,
        mentions: Vec::new(),
    };
    let key = Some(message.client_id.clone());
    (draft(clock, conversation, members[n % 3], Event::MessageSent(message.clone()), key), message)
}

async fn say(log: &Log, talks: &[(ConversationId, [UserId; 3])], count: usize) -> Vec<Said> {
    let clock = Clock::system();
    let say = |n| {
        let (draft, message) = message(&clock, talks, n);
        async move {
            let Draft { conversation, actor: sender, time, .. } = draft;
            let position = log.append(&draft).await?.position;
            Ok::<_, verbatim::log::Unavailable>(Said { position, conversation, sender, message, time })
        }
    };
    let said = stream::iter(0..count).map(say).buffer_unordered(4_000).try_collect::<Vec<_>>().await;
    let mut said = said.expect("messages");
    said.sort_unstable_by_key(|said| said.position);
    said
}

/// The least that can be done: the rows of all messages, inserted.
async fn floor(url: &str, said: &[Said]) {
    let mut connection = PgConnection::connect(url).await.expect("Postgres");
    sqlx::raw_sql(
        "create schema floor; create table floor.message (like view.message including all);
         set synchronous_commit = off",
    )
    .execute(&mut connection)
    .await
    .expect("a table");
    for batch in said.chunks(BATCH) {
        sqlx::query(
            "insert into floor.message (conversation_id, position, id, sender, client_id, text, sent_at)
             select * from unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::uuid[], $5::text[], $6::text[],
                                  $7::timestamptz[])
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
    connection.close().await.expect("close");
}

/// From the acknowledgement of each send until the views have it.
async fn lags(log: &Log, url: &str, talks: &[(ConversationId, [UserId; 3])]) -> Vec<Duration> {
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

/// The processor time of Postgres and all its children, those that have ended too.
fn cpu_of(postgres: u32) -> Duration {
    let mut ticks = 0;
    for entry in fs::read_dir("/proc").expect("Linux").flatten() {
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        let Some((_, fields)) = stat.rsplit_once(") ") else { continue };
        let fields: Vec<&str> = fields.split(' ').collect();
        let number = |index: usize| fields[index].parse::<u64>().unwrap_or_default();
        let is_postgres = entry.file_name().to_string_lossy() == postgres.to_string();
        if is_postgres {
            ticks += number(11) + number(12) + number(13) + number(14);
        } else if number(1) == u64::from(postgres) {
            ticks += number(11) + number(12);
        }
    }
    // Linux counts in hundredths of a second, whatever the kernel's own clock.
    Duration::from_millis(ticks * 10)
}
