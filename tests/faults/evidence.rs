//! The evidence at the end of a run: the log as it is stored, and the views as they are and as a second projector
//! rebuilds them.

use std::{collections::BTreeMap, time::Duration};

use async_nats::jetstream::{self, consumer::push};
use futures_util::StreamExt as _;
use sqlx::{Connection as _, PgConnection};
use tokio::time::{Instant, sleep, timeout};
use verbatim::{
    app,
    domain::{ErasedEntry, Event, Position, Recorded},
    views,
};

use crate::{
    checker::Views,
    world::{Node, Plan, STREAMS, World},
};

/// The time limit for one read.
const PATIENCE: Duration = Duration::from_secs(20);

/// The whole log, stream by stream, read directly from JetStream. An empty position that an erasure explains becomes
/// its skeleton. A position with a message stays that message, whatever an erasure says.
pub async fn log(world: &World) -> Vec<Vec<Recorded>> {
    stored(&world.backbone.lock().await.connect().await.expect("NATS")).await
}

/// The same, through an existing connection to nats-server.
pub async fn stored(client: &async_nats::Client) -> Vec<Vec<Recorded>> {
    let jetstream = jetstream::new(client.clone());
    let mut streams = Vec::new();
    for index in 0..STREAMS {
        let stream = jetstream.get_stream(format!("CHAT_{index}")).await.expect("a stream");
        let last = stream.cached_info().state.last_sequence;
        let mut read = Vec::new();
        if last > 0 {
            let config =
                push::OrderedConfig { deliver_subject: client.new_inbox(), ..push::OrderedConfig::default() };
            let consumer = stream.create_consumer(config).await.expect("a consumer");
            let mut messages = consumer.messages().await.expect("messages");
            let mut at = 0;
            while at < last {
                let next = timeout(PATIENCE, messages.next()).await.expect("the log can be read");
                let message = next.expect("there is more").expect("a message");
                at = message.info().expect("info").stream_sequence;
                let payload = message.payload.clone();
                let recorded = Recorded::read(at, &message.subject, message.headers.as_ref(), payload);
                read.push(recorded.expect("an event"));
            }
        }
        streams.push(explained(read));
    }
    streams
}

fn explained(read: Vec<Recorded>) -> Vec<Recorded> {
    let mut skeletons = Vec::new();
    for told in &read {
        let Some(Event::ContentErased(erased)) = &told.event else { continue };
        let skeleton = |entry: &ErasedEntry| entry.skeleton(told.conversation, told.position, told.time);
        skeletons.extend(erased.erased.iter().map(skeleton));
    }
    let mut all: BTreeMap<Position, Recorded> =
        skeletons.into_iter().map(|skeleton| (skeleton.position, skeleton)).collect();
    all.extend(read.into_iter().map(|recorded| (recorded.position, recorded)));
    all.into_values().collect()
}

/// The views, live and rebuilt. If the live views do not catch up with the log, the two differ.
pub async fn views(world: &World) -> Views {
    let mut connection = PgConnection::connect(&world.database).await.expect("Postgres");
    sqlx::raw_sql("create database anew").execute(&mut connection).await.expect("a database");
    let database = world.postgres.lock().await.url_of("anew");
    app::migrate(&database).await.expect("migrations");
    let plan = Plan {
        roles: "projector",
        nats: world.nats_urls.clone(),
        eraser: None,
        database: database.clone(),
        replicas: world.replicas,
    };
    let mut projector = Node::start(plan).await;
    let deadline = Instant::now() + PATIENCE;
    for database in [&world.database, &database] {
        while !has_caught_up(world, database).await && Instant::now() < deadline {
            sleep(Duration::from_millis(50)).await;
        }
    }
    projector.stop().await;
    let mut connection = PgConnection::connect(&world.database).await.expect("Postgres");
    let of_accounts = "select table_name::text from information_schema.tables where table_schema = 'auth'";
    let of_accounts: Vec<String> =
        sqlx::query_scalar(of_accounts).fetch_all(&mut connection).await.expect("tables");
    let accounts = rows(&world.database, "auth", of_accounts.iter().map(String::as_str)).await;
    let [live, rebuilt] = [&world.database, &database].map(|of| rows(of, "view", views::tables()));
    Views { live: live.await, rebuilt: rebuilt.await, accounts }
}

async fn has_caught_up(world: &World, database: &str) -> bool {
    let jetstream = jetstream::new(world.backbone.lock().await.connect().await.expect("NATS"));
    let mut connection = PgConnection::connect(database).await.expect("Postgres");
    for index in 0..STREAMS {
        let stream = jetstream.get_stream(format!("CHAT_{index}")).await.expect("a stream");
        let last = stream.cached_info().state.last_sequence as i64;
        let at: Vec<i64> = sqlx::query_scalar("select position from view.checkpoint where stream = $1")
            .bind(index as i32)
            .fetch_all(&mut connection)
            .await
            .expect("checkpoints");
        if at.len() != views::ALL.len() || at.iter().any(|at| *at != last) {
            return false;
        }
    }
    true
}

/// Every row of some tables.
async fn rows<'a>(
    database: &str,
    schema: &str,
    tables: impl Iterator<Item = &'a str>,
) -> BTreeMap<String, Vec<String>> {
    let mut connection = PgConnection::connect(database).await.expect("Postgres");
    let mut all = BTreeMap::new();
    for table in tables {
        let sql = format!("select row_to_json(t)::text from {schema}.{table} t order by 1");
        let rows = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_all(&mut connection).await;
        all.insert(table.to_owned(), rows.expect("rows"));
    }
    all
}
