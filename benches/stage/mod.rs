//! What benchmarks stand on: servers of their own, a log that is filled, and the processor time of
//! others.

// Each benchmark uses its part.
#![allow(dead_code, unreachable_pub)]

pub mod figures;
pub mod floor;
pub mod process;
pub mod rest;
pub mod sockets;
pub mod talk;

use std::{fs, time::Duration};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use sqlx::PgPool;
use uuid::Uuid;
use verbatim::{
    app,
    clock::Clock,
    dev::{self, Nats, NatsOptions, Postgres, PostgresOptions},
    domain::{
        ClientId, ConversationCreated, ConversationId, Event, EventId, History, Kind, MessageId, MessageSent,
        NewMember, Position, Role, Text, Time, Title, UserId,
    },
    log::{Draft, Layout, Log, Unavailable},
};

/// Messages of a conversation, on average.
const OF_EACH: usize = 200;

/// nats-server as in production, Postgres without fsync, the log and the database.
pub struct Stage {
    pub nats: Nats,
    pub postgres: Postgres,
    pub log: Log,
    pub pool: PgPool,
    dir: tempfile::TempDir,
}

/// A conversation and its members.
pub type Talk = (ConversationId, [UserId; 3]);

/// A message as the log has it.
pub struct Said {
    pub position: Position,
    pub conversation: ConversationId,
    pub sender: UserId,
    pub message: MessageSent,
    pub time: Time,
}

/// How many messages a benchmark is about.
pub fn messages() -> usize {
    std::env::var("VERBATIM_BENCH_MESSAGES").ok().and_then(|n| n.parse().ok()).unwrap_or(200_000)
}

impl Stage {
    pub async fn set() -> Self {
        let dir = tempfile::Builder::new().prefix("verbatim-bench-").tempdir().expect("a temporary folder");
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(dir.path(), open).expect("own folder");
        let tools = dev::tools().expect("nats-server and Postgres are found or fetched");
        let (nats, postgres) = (dir.path().join("nats"), dir.path().join("postgres"));
        let nats = dev::start_nats(&tools, &nats, NatsOptions::default()).await.expect("NATS");
        let options = PostgresOptions { fsync_off: true };
        let postgres = dev::start_postgres(&tools, &postgres, options).await.expect("Postgres");
        app::migrate(postgres.url()).await.expect("migrations");
        let log = Log::open(nats.url(), Layout { streams: 1, replicas: 1 }).await.expect("the log");
        let pool = app::database(postgres.url(), 4).await.expect("Postgres");
        Self { nats, postgres, log, pool, dir }
    }

    /// Begins conversations and says so many messages in them.
    pub async fn fill(&self, messages: usize) -> (Vec<Talk>, Vec<Said>) {
        let talks = conversations(&self.log, (messages / OF_EACH).max(1)).await;
        let said = say(&self.log, &talks, messages).await;
        (talks, said)
    }

    /// A folder on the disk of the log.
    pub fn dir(&self) -> &std::path::Path {
        self.dir.path()
    }

    pub async fn clear(self) {
        self.pool.close().await;
        self.nats.stop().await;
        self.postgres.stop().await;
    }
}

/// A part of sorted durations, in milliseconds.
pub fn part(sorted: &[Duration], part: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3
}

/// Groups of three; one person is in all of them.
async fn conversations(log: &Log, count: usize) -> Vec<Talk> {
    let clock = Clock::system();
    let everywhere = clock.id(UserId::known);
    let begin = |_| {
        let clock = clock.clone();
        async move {
            let id = clock.id(ConversationId::known);
            let members = [everywhere, clock.id(UserId::known), clock.id(UserId::known)];
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
    key: Option<ClientId>,
) -> Draft {
    Draft { conversation, id: clock.id(EventId::known), actor, time: clock.now(), event, key, trace: None }
}

/// The nth message, of somebody in one of the conversations.
pub fn message(clock: &Clock, talks: &[Talk], n: usize) -> (Draft, MessageSent) {
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

async fn say(log: &Log, talks: &[Talk], count: usize) -> Vec<Said> {
    let clock = Clock::system();
    let say = |n| {
        let (draft, message) = message(&clock, talks, n);
        async move {
            let Draft { conversation, actor: sender, time, .. } = draft;
            let position = log.append(&draft).await?.position;
            Ok::<_, Unavailable>(Said { position, conversation, sender, message, time })
        }
    };
    let said = stream::iter(0..count).map(say).buffer_unordered(4_000).try_collect::<Vec<_>>().await;
    let mut said = said.expect("messages");
    said.sort_unstable_by_key(|said| said.position);
    said
}

/// The processor time of Postgres and all its children, those that have ended too.
pub fn cpu_of(postgres: u32) -> Duration {
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
