//! Starting the parts of a node, in the order in which they need one another.

use std::sync::Arc;

use poem::{EndpointExt as _, Response, Route};
use sqlx::PgPool;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::{
    access::{Access, Bearers, External, PROVISIONING, Revoking},
    accounts,
    admin::{self, Health, monitor},
    api,
    app::{
        Addresses, AppError, Mode, Process, archiving, consumers, database,
        durable::durable,
        erasures, exporting, info,
        installation::{await_log, is_migrated},
        issuers,
        patience::patiently,
        pressure, replica, same_log,
        signing_keys::SigningKeys,
        snapshots, volatile, webhooks,
    },
    audit::{self, Trail},
    commands::{Commands, Needs},
    config::{NodeRole, Settings},
    credentials::{self, Tokens},
    domain::RetentionRules,
    feed::Feed,
    gateway::{
        Door, Gateway, Places,
        hub::{delivery::Hub, listeners::Listeners},
    },
    limits::{self, RateLimits},
    live::{self, Current},
    log::{CommandRequests, Durability, Log},
    overload::Overload,
    presence::Presence,
    projector,
    reading::{Events, Reading, SEARCHES},
    shares::Shares,
    views::{self, Progress, ReadViews},
    web,
    webhooks::Keeper,
};

/// What a node is started with.
#[derive(Clone, Copy)]
pub(super) struct Start<'a> {
    pub(super) settings: &'a Settings,
    pub(super) addresses: &'a Addresses,
    pub(super) roles: &'a [NodeRole],
    pub(super) mode: Mode,
    pub(super) process: &'a Process,
    pub(super) health: &'a Arc<Health>,
    pub(super) trouble: &'a same_log::Trouble,
}

/// A started process: its public endpoint, and the parts that its stop needs.
pub(super) struct Started {
    /// Ends the requests that follow events.
    pub(super) stopping: watch::Sender<bool>,
    pub(super) pool: PgPool,
    pub(super) gateway: Option<Arc<Gateway>>,
    pub(super) endpoint: Arc<poem::endpoint::BoxEndpoint<'static, Response>>,
    /// The commands over NATS, in a process with the role `api`.
    pub(super) commands: Option<CommandRequests>,
    /// The keeper of webhooks, whose owners write how far they have come.
    pub(super) keeper: Option<Keeper>,
}

/// The log and its views, which belong together.
struct Ground {
    log: Log,
    durability: Durability,
    pool: PgPool,
    progress: Progress,
    views: ReadViews,
    retention: RetentionRules,
}

/// The keys that all nodes share.
struct Keys {
    signing: SigningKeys,
    tokens: Arc<Tokens>,
    cursor: [u8; 32],
}

/// What a node keeps in memory.
struct Memory {
    current: Current,
    feed: Feed,
    blocked: Arc<live::Blocked>,
    revoked: Arc<live::Revoked>,
    limits: Arc<RateLimits>,
    overload: Overload,
}

/// How callers are recognised, and how their logins end.
struct Entrance {
    external: Option<External>,
    bearers: Bearers,
    revoking: Revoking,
}

pub(super) async fn start(with: Start<'_>) -> Result<Started, AppError> {
    let Start { settings, addresses, roles, process, health, .. } = with;
    let is_api = roles.contains(&NodeRole::Api);
    let ground = ground(with).await?;
    let Ground { log, pool, progress, .. } = &ground;
    let keys = keys(with, pool).await?;
    let hasher = settings.hasher()?;
    let memory = memory(with, &ground, &keys).await?;
    let commands = commands(with, &ground, &memory);
    let entrance = entrance(with, &ground, &keys, &memory, &commands)?;
    let delivery = delivery(with, &ground, &memory);
    let presence = patiently(health, "the log", || volatile::presence(settings, log, pool, process)).await?;
    let gateway = delivery.map(|delivery| {
        gateway(with, delivery, &ground, &memory, &entrance, presence.clone(), commands.clone())
    });
    let cursor_key = keys.cursor;
    listen_to_others(with, &ground, keys, &memory, gateway.clone()).await?;

    let info = info::info(settings, log, &ground.durability, memory.limits.rates(), ground.retention);
    archiving::start(settings, log, pool, roles, process)?;
    let (webhooks, keeper) = webhooks::start(settings, log, pool, roles, process)?;
    let office = consumers::start(settings, addresses, log, pool, roles, process)?;
    let erasures = erasures::start(log, pool, progress, ground.retention, roles, process);
    let stopping = watch::Sender::new(false);
    let events = Events {
        log: log.clone(),
        conversations: memory.current.conversations.clone(),
        feed: memory.feed.clone(),
        followers: memory.current.followers.clone(),
        revoked: memory.revoked.clone(),
        clock: process.clock.clone(),
        stopping: stopping.subscribe(),
    };
    let exports = exporting::exports(settings, &events, pool, &memory.limits, &memory.overload, &cursor_key);
    let parts = api::Parts {
        reading: reading(with, &ground, &memory, presence, commands.clone()),
        access: Access {
            pool: pool.clone(),
            hasher,
            registration: settings.registration,
            limits: memory.limits.clone(),
            tokens: entrance.bearers.tokens.clone(),
            external: entrance.external,
            revoking: entrance.revoking,
            commands: commands.clone(),
            provisioning: Shares::new(PROVISIONING),
            clock: process.clock.clone(),
        },
        commands,
        events,
        erasures,
        exports,
        bearers: entrance.bearers,
        limits: memory.limits.clone(),
        trail: Trail { log: log.clone() },
        webhooks,
        office,
        info,
        public_url: settings.public_url.clone(),
    };
    let mut routes = match is_api {
        true => web::with_pages(api::app(parts, &cursor_key), api::DOCUMENT, settings.has_chat_page()),
        false => Route::new(),
    };
    if let Some(gateway) = &gateway {
        routes = routes.at("/v1/ws", Door(gateway.clone()));
    }
    let endpoint = Arc::new(api::edge(routes, memory.limits, memory.overload).boxed());
    let commands = match is_api {
        true => Some(patiently(health, "the log", async || Ok(log.command_requests().await?)).await?),
        false => None,
    };
    Ok(Started { stopping, pool: pool.clone(), gateway, keeper, endpoint, commands })
}

async fn ground(with: Start<'_>) -> Result<Ground, AppError> {
    let Start { settings, addresses, mode, health, trouble, .. } = with;
    let tasks = &with.process.tasks;
    let (replica, retention) = (replica::replica(settings)?, settings.retention()?);
    let connections = settings.database.database_connections;
    let connect = async || Ok(database(&addresses.database, connections).await?);
    let pool = patiently(health, "Postgres", connect).await?;
    patiently(health, "Postgres", || is_migrated(&pool)).await?;
    let log = await_log(health, &pool, &addresses.nats, settings.layout(), tasks).await?;
    let log = log.with_snapshots(snapshots(&pool)).with_public_url(settings.public_url.clone());
    let durability = durable(&log, mode.weakness).await?;
    health.is_waiting_for("the views are compared with the log".into());
    same_log::until_views_follow(&log, &pool, mode.rebuild, trouble).await;
    let progress = Progress::new(pool.clone());
    let views = replica::read_views(&pool, &progress, replica, tasks);
    Ok(Ground { log, durability, pool, progress, views, retention })
}

async fn keys(with: Start<'_>, pool: &PgPool) -> Result<Keys, AppError> {
    let Start { settings, process, health, .. } = with;
    let signing = async || SigningKeys::read(settings, pool, process.clock.now()).await;
    let signing = patiently(health, "the signing key", signing).await?;
    let cursor = async || Ok(accounts::cursor_key(pool).await?);
    let cursor = patiently(health, "the key of cursors", cursor).await?;
    let now = signing.at(process.clock.now());
    Ok(Keys { signing, tokens: Arc::new(Tokens::new(now, credentials::OURS, credentials::OURS)), cursor })
}

async fn memory(with: Start<'_>, ground: &Ground, keys: &Keys) -> Result<Memory, AppError> {
    let Start { settings, roles, process, health, trouble, .. } = with;
    let (Ground { log, pool, views, .. }, tasks) = (ground, &process.tasks);
    let mut ends = Vec::new();
    for stream in 0..log.layout().streams {
        ends.push(patiently(health, "the log", async || Ok(log.end(stream).await?)).await?);
        if roles.contains(&NodeRole::Projector) {
            let (schema, stop) = (views::schema(), tasks.stopping().clone());
            tasks.spawn("projector", projector::project(log.clone(), pool.clone(), schema, stream, stop));
        }
    }
    let current = Current::new(log, ends, settings.conversations, settings.followers());
    tasks.spawn("volatile", volatile::remake(log.clone()));
    tasks.spawn("audit", audit::relay(log.clone(), pool.clone()));
    let conversations = current.conversations.clone();
    let looking = same_log::keep_looking(log.clone(), pool.clone(), conversations, trouble.clone());
    tasks.spawn(same_log::TASK, looking);
    let viewed = (views.clone(), ground.retention);
    let feed = Feed::new(log.clone(), viewed, current.lately.clone(), &keys.cursor);
    let limits = Arc::new(RateLimits::new(settings.rates(), &keys.cursor));
    patiently(health, "the log", async || Ok(limits::gossip::start(&limits, log, tasks).await?)).await?;
    let overload = Overload::new(settings.overload_wait());
    pressure::start(&overload, pool, log, tasks);
    let blocked = Arc::new(live::Blocked::new(pool.clone()));
    Ok(Memory { current, feed, blocked, revoked: Arc::default(), limits, overload })
}

fn commands(with: Start<'_>, ground: &Ground, memory: &Memory) -> Commands {
    let Start { settings, process, .. } = with;
    let needs = Needs {
        log: ground.log.clone(),
        current: &memory.current,
        blocked: memory.blocked.clone(),
        pool: ground.pool.clone(),
        progress: ground.progress.clone(),
        conversations_per_user: settings.conversations_per_user,
        add_strangers: settings.add_strangers,
        retention: ground.retention,
        limits: memory.limits.clone(),
        clock: process.clock.clone(),
    };
    Commands::start(needs, &process.tasks)
}

fn entrance(
    with: Start<'_>,
    ground: &Ground,
    keys: &Keys,
    memory: &Memory,
    commands: &Commands,
) -> Result<Entrance, AppError> {
    let (Process { clock, tasks, .. }, pool) = (with.process, &ground.pool);
    let revoking = Revoking {
        revoked: memory.revoked.clone(),
        followers: memory.current.followers.clone(),
        commands: commands.clone(),
    };
    let external = with.settings.issuers()?.map(|issuers| {
        let issuers = Arc::new(issuers);
        issuers::follow(&issuers, pool, clock, tasks);
        External::new(issuers, pool.clone(), clock.clone(), keys.cursor, revoking.clone())
    });
    let own = Bearers::new(pool, &keys.tokens, &memory.revoked, &memory.limits, clock);
    Ok(Entrance { bearers: Bearers { external: external.clone(), ..own }, external, revoking })
}

/// Starts following the log, and delivering its events to sockets if the node has that role.
fn delivery(with: Start<'_>, ground: &Ground, memory: &Memory) -> Option<(Hub, Arc<Listeners>)> {
    let (log, tasks) = (&ground.log, &with.process.tasks);
    let streams = live::Stream::all(log, &memory.current);
    if !with.roles.contains(&NodeRole::Gateway) {
        streams.into_iter().for_each(|stream| tasks.spawn("follower", stream.run()));
        return None;
    }
    let listeners = Arc::<Listeners>::default();
    let hub = Hub::start(log, &memory.current.conversations, streams, &listeners, tasks);
    Some((hub, listeners))
}

fn gateway(
    with: Start<'_>,
    (hub, listeners): (Hub, Arc<Listeners>),
    ground: &Ground,
    memory: &Memory,
    entrance: &Entrance,
    presence: Presence,
    commands: Commands,
) -> Arc<Gateway> {
    let settings = with.settings.gateway();
    let gateway = Arc::new(Gateway {
        commands,
        log: ground.log.clone(),
        conversations: memory.current.conversations.clone(),
        blocked: memory.blocked.clone(),
        limits: memory.limits.clone(),
        overload: memory.overload.clone(),
        clock: with.process.clock.clone(),
        bearers: entrance.bearers.clone(),
        revoked: memory.revoked.clone(),
        presence,
        hub,
        listeners,
        changed: Arc::default(),
        feed: memory.feed.clone(),
        places: Arc::new(Places::of(&settings)),
        settings,
        sessions: TaskTracker::new(),
    });
    gateway.start(&with.process.tasks);
    gateway
}

/// Starts hearing the signals of other nodes, and watching the servers.
async fn listen_to_others(
    with: Start<'_>,
    ground: &Ground,
    keys: Keys,
    memory: &Memory,
    gateway: Option<Arc<Gateway>>,
) -> Result<(), AppError> {
    let Start { roles, process: Process { clock, tasks, .. }, health, .. } = with;
    let signals = Arc::new(live::HeardSignals {
        log: ground.log.clone(),
        pool: ground.pool.clone(),
        clock: clock.clone(),
        revoked: memory.revoked.clone(),
        blocked: memory.blocked.clone(),
        followers: memory.current.followers.clone(),
    });
    let tell = move |told| gateway.iter().for_each(|gateway| gateway.hear(told));
    patiently(health, "the log", async || Ok(signals.start(tell.clone(), tasks).await?)).await?;
    tasks.spawn("signing keys", keys.signing.keep_current(keys.tokens, signals.clone(), tell));
    let watched = || admin::Watched {
        log: ground.log.clone(),
        pool: ground.pool.clone(),
        views: ground.views.clone(),
        conversations: memory.current.conversations.clone(),
        overload: memory.overload.clone(),
        clock: clock.clone(),
        roles: roles.iter().map(|role| role.word().to_owned()).collect(),
    };
    patiently(health, "the log", async || Ok(monitor::start(health, watched(), tasks).await?)).await?;
    // nats-server has answered since this node subscribed to signals, so the subscription is in force: a
    // login that is revoked from here on is heard, and the list holds the logins revoked earlier. In the
    // other order, a login revoked between list and subscription would stay valid on this node.
    patiently(health, "the list of revoked logins", async || Ok(signals.load_revoked().await?)).await
}

fn reading(
    with: Start<'_>,
    ground: &Ground,
    memory: &Memory,
    presence: Presence,
    commands: Commands,
) -> Reading {
    Reading {
        commands,
        log: ground.log.clone(),
        conversations: memory.current.conversations.clone(),
        blocked: memory.blocked.clone(),
        pool: ground.pool.clone(),
        views: ground.views.clone(),
        feed: memory.feed.clone(),
        presence,
        limits: memory.limits.clone(),
        clock: with.process.clock.clone(),
        searches: Shares::new(SEARCHES),
    }
}
