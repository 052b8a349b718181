//! The stage of the benchmarks: private servers, a filled log, and measurements of the CPU time of other
//! processes.

// Each benchmark uses only a part of this module.
#![allow(dead_code, unreachable_pub)]

pub mod figures;
pub mod floor;
pub mod process;
pub mod rest;
#[path = "../../tests/servers/mod.rs"]
mod servers;
pub mod sockets;
pub mod talk;
pub mod talker;
#[path = "../../tests/unlimited/mod.rs"]
mod unlimited;

use std::{fs, time::Duration};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use sqlx::PgPool;
use uuid::Uuid;
use verbatim::{
    app,
    clock::Clock,
    dev,
    domain::{
        ClientId, ConversationCreated, ConversationId, Event, EventId, History, Kind, MessageId, MessageSent,
        NewMember, Position, Role, Time, UserId,
    },
    log::{Draft, Log, NotAppended, Wanted},
    supervise::Supervisor,
};

use servers::{Nats, NatsOptions, Postgres, PostgresOptions, start_nats, start_postgres};

/// The same allocator as in the program, because parts of the program run here.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Messages of a conversation, on average.
const OF_EACH: usize = 200;
/// The number of conversations that have the second of the two known people as a member.
pub const MANY: usize = 1_000;

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

/// A message in the log.
pub struct Said {
    pub position: Position,
    pub conversation: ConversationId,
    pub sender: UserId,
    pub message: MessageSent,
    pub time: Time,
}

/// The number of messages of a benchmark.
pub fn messages() -> usize {
    let told = std::env::var("VERBATIM_BENCH_MESSAGES").ok().and_then(|n| n.parse().ok());
    told.unwrap_or(if figures::full() { 1_000_000 } else { 200_000 })
}

impl Stage {
    pub async fn set() -> Self {
        let dir = tempfile::Builder::new().prefix("verbatim-bench-").tempdir().expect("a temporary folder");
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(dir.path(), open).expect("own folder");
        let tools = dev::tools().expect("nats-server and Postgres are found or fetched");
        let (nats, postgres) = (dir.path().join("nats"), dir.path().join("postgres"));
        let nats = start_nats(&tools, &nats, NatsOptions::default()).await.expect("NATS");
        let options = PostgresOptions { fsync_off: true, ..Default::default() };
        let postgres = start_postgres(&tools, &postgres, options).await.expect("Postgres");
        app::migrate(postgres.url()).await.expect("migrations");
        let operators = app::Addresses {
            nats: nats.servers_of(dev::NatsUser::Operator),
            database: postgres.url().into(),
        };
        app::make_log(&operators, Wanted::default(), 1).await.expect("the log");
        let log = Log::open(nats.url(), Wanted::default(), &Supervisor::new()).await.expect("the log");
        let pool = app::database(postgres.url(), 4).await.expect("Postgres");
        Self { nats, postgres, log, pool, dir }
    }

    /// Creates conversations and appends `messages` messages to them.
    pub async fn fill(&self, messages: usize) -> (Vec<Talk>, Vec<Said>) {
        let clock = Clock::system();
        self.fill_for(messages, [clock.id(UserId::known), clock.id(UserId::known)]).await
    }

    /// Like [`Self::fill`], with the first of the two known people in all conversations, and the second in the first
    /// [`MANY`].
    pub async fn fill_for(&self, messages: usize, known: [UserId; 2]) -> (Vec<Talk>, Vec<Said>) {
        let talks = conversations(&self.log, (messages / OF_EACH).max(1), known).await;
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

/// A quantile of sorted durations, in milliseconds.
pub fn part(sorted: &[Duration], part: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3
}

/// Creates groups of three.
pub async fn conversations(log: &Log, count: usize, [everywhere, often]: [UserId; 2]) -> Vec<Talk> {
    let clock = Clock::system();
    let begin = |n| {
        let clock = clock.clone();
        async move {
            let id = clock.id(ConversationId::known);
            let second = if n < MANY { often } else { clock.id(UserId::known) };
            let members = [everywhere, second, clock.id(UserId::known)];
            let event = Event::ConversationCreated(ConversationCreated {
                kind: Kind::Group,
                title: Some("A group".into()),
                history: History::Full,
                members: members.map(|user_id| NewMember { user_id, role: Role::Owner }).to_vec(),
            });
            let draft = draft(&clock, id, members[0], event, None);
            log.append_roster(&draft, Position::START).await.map(|_| (id, members))
        }
    };
    stream::iter(0..count).map(begin).buffer_unordered(256).try_collect().await.expect("conversations")
}

pub fn draft(
    clock: &Clock,
    conversation: ConversationId,
    actor: UserId,
    event: Event,
    key: Option<ClientId>,
) -> Draft {
    Draft {
        conversation,
        id: clock.id(EventId::known),
        actor,
        time: clock.now(),
        event,
        key,
        via: None,
        trace: None,
    }
}

/// The nth message, from a member of one of the conversations. It contains its number; one message in a thousand
/// contains the word lantern, one in ten the word supper.
pub fn message(clock: &Clock, talks: &[Talk], n: usize) -> (Draft, MessageSent) {
    let (conversation, members) = talks[n.wrapping_mul(7_919) % talks.len()];
    let about = match n {
        n if n % 1_000 == 7 => "lantern",
        n if n % 10 == 3 => "supper",
        _ => "message",
    };
    let message = MessageSent {
        message_id: clock.id(MessageId::known),
        client_id: Uuid::now_v7().to_string(),
        text: format!("This is {about} {n}, about as long as people write them."),
        reply_to: None,
        reply_to_position: None,
        metadata: None,
        mentions: Vec::new(),
    };
    let key = ClientId::try_from(message.client_id.clone()).ok();
    (draft(clock, conversation, members[n % 3], Event::MessageSent(message.clone()), key), message)
}

/// Appends messages as fast as possible, with times one second apart.
pub async fn say(log: &Log, talks: &[Talk], count: usize) -> Vec<Said> {
    let clock = Clock::system();
    let begun = Time::of(clock.now().datetime() - Duration::from_secs(count as u64));
    let say = |n| {
        let (draft, message) = message(&clock, talks, n);
        let draft = Draft { time: begun.plus(Duration::from_secs(n as u64)), ..draft };
        async move {
            let Draft { conversation, actor: sender, time, .. } = draft;
            let position = log.append(&draft).await?.position;
            Ok::<_, NotAppended>(Said { position, conversation, sender, message, time })
        }
    };
    let said = stream::iter(0..count).map(say).buffer_unordered(4_000).try_collect::<Vec<_>>().await;
    let mut said = said.expect("messages");
    said.sort_unstable_by_key(|said| said.position);
    said
}

/// The CPU time of Postgres and all its children, including those that have ended.
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
    // Linux reports hundredths of a second, whatever the tick rate of the kernel.
    Duration::from_millis(ticks * 10)
}
