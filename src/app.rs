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
mod starting;
mod telling;
mod traces;
mod volatile;
mod webhooks;

use std::{sync::Arc, time::Duration};

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

use listening::{bind, listen_on};
use starting::{Start, start};

use crate::{
    admin::{self, Health},
    config::{NodeRole, Settings},
    listen,
    responder::Responder,
    web,
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
    let with = Start { settings, addresses, roles, mode, process, health: &health, trouble: &trouble };
    let mut started = tokio::select! {
        started = start(with) => started?,
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
