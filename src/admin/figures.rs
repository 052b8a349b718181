//! Updates the metrics after a check of the servers. If a server does not answer, its last figures stay. Lags are
//! computed from the log's head, so a dead or stuck projector shows as a growing lag.

use std::collections::HashMap;

use time::OffsetDateTime;
use tokio::time::Instant;

use crate::{
    admin::{
        database::{DatabaseSeen, PoolConnections},
        lag::Heads,
        parts::recent,
        watched::Watched,
    },
    domain::Position,
    log::Survey,
    telemetry::{APPENDS, METRICS, PROGRESS},
};

/// The last figures of what may be missing from a later check.
#[derive(Debug, Default)]
pub(super) struct Figures {
    /// The last positions of the views that Postgres has reported: the view, the stream, the position.
    views: Vec<(String, usize, Position)>,
    /// The nats-servers whose storage is shown.
    servers: Vec<String>,
}

impl Figures {
    /// Updates the metrics after one check. `database` is `None` if Postgres did not answer.
    pub(super) fn tell(
        &mut self,
        now: Instant,
        parts: &Watched,
        survey: Option<&Survey>,
        database: Option<&DatabaseSeen>,
        heads: &[Heads],
    ) {
        let survey = recent(survey, now).filter(|survey| survey.is_connected);
        PROGRESS.nats_up.set(survey.is_some_and(|survey| survey.answers).into());
        PROGRESS.postgres_up.set(database.is_some().into());
        APPENDS.waiting.set(parts.log.appends_waiting() as i64);
        let PoolConnections { open, idle, most } = PoolConnections::of(&parts.pool);
        for (state, count) in [("in_use", open.saturating_sub(idle)), ("idle", idle), ("max", most)] {
            PROGRESS.connections.get_or_create(&[("state", state)]).set(count.into());
        }
        let clocks =
            [("nats", survey.and_then(|survey| survey.ahead)), ("postgres", database.map(|seen| seen.ahead))];
        for (server, ahead) in clocks {
            if let Some(ahead) = ahead {
                PROGRESS.clock_ahead.get_or_create(&[("server", server)]).set(ahead);
            }
        }
        if let Some(seen) = database {
            // Without a list, the views are missing: the lags of the last one grow until the views are back.
            if !seen.each_view.is_empty() {
                self.views.clone_from(&seen.each_view);
            }
            PROGRESS.audit_waiting.set(seen.audit_waiting.unwrap_or_default().as_secs_f64());
            PROGRESS.erasure_waiting.set(seen.erasure_waiting.unwrap_or_default().as_secs_f64());
            METRICS.failed_task_at.set(seen.others.failed_at.map_or(0, OffsetDateTime::unix_timestamp));
        }
        tell_streams(parts, survey);
        if let Some(survey) = survey {
            self.tell_storage(&survey.storage);
        }
        let lag = |stream: usize, at: Position| {
            let (events, since) = heads.get(stream).map(|heads| heads.lag(now, at)).unwrap_or_default();
            (events, since.as_secs_f64())
        };
        for (stream, position) in parts.conversations.positions().into_iter().enumerate() {
            let name = parts.log.stream_name(stream);
            PROGRESS.set_hub(name.clone(), position.0, lag(stream, position));
            PROGRESS.set_projector(name, |at| lag(stream, Position(at)));
        }
        for (view, stream, position) in &self.views {
            PROGRESS.set_view(view, parts.log.stream_name(*stream), position.0, lag(*stream, *position));
        }
        PROGRESS.are_set();
    }

    /// Updates the metrics of the storage of the servers. A server that no longer tells it is not shown.
    fn tell_storage(&mut self, storage: &[(String, f64)]) {
        for (server, full) in storage {
            PROGRESS.storage.get_or_create(&[("server", server.clone())]).set(*full);
        }
        let told: Vec<String> = storage.iter().map(|(server, _)| server.clone()).collect();
        for gone in self.servers.iter().filter(|server| !told.contains(server)) {
            PROGRESS.storage.remove(&[("server", gone.clone())]);
        }
        self.servers = told;
    }
}

/// Updates the metrics of the streams, with AUDIT. Without a survey, every stream counts as not answering.
fn tell_streams(parts: &Watched, survey: Option<&Survey>) {
    let answering: HashMap<_, _> = survey.into_iter().flat_map(Survey::answering).collect();
    for stream in parts.log.kept_streams() {
        let seen = answering.get(&stream).copied();
        let label = [("stream", stream)];
        PROGRESS.stream_up.get_or_create(&label).set(seen.is_some().into());
        let Some(seen) = seen else { continue };
        PROGRESS.head.get_or_create(&label).set(seen.last.0.cast_signed());
        PROGRESS.consumers.get_or_create(&label).set(seen.consumers as i64);
        PROGRESS.copies.get_or_create(&label).set(seen.current as i64);
        PROGRESS.copies_wanted.get_or_create(&label).set(seen.wanted as i64);
        PROGRESS.hole.get_or_create(&label).set(seen.hole.is_some().into());
        match seen.full {
            Some(full) => {
                PROGRESS.full.get_or_create(&label).set(full);
            }
            None => {
                PROGRESS.full.remove(&label);
            }
        }
    }
}
