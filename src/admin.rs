//! The admin listener: whether the process lives, whether it can work, and what it counts.

use std::{
    borrow::Cow,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use poem::{
    Endpoint, EndpointExt as _, IntoEndpoint, Response, Route, endpoint::make, get, http::StatusCode,
};
use serde_json::json;
use sqlx::PgPool;
use tokio::sync::watch;

use crate::{
    log::Log,
    projector, telemetry,
    views::{self, Progress},
};

/// So many events behind the log the views may be before the process says that it is not ready.
const MAX_LAG: u64 = 10_000;

/// Whether the process can work.
pub struct Health {
    failed: watch::Receiver<Option<&'static str>>,
    foreign_views: watch::Receiver<Option<String>>,
    parts: OnceLock<(Log, PgPool, Progress)>,
    stopping: AtomicBool,
}

impl Health {
    /// Of a process that is starting, with the background task that has failed, if one has, and with what
    /// is wrong with views that are of another log, if they are.
    pub fn new(
        failed: watch::Receiver<Option<&'static str>>,
        foreign_views: watch::Receiver<Option<String>>,
    ) -> Self {
        Self { failed, foreign_views, parts: OnceLock::new(), stopping: AtomicBool::new(false) }
    }

    /// From here on it depends on the servers.
    pub fn is_ready_with(&self, log: Log, pool: PgPool, progress: Progress) {
        let _ = self.parts.set((log, pool, progress));
    }

    /// From here on it takes nothing new.
    pub fn is_stopping(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// What is wrong, if anything.
    async fn trouble(&self) -> Option<Cow<'static, str>> {
        if let Some(task) = *self.failed.borrow() {
            return Some(format!("the background task `{task}` has failed: this process stops").into());
        }
        if let Some(why) = &*self.foreign_views.borrow() {
            return Some(format!("views_of_another_log: {why}").into());
        }
        self.trouble_of_servers().await.map(Cow::Borrowed)
    }

    async fn trouble_of_servers(&self) -> Option<&'static str> {
        if self.stopping.load(Ordering::Relaxed) {
            return Some("stopping");
        }
        let Some((log, pool, progress)) = self.parts.get() else { return Some("starting") };
        if !log.is_connected() {
            return Some("the log is not connected");
        }
        if sqlx::query("select 1").execute(pool).await.is_err() {
            return Some("the database does not answer");
        }
        if telemetry::METRICS.stopped.get() > 0 {
            return Some("a projection has stopped");
        }
        match projector::lag(log, progress).await {
            Some(lag) if lag > MAX_LAG => Some("the views lag behind the log"),
            Some(_) => None,
            None => Some("how far the views are is not known"),
        }
    }

    /// What is wrong with single conversations, which is no reason to take a node out.
    async fn warning(&self) -> Option<String> {
        let (_, pool, _) = self.parts.get()?;
        let parked = views::parked_count(pool).await.ok().filter(|count| *count > 0)?;
        Some(format!("{parked} events are parked: table {}.parked tells which and why", views::schema()))
    }
}

/// `/livez`, `/readyz` and `/metrics`.
pub fn routes(health: Arc<Health>) -> impl Endpoint + 'static {
    let ready = make(move |_| {
        let health = health.clone();
        async move {
            match health.trouble().await {
                None => {
                    let warning = health.warning().await.map(|warning| ("warning", warning));
                    answer(StatusCode::OK, "ready", warning)
                }
                Some(trouble) => {
                    let trouble = ("trouble", trouble.into_owned());
                    answer(StatusCode::SERVICE_UNAVAILABLE, "not_ready", Some(trouble))
                }
            }
        }
    });
    let live = make(|_| async { answer(StatusCode::OK, "live", None) });
    let metrics = make(|_| async {
        Response::builder()
            .content_type("application/openmetrics-text; version=1.0.0; charset=utf-8")
            .body(telemetry::exposition())
    });
    Route::new()
        .at("/livez", get(live))
        .at("/readyz", get(ready))
        .at("/metrics", get(metrics))
        .into_endpoint()
        .boxed()
}

fn answer(status: StatusCode, word: &str, more: Option<(&str, String)>) -> Response {
    let body = match more {
        None => json!({ "status": word }),
        Some((name, text)) => json!({ "status": word, name: text }),
    };
    Response::builder().status(status).content_type("application/json").body(body.to_string())
}
