//! The edge for **operators**: liveness, readiness, metrics and status of the process.
//!
//! [`monitor`] checks each part once a second and keeps a report. `/readyz` answers from that report at once, even
//! while Postgres or nats-server hangs.

mod clocks;
mod database;
mod figures;
mod lag;
pub(crate) mod monitor;
mod parts;
mod report;
mod status;
mod watched;

use std::{
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use poem::{Response, Route, endpoint::make, get, http::StatusCode};
use serde_json::json;
use tokio::{sync::watch, time::Instant};

pub(crate) use clocks::{Agreement, Clocks};
pub(crate) use parts::{lacks_a_copy, nearly_full};
pub(crate) use watched::Watched;

use crate::telemetry::{self, METRICS};
use report::{Part, Report};
use status::{Sources, StatusCache, StreamStatus};

/// The maximum age of a report: an older report says nothing about the present.
const STALE: Duration = Duration::from_secs(10);

/// The state of this process, from which `/readyz` answers.
pub(crate) struct Health {
    failed: watch::Receiver<Option<&'static str>>,
    foreign_views: watch::Receiver<Option<String>>,
    stage: Mutex<Stage>,
    report: watch::Sender<Option<(Instant, Report)>>,
    streams: watch::Sender<Vec<StreamStatus>>,
    sources: OnceLock<Sources>,
    status: StatusCache,
}

/// The stage of a process between its start and its end.
enum Stage {
    /// The process is starting; the text says what it is waiting for.
    Starting(String),
    Serving,
    Stopping,
}

impl Health {
    /// The health of a starting process. `failed` holds the name of the background task that has failed, and
    /// `foreign_views` explains why the views belong to another log. Both are `None` while all is well.
    pub(crate) fn new(
        failed: watch::Receiver<Option<&'static str>>,
        foreign_views: watch::Receiver<Option<String>>,
    ) -> Self {
        let stage = Mutex::new(Stage::Starting("its settings are read".into()));
        Self {
            failed,
            foreign_views,
            stage,
            report: watch::Sender::new(None),
            streams: watch::Sender::new(Vec::new()),
            sources: OnceLock::new(),
            status: StatusCache::default(),
        }
    }

    fn enter(&self, stage: Stage) {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner) = stage;
    }

    /// Records that the process is still starting, and waits for `what`.
    pub(crate) fn is_waiting_for(&self, what: String) {
        self.enter(Stage::Starting(what));
    }

    /// Records that the process serves from now on.
    pub(crate) fn is_serving(&self) {
        self.enter(Stage::Serving);
    }

    /// Records that the process is stopping: it is not ready from now on.
    pub(crate) fn is_stopping(&self) {
        self.enter(Stage::Stopping);
    }

    /// The failed parts that are known without a check of the servers.
    fn failures(&self) -> Vec<Part> {
        let (task, views) = (*self.failed.borrow(), self.foreign_views.borrow());
        let task = task.map(|task| Part::failed("tasks", "task_failed", task_failed(task)));
        let views = views.as_ref().map(|why| Part::failed("views", "views_of_another_log", why));
        task.into_iter().chain(views).collect()
    }

    /// The reason why the whole process is not ready, whatever its parts report.
    fn out(&self) -> Option<String> {
        if let Some(task) = *self.failed.borrow() {
            return Some(task_failed(task));
        }
        if let Some(why) = &*self.foreign_views.borrow() {
            return Some(format!("views_of_another_log: {why}"));
        }
        match &*self.stage.lock().unwrap_or_else(PoisonError::into_inner) {
            Stage::Starting(what) => Some(format!("starting: {what}")),
            Stage::Stopping => Some("stopping: this process accepts no new work".into()),
            Stage::Serving => None,
        }
    }

    /// Updates the metrics that only `/readyz` can compute.
    fn tell_metrics(&self) {
        telemetry::PROCESS.ready.set(i64::from(self.answer().0 == StatusCode::OK));
        for part in self.failures() {
            METRICS.part_status.get_or_create(&[("part", part.name)]).set(part.status as i64);
        }
    }

    /// The status and the body of `/readyz`.
    fn answer(&self) -> (StatusCode, serde_json::Value) {
        let reported = self.report.borrow();
        let report = reported.as_ref().map(|(_, report)| report);
        let out = self.out().or_else(|| match &*reported {
            Some((at, _)) if at.elapsed() < STALE => None,
            Some(_) => {
                Some("the parts of this process have not been checked for too long: restart it".into())
            }
            None => Some("starting: the parts of this process have not been checked yet".into()),
        });
        let mut body = report.map_or_else(|| json!({ "parts": {} }), Report::body);
        let is_out = out.is_some() || report.is_none_or(Report::takes_out);
        for part in self.failures() {
            body["parts"][part.name] = part.body();
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

fn task_failed(task: &str) -> String {
    format!("the background task `{task}` failed: this process is stopping")
}

/// `/livez`, `/readyz`, `/metrics` and `/status`.
pub(crate) fn routes(health: Arc<Health>) -> Route {
    let (asked, seen) = (health.clone(), health.clone());
    let status = make(move |_| {
        let health = seen.clone();
        async move {
            let streams = health.streams.borrow().clone();
            answer(StatusCode::OK, &health.status.body(health.sources.get(), &streams).await)
        }
    });
    let ready = make(move |_| {
        let (status, body) = health.answer();
        async move { answer(status, &body) }
    });
    with_metrics(move || asked.tell_metrics()).at("/readyz", get(ready)).at("/status", get(status))
}

/// `/livez` and `/metrics`, for a process that serves no clients. No load balancer asks it whether it is ready, so it
/// counts as ready while it runs.
pub(crate) fn bare_routes() -> Route {
    with_metrics(|| {
        telemetry::PROCESS.ready.set(1);
    })
}

/// `/livez`, and `/metrics` after `tell` has updated them.
fn with_metrics(tell: impl Fn() + Send + Sync + 'static) -> Route {
    let live = make(|_| async { answer(StatusCode::OK, &json!({ "status": "live" })) });
    let metrics = make(move |_| {
        tell();
        async {
            Response::builder()
                .content_type("application/openmetrics-text; version=1.0.0; charset=utf-8")
                .body(telemetry::exposition())
        }
    });
    Route::new().at("/livez", get(live)).at("/metrics", get(metrics))
}

fn answer(status: StatusCode, body: &serde_json::Value) -> Response {
    Response::builder().status(status).content_type("application/json").body(body.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_task_is_a_failed_part_and_takes_the_process_out() {
        let (failed, foreign) = (watch::Sender::new(None), watch::Sender::new(None));
        let health = Health::new(failed.subscribe(), foreign.subscribe());
        let sound = Report { parts: vec![Part::ok("tasks"), Part::ok("views")], warning: None };
        health.report.send_replace(Some((Instant::now(), sound)));
        health.is_serving();
        assert_eq!(health.answer().0, StatusCode::OK);
        failed.send_replace(Some("eraser"));
        let (status, body) = health.answer();
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        let of = |part: &str| (body["parts"][part]["status"].clone(), body["parts"][part]["code"].clone());
        assert_eq!(of("tasks"), ("failed".into(), "task_failed".into()), "{body}");
        assert_eq!(of("views"), ("ok".into(), "ok".into()), "{body}");
        assert_eq!(body["trouble"], body["parts"]["tasks"]["detail"]);
    }
}
