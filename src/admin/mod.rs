//! The edge for operators: whether the process lives, whether it can work, and what it counts.
//!
//! [`monitor`] looks at each part once a second and keeps what it saw; `/readyz` answers from that at once,
//! also while Postgres or nats-server hang.

mod clocks;
mod database;
mod lag;
pub(crate) mod monitor;
mod parts;
mod report;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use poem::{
    Endpoint, EndpointExt as _, IntoEndpoint, Response, Route, endpoint::make, get, http::StatusCode,
};
use serde_json::json;
use tokio::{sync::watch, time::Instant};

pub(crate) use clocks::{Agreement, Clocks};

use crate::telemetry;
use report::{Part, Report};

/// A report that is older tells nothing of the present.
const STALE: Duration = Duration::from_secs(10);

/// Whether the process can work.
pub(crate) struct Health {
    failed: watch::Receiver<Option<&'static str>>,
    foreign_views: watch::Receiver<Option<String>>,
    stage: Mutex<Stage>,
    report: watch::Sender<Option<(Instant, Report)>>,
}

/// Where a process is in its life.
enum Stage {
    /// Something is waited for.
    Starting(String),
    Serving,
    Stopping,
}

impl Health {
    /// Of a process that is starting, with the background task that has failed, if one has, and with what
    /// is wrong with views that are of another log, if they are.
    pub(crate) fn new(
        failed: watch::Receiver<Option<&'static str>>,
        foreign_views: watch::Receiver<Option<String>>,
    ) -> Self {
        let stage = Mutex::new(Stage::Starting("its settings are read".into()));
        Self { failed, foreign_views, stage, report: watch::Sender::new(None) }
    }

    fn enter(&self, stage: Stage) {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner) = stage;
    }

    /// It is still starting, and this is what it waits for.
    pub(crate) fn is_waiting_for(&self, what: String) {
        self.enter(Stage::Starting(what));
    }

    /// From here on it serves.
    pub(crate) fn is_serving(&self) {
        self.enter(Stage::Serving);
    }

    /// From here on it takes nothing new.
    pub(crate) fn is_stopping(&self) {
        self.enter(Stage::Stopping);
    }

    /// Why this process takes part in nothing, whatever its parts say.
    fn out(&self) -> Option<String> {
        if let Some(task) = *self.failed.borrow() {
            return Some(format!("the background task `{task}` has failed: this process stops"));
        }
        if let Some(why) = &*self.foreign_views.borrow() {
            return Some(format!("views_of_another_log: {why}"));
        }
        match &*self.stage.lock().unwrap_or_else(PoisonError::into_inner) {
            Stage::Starting(what) => Some(format!("starting: {what}")),
            Stage::Stopping => Some("stopping: this process takes nothing new".into()),
            Stage::Serving => None,
        }
    }

    /// The status and the body of `/readyz`.
    fn answer(&self) -> (StatusCode, serde_json::Value) {
        let reported = self.report.borrow();
        let report = reported.as_ref().map(|(_, report)| report);
        let out = self.out().or_else(|| match &*reported {
            Some((at, _)) if at.elapsed() < STALE => None,
            Some(_) => {
                Some("its parts have not been looked at for too long: start this process again".into())
            }
            None => Some("starting: its parts have not been looked at yet".into()),
        });
        let mut body = report.map_or_else(|| json!({ "parts": {} }), Report::body);
        let is_out = out.is_some() || report.is_none_or(Report::takes_out);
        if let Some(why) = &*self.foreign_views.borrow() {
            body["parts"]["views"] = Part::failed("views", "views_of_another_log", why).body();
        }
        if let Some(out) = out {
            body["trouble"] = out.into();
        }
        let status = match (is_out, report.is_some_and(Report::is_sound)) {
            (true, _) => "not_ready",
            (false, true) => "ready",
            (false, false) => "degraded",
        };
        body["status"] = status.into();
        (if is_out { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }, body)
    }
}

/// `/livez`, `/readyz` and `/metrics`.
pub(crate) fn routes(health: Arc<Health>) -> impl Endpoint + 'static {
    let ready = make(move |_| {
        let (status, body) = health.answer();
        async move { answer(status, &body) }
    });
    let live = make(|_| async { answer(StatusCode::OK, &json!({ "status": "live" })) });
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

fn answer(status: StatusCode, body: &serde_json::Value) -> Response {
    Response::builder().status(status).content_type("application/json").body(body.to_string())
}
