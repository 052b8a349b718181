//! Wiring: starts a process from its settings, and stops it in order.

mod archiving;
mod consumers;
mod database;
mod durable;
mod erasures;
mod error;
mod exporting;
mod info;
mod installation;
mod issuers;
mod listening;
mod patience;
mod people;
mod pressure;
mod process;
mod programs;
mod replica;
mod restoring;
mod same_log;
mod signing_keys;
mod snapshots;
mod telling;
mod traces;
mod volatile;
mod webhooks;

use std::{sync::Arc, time::Duration};

use poem::{EndpointExt as _, Response, Route};
use sqlx::PgPool;
use tokio::{sync::watch, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(crate) use archiving::{archive_alone, create_backup};
pub(crate) use consumers::{
    ConsumerKeys, add_consumer, can_sign_consumers, remove_consumer, sweep_always, with_office,
};
pub use database::{database, database_with};
pub(crate) use erasures::{
    AskHolds, Leftover, ask_holds, erase, erase_patiently, erasure_waiting, show_erasures, verify_erasure,
};
pub use error::AppError;
pub(crate) use installation::{
    MadeLog, Recreated, STREAMS, begin_epoch, is_migrated, look_at_log, recreate_log,
};
pub use installation::{make_log, migrate};
pub(crate) use people::{
    WhichUser, add_invite, deactivate_user, list_invites, reactivate_user, recover_user, revoke_invite,
    revoke_logins, show_user,
};
pub use process::{Addresses, Listening, Mode, Process, Weakness};
pub(crate) use programs::{Ask, default_name, key_of_dev, programs};
pub(crate) use restoring::{GHOSTS, RestoreOrder, RestorePlan, ghosts, plan_restore, restore};
pub(crate) use signing_keys::{list_signing_keys, rotate_signing_key};
pub use snapshots::snapshots;
pub(crate) use webhooks::{AskWebhooks, ask_webhooks};

use durable::durable;
use listening::{bind, listen_on};
use patience::patiently;
use signing_keys::SigningKeys;

use crate::{
    access::{Access, Bearers, External, PROVISIONING, Revoking},
    accounts,
    admin::{self, Health, monitor},
    api,
    audit::{self, Trail},
    commands::{Commands, Needs},
    config::{NodeRole, Settings},
    credentials,
    feed::Feed,
    gateway::{
        Door, Gateway, Places,
        hub::{delivery::Hub, listeners::Listeners},
    },
    limits::{self, RateLimits},
    listen, live,
    live::Current,
    log::CommandRequests,
    overload::Overload,
    projector,
    reading::{Events, Reading, SEARCHES},
    responder::Responder,
    shares::Shares,
    views::{self, Progress},
    web,
    webhooks::Keeper,
};

/// How long a stopping process waits for requests in flight.
const FINISH: Duration = Duration::from_secs(15);
/// How long a process that has failed stays up at least, so that load balancers see that it is not ready.
const NOTICE: Duration = Duration::from_secs(2);
/// How long background tasks may take to end.
const END: Duration = Duration::from_secs(5);

/// Serves until it is told to stop or one of its tasks fails, then finishes the requests in flight and
/// returns. Calls `ready` once, with the addresses of the listeners.
pub async fn serve(
    settings: &Settings,
    addresses: &Addresses,
    roles: &[NodeRole],
    mode: Mode,
    process: &Process,
    ready: impl FnOnce(Listening),
) -> Result<(), AppError> {
    let Process { tasks, stop, drain, clock } = process;
    let spans = traces::start(settings, clock, tasks)?;
    let public_listener = settings.public_listener()?;
    if let Some(tls) = &public_listener.tls {
        tasks.spawn("certificate", listen::keep_current(tls.certificate.clone(), clock.clone()));
    }
    let public = bind(settings.listen)?;
    let private = bind(settings.admin_listen)?;
    let listening = Listening {
        public: public.local_addr().map_err(|e| AppError::Listen(settings.listen, e))?,
        is_secured: public_listener.tls.is_some(),
        admin: private.local_addr().map_err(|e| AppError::Listen(settings.admin_listen, e))?,
    };
    let trouble = watch::Sender::new(None);
    let health = Arc::new(Health::new(tasks.failed(), trouble.subscribe()));
    let (admin, never) = (TaskTracker::new(), CancellationToken::new());
    let operators = web::with_ops(admin::routes(health.clone()));
    tasks.spawn("admin", listen_on(private, operators, settings.admin_listener(), never, &admin));
    tracing::info!(admin = %listening.admin, "answering operators");
    let mut started = tokio::select! {
        started = start(settings, addresses, roles, mode, process, &health, &trouble) => started?,
        () = stop.cancelled() => return Ok(()),
        task = tasks.failure() => return Err(same_log::stopped_by(task)),
    };
    let (connections, refuse_new) = (TaskTracker::new(), CancellationToken::new());
    let stop_accepting = refuse_new.clone();
    if let Some(requests) = started.commands {
        let responder = Responder::new(started.endpoint.clone());
        tasks.spawn_ending("commands", responder.serve(requests, refuse_new.clone(), connections.clone()));
    }
    let accepting = listen_on(public, started.endpoint, public_listener, stop_accepting, &connections);
    tasks.spawn_ending("accept", accepting);
    health.is_serving();
    ready(listening);

    let failed = tokio::select! {
        () = stop.cancelled() => None,
        task = tasks.failure() => Some(task),
    };
    health.is_stopping();
    tokio::time::sleep(if failed.is_some() { NOTICE.max(*drain) } else { *drain }).await;
    if let Some(gateway) = &started.gateway {
        gateway.sessions.close();
        gateway.drain();
    }
    started.stopping.send_replace(true);
    refuse_new.cancel();
    connections.close();
    let finished = async {
        if let Some(gateway) = &started.gateway {
            gateway.ended().await;
        }
        connections.wait().await;
    };
    if timeout(FINISH, finished).await.is_err() {
        tracing::warn!("some connections did not close in time");
    }
    if let Some(keeper) = &mut started.keeper {
        let _ = timeout(END, keeper.ended()).await;
    }
    if !tasks.stop(END).await {
        tracing::warn!("some background tasks did not stop in time");
    }
    spans.flush().await;
    let _ = timeout(FINISH, started.pool.close()).await;
    failed.map_or(Ok(()), |task| Err(same_log::stopped_by(task)))
}

/// A started process: its public endpoint, and the parts that its stop needs.
struct Started {
    /// Ends the requests that follow events.
    stopping: watch::Sender<bool>,
    pool: PgPool,
    gateway: Option<Arc<Gateway>>,
    endpoint: Arc<poem::endpoint::BoxEndpoint<'static, Response>>,
    /// The commands over NATS, in a process with the role `api`.
    commands: Option<CommandRequests>,
    /// The keeper of webhooks, whose owners write how far they have come.
    keeper: Option<Keeper>,
}

async fn start(
    settings: &Settings,
    addresses: &Addresses,
    roles: &[NodeRole],
    mode: Mode,
    process: &Process,
    health: &Arc<Health>,
    trouble: &same_log::Trouble,
) -> Result<Started, AppError> {
    let Process { clock, tasks, .. } = process;
    let (replica, retention) = (replica::replica(settings)?, settings.retention()?);
    let connect = async || Ok(database(&addresses.database, settings.database.database_connections).await?);
    let pool = patiently(health, "Postgres", connect).await?;
    patiently(health, "Postgres", || is_migrated(&pool)).await?;
    let log = installation::await_log(health, &pool, &addresses.nats, settings.layout(), tasks).await?;
    let log = log.with_snapshots(snapshots(&pool)).with_public_url(settings.public_url.clone());
    let durability = durable(&log, mode.weakness).await?;
    health.is_waiting_for("the views are compared with the log".into());
    same_log::until_views_follow(&log, &pool, mode.rebuild, trouble).await;
    let signing = async || SigningKeys::read(settings, &pool, clock.now()).await;
    let signing = patiently(health, "the signing key", signing).await?;
    let cursor_key =
        patiently(health, "the key of cursors", async || Ok(accounts::cursor_key(&pool).await?)).await?;
    let keys = signing.at(clock.now());
    let tokens = Arc::new(credentials::Tokens::new(keys, credentials::OURS, credentials::OURS));
    let hasher = settings.hasher()?;
    let issuers = settings.issuers()?.map(|issuers| {
        let issuers = Arc::new(issuers);
        issuers::follow(&issuers, &pool, clock, tasks);
        issuers
    });
    let revoked = Arc::<live::Revoked>::default();
    let progress = Progress::new(pool.clone());
    let views = replica::read_views(&pool, &progress, replica, tasks);
    let mut ends = Vec::new();
    for stream in 0..log.layout().streams {
        ends.push(patiently(health, "the log", async || Ok(log.end(stream).await?)).await?);
        if roles.contains(&NodeRole::Projector) {
            let schema = views::schema();
            let stop = tasks.stopping().clone();
            tasks.spawn("projector", projector::project(log.clone(), pool.clone(), schema, stream, stop));
        }
    }
    let current = Current::new(&log, ends, settings.conversations, settings.followers());
    tasks.spawn("volatile", volatile::remake(log.clone()));
    tasks.spawn("audit", audit::relay(log.clone(), pool.clone()));
    let conversations = current.conversations.clone();
    let looking = same_log::keep_looking(log.clone(), pool.clone(), conversations.clone(), trouble.clone());
    tasks.spawn(same_log::TASK, looking);
    let viewed = (views.clone(), retention);
    let feed = Feed::new(log.clone(), viewed, current.lately.clone(), &cursor_key);
    let blocked = Arc::new(live::Blocked::new(pool.clone()));
    let limits = Arc::new(RateLimits::new(settings.rates(), &cursor_key));
    patiently(health, "the log", async || Ok(limits::gossip::start(&limits, &log, tasks).await?)).await?;
    let overload = Overload::new(settings.overload_wait());
    pressure::start(&overload, &pool, &log, tasks);
    let needs = Needs {
        log: log.clone(),
        current: &current,
        blocked: blocked.clone(),
        pool: pool.clone(),
        progress: progress.clone(),
        conversations_per_user: settings.conversations_per_user,
        add_strangers: settings.add_strangers,
        retention,
        limits: limits.clone(),
        clock: clock.clone(),
    };
    let commands = Commands::start(needs, tasks);
    let revoking = Revoking {
        revoked: revoked.clone(),
        followers: current.followers.clone(),
        commands: commands.clone(),
    };
    let external = issuers
        .map(|issuers| External::new(issuers, pool.clone(), clock.clone(), cursor_key, revoking.clone()));
    let bearers =
        Bearers { external: external.clone(), ..Bearers::new(&pool, &tokens, &revoked, &limits, clock) };
    let signals = Arc::new(live::HeardSignals {
        log: log.clone(),
        pool: pool.clone(),
        clock: clock.clone(),
        revoked: revoked.clone(),
        blocked: blocked.clone(),
        followers: current.followers.clone(),
    });
    let streams = live::Stream::all(&log, &current);
    let delivery = if roles.contains(&NodeRole::Gateway) {
        let listeners = Arc::<Listeners>::default();
        Some((Hub::start(&log, &conversations, streams, &listeners, tasks), listeners))
    } else {
        streams.into_iter().for_each(|stream| tasks.spawn("follower", stream.run()));
        None
    };
    let presence =
        patiently(health, "the log", || volatile::presence(settings, &log, &pool, process)).await?;
    let gateway = delivery.map(|(hub, listeners)| {
        Arc::new(Gateway {
            commands: commands.clone(),
            log: log.clone(),
            conversations: conversations.clone(),
            blocked: blocked.clone(),
            limits: limits.clone(),
            overload: overload.clone(),
            clock: clock.clone(),
            bearers: bearers.clone(),
            revoked: revoked.clone(),
            presence: presence.clone(),
            hub,
            listeners,
            changed: Arc::default(),
            feed: feed.clone(),
            places: Arc::new(Places::of(&settings.gateway())),
            settings: settings.gateway(),
            sessions: TaskTracker::new(),
        })
    });
    if let Some(gateway) = &gateway {
        gateway.start(tasks);
    }
    let tell = {
        let gateway = gateway.clone();
        move |told| gateway.iter().for_each(|gateway| gateway.hear(told))
    };
    patiently(health, "the log", async || Ok(signals.start(tell.clone(), tasks).await?)).await?;
    tasks.spawn("signing keys", signing.keep_current(tokens.clone(), signals.clone(), tell));
    let parts = || admin::Watched {
        log: log.clone(),
        pool: pool.clone(),
        views: views.clone(),
        conversations: conversations.clone(),
        overload: overload.clone(),
        clock: clock.clone(),
        roles: roles.iter().map(|role| role.word().to_owned()).collect(),
    };
    patiently(health, "the log", async || Ok(monitor::start(health, parts(), tasks).await?)).await?;
    // nats-server has answered since this node subscribed to signals, so the subscription is in force: a
    // login that is revoked from here on is heard, and the list holds the logins revoked earlier. In the
    // other order, a login revoked between list and subscription would stay valid on this node.
    patiently(health, "the list of revoked logins", async || Ok(signals.load_revoked().await?)).await?;
    let info = info::info(settings, &log, &durability, limits.rates(), retention);
    archiving::start(settings, &log, &pool, roles, process)?;
    let (webhooks, keeper) = webhooks::start(settings, &log, &pool, roles, process)?;
    let office = consumers::start(settings, addresses, &log, &pool, roles, process)?;
    let erasures = erasures::start(&log, &pool, &progress, retention, roles, process);
    let stopping = watch::Sender::new(false);
    let reading = Reading {
        commands: commands.clone(),
        log: log.clone(),
        conversations: conversations.clone(),
        blocked,
        pool: pool.clone(),
        views,
        feed: feed.clone(),
        presence,
        limits: limits.clone(),
        clock: clock.clone(),
        searches: Shares::new(SEARCHES),
    };
    let access = Access {
        pool: pool.clone(),
        hasher,
        registration: settings.registration,
        limits: limits.clone(),
        tokens: tokens.clone(),
        external,
        revoking,
        commands: commands.clone(),
        provisioning: Shares::new(PROVISIONING),
        clock: clock.clone(),
    };
    let events = Events {
        log: log.clone(),
        conversations,
        feed,
        followers: current.followers,
        revoked: revoked.clone(),
        clock: clock.clone(),
        stopping: stopping.subscribe(),
    };
    let exports = exporting::exports(settings, &events, &pool, &limits, &overload, &cursor_key);
    let parts = api::Parts {
        commands,
        reading,
        access,
        events,
        erasures,
        exports,
        bearers,
        limits: limits.clone(),
        trail: Trail { log: log.clone() },
        webhooks,
        office,
        info,
        public_url: settings.public_url.clone(),
    };
    let mut routes = match roles.contains(&NodeRole::Api) {
        true => web::with_pages(api::app(parts, &cursor_key), api::DOCUMENT, settings.has_chat_page()),
        false => Route::new(),
    };
    if let Some(gateway) = &gateway {
        routes = routes.at("/v1/ws", Door(gateway.clone()));
    }
    let endpoint = Arc::new(api::edge(routes, limits, overload).boxed());
    let commands = match roles.contains(&NodeRole::Api) {
        true => Some(patiently(health, "the log", async || Ok(log.command_requests().await?)).await?),
        false => None,
    };
    Ok(Started { stopping, pool, gateway, keeper, endpoint, commands })
}
