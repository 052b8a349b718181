//! The parts of a process. For each part, a pure function turns the observations into the report on that part. A new
//! part needs a function here and a line in [`parts`].

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    admin::{
        clocks::{Agreement, Clocks},
        database::{DatabaseSeen, PoolConnections},
        report::{Part, Report},
    },
    hooks,
    log::{Hole, Survey},
    overload::{Level, WorkKind},
    views::ReplicaStanding,
};

/// The maximum age of a survey of the log: an older survey says nothing about the present.
pub(super) const STALE: Duration = Duration::from_secs(5);
/// The fill level, from 0 to 1, at which a stream or a nats-server counts as degraded.
const NEARLY_FULL: f64 = 0.9;
/// The lag in time at which a follower counts as degraded.
const LATE: Duration = Duration::from_secs(10);
/// The lag in time at which a follower counts as failed.
const STUCK: Duration = Duration::from_secs(60);
/// The lag in events above which the projection counts as degraded.
const MANY: u64 = 10_000;

/// The lag of one follower in one stream: the number of missing events, and how long the first of them has been
/// missing.
pub(super) type Lag = (u64, Duration);

/// All observations that the report is based on.
pub(super) struct Facts {
    pub(super) now: Instant,
    pub(super) survey: Option<Survey>,
    pub(super) database: Result<DatabaseSeen, String>,
    /// Whether another node reaches the log while this node does not.
    pub(super) others_have_log: bool,
    /// Whether another node reaches Postgres while this node does not.
    pub(super) others_have_database: bool,
    /// The lag of the views in each stream; empty while Postgres does not answer.
    pub(super) views_lag: Vec<Lag>,
    /// The lag of the hub in each stream.
    pub(super) hub_lag: Vec<Lag>,
    /// Whether the views are new and still lack more than a tenth of the log.
    pub(super) is_building: bool,
    /// Whether reads use the replica; `None` without a replica.
    pub(super) replica: Option<ReplicaStanding>,
    /// The connections of the pool.
    pub(super) connections: PoolConnections,
    /// The number of followers and projections that have stopped for good.
    pub(super) stopped: i64,
    /// The level of overload.
    pub(super) overload: Level,
}

/// The report on all parts, with a warning if events are parked.
pub(super) fn report(facts: &Facts) -> Report {
    let seen = facts.database.as_ref().ok();
    let warning = seen.filter(|seen| seen.parked > 0).map(|seen| {
        let schema = crate::views::schema();
        format!("{} events are parked: see table {schema}.parked for the reasons", seen.parked)
    });
    Report { parts: parts(facts), warning }
}

fn parts(facts: &Facts) -> Vec<Part> {
    let mut parts = vec![
        log(facts),
        copies(facts),
        projection(facts),
        database(facts),
        accounts(facts),
        views(facts),
        hub(facts),
        Part::ok("tasks"),
        clock(facts),
        load(facts),
        webhooks(facts),
        audit(facts),
    ];
    parts.extend(facts.replica.as_ref().map(replica));
    parts
}

/// The survey, unless it is too old to say anything about the present.
pub(super) fn recent(survey: Option<&Survey>, now: Instant) -> Option<&Survey> {
    survey.filter(|survey| now.duration_since(survey.at) < STALE)
}

/// The code and the detail of the reason why this node does not reach the log; `None` if it does.
pub(super) fn log_is_lost(survey: Option<&Survey>, now: Instant) -> Option<(&'static str, String)> {
    let Some(survey) = recent(survey, now) else {
        return Some(("silent", "the log has not answered for several seconds".into()));
    };
    if !survey.is_connected {
        return Some(("not_connected", "no nats-server can be reached".into()));
    }
    let mut silent =
        survey.streams.iter().enumerate().filter_map(|(index, seen)| Some((index, seen.as_ref().err()?)));
    let (index, why) = silent.next()?;
    let more = match silent.count() {
        0 => String::new(),
        more => format!(", and {more} more streams"),
    };
    Some((
        "no_answer",
        format!("CHAT_{index}{more} cannot be reached through nats-server {}: {why}", survey.server),
    ))
}

fn log(facts: &Facts) -> Part {
    let part = if let Some((code, why)) = log_is_lost(facts.survey.as_ref(), facts.now) {
        let own = facts.others_have_log || facts.database.is_err();
        let whose = if facts.others_have_log { "; other nodes reach it" } else { "" };
        let todo = "check nats-server, and the network between nats-server and this node";
        Part::failed("log", code, format!("{why}{whose}: {todo}")).takes_out(own)
    } else if let Some(hole) = hole(facts) {
        let todo = "if another copy has the event, make that copy the leader of the stream; otherwise see deploy/DISASTERS.md";
        Part::failed("log", "log_damaged", format!("log_damaged: {hole}: {todo}")).takes_out(true)
    } else if let Some((why, since)) = facts.survey.as_ref().and_then(|survey| survey.refusing.clone()) {
        let seconds = since.as_secs();
        let detail = format!(
            "appends have been refused for {seconds} s ({why}): check the disks of nats-server and the limits of its streams"
        );
        Part::failed("log", "refuses_appends", detail)
    } else if let Some(detail) =
        facts.survey.as_ref().and_then(|survey| nearly_full(survey).or_else(|| lacks_room(survey)))
    {
        Part::degraded("log", "nearly_full", detail)
    } else {
        Part::ok("log")
    };
    let Some(survey) = &facts.survey else { return part };
    let answering = survey.streams.iter().filter(|seen| seen.is_ok()).count();
    part.with("server", survey.server.clone())
        .with("streams", survey.streams.len())
        .with("answering", answering)
}

/// The first hole of the log, if there is one. No node answers a request that has to read across a hole.
fn hole(facts: &Facts) -> Option<&Hole> {
    let streams = &facts.survey.as_ref()?.streams;
    streams.iter().find_map(|seen| seen.as_ref().ok()?.hole.as_ref())
}

/// Names the fullest stream if it is nearly full, and says what to do.
pub(crate) fn nearly_full(survey: &Survey) -> Option<String> {
    let full = survey.answering().filter_map(|(name, seen)| Some((name, seen.full?)));
    let (name, full) = full.max_by(|(_, one), (_, other)| one.total_cmp(other))?;
    let percent = (full * 100.0).floor();
    (full >= NEARLY_FULL).then(|| {
        format!("{name} is {percent} % full: raise its max_bytes or max_msgs; a full stream stores nothing")
    })
}

/// Names the fullest nats-server if it is nearly full, and says what to do.
fn lacks_room(survey: &Survey) -> Option<String> {
    let (name, full) = survey.storage.iter().max_by(|(_, one), (_, other)| one.total_cmp(other))?;
    let percent = (full * 100.0).floor();
    (*full >= NEARLY_FULL).then(|| {
        format!(
            "nats-server {name} uses {percent} % of its max_file: enlarge its disk, then raise the limit; a full \
             server stores nothing"
        )
    })
}

/// Names the first stream that lacks a copy, and says what to do.
pub(crate) fn lacks_a_copy(survey: &Survey) -> Option<String> {
    let (name, stream) = survey.answering().find(|(_, seen)| seen.current < seen.wanted)?;
    Some(format!(
        "{name} has {} of {} copies ({}): bring that nats-server back before another one fails",
        stream.current,
        stream.wanted,
        stream.behind.join(", ")
    ))
}

fn copies(facts: &Facts) -> Part {
    let seen = facts.survey.iter().flat_map(Survey::answering);
    let Some(fewest) = seen.map(|(_, seen)| seen.current).min() else {
        return Part::unknown("copies", "the log does not answer");
    };
    let part = match facts.survey.as_ref().and_then(lacks_a_copy) {
        Some(detail) => Part::degraded("copies", "missing", detail),
        None => Part::ok("copies"),
    };
    part.with("fewest", fewest)
}

fn worst(lags: &[Lag]) -> (u64, Duration) {
    let events = lags.iter().map(|(events, _)| events).sum();
    (events, lags.iter().map(|(_, since)| *since).max().unwrap_or_default())
}

fn projection(facts: &Facts) -> Part {
    if facts.stopped > 0 {
        let detail = "a projection or the hub has stopped because the log is damaged or does not belong to the views: \
                      see the error in the log lines of this node";
        return Part::failed("projection", "stopped", detail).takes_out(true);
    }
    if facts.views_lag.is_empty() {
        return Part::unknown("projection", "the log or Postgres does not answer");
    }
    let (events, since) = worst(&facts.views_lag);
    let seconds = since.as_secs();
    let late = |todo: &str| format!("the views have been behind for {seconds} s, by {events} events: {todo}");
    let part = if facts.is_building {
        let todo = "the views are being built; send no traffic to this node yet";
        Part::failed("projection", "building", late(todo)).takes_out(true)
    } else if since >= STUCK {
        Part::failed("projection", "stuck", late("check that a node with the role projector runs"))
    } else if since >= LATE || events > MANY {
        Part::degraded("projection", "late", late("the projectors are behind"))
    } else {
        Part::ok("projection")
    };
    let streams: Vec<u64> = facts.views_lag.iter().map(|(_, since)| since.as_secs()).collect();
    part.with("lag_events", events).with("lag_seconds", seconds).with("streams_lag_seconds", streams)
}

fn hub(facts: &Facts) -> Part {
    if facts.hub_lag.is_empty() {
        return Part::unknown("hub", "the log has not answered yet");
    }
    let (events, since) = worst(&facts.hub_lag);
    let seconds = since.as_secs();
    let detail = || {
        format!("this node has been behind for {seconds} s, by {events} events: it reads the log too slowly")
    };
    let part = if since >= STUCK {
        Part::failed("hub", "stuck", detail())
    } else if since >= LATE {
        Part::degraded("hub", "late", detail())
    } else {
        Part::ok("hub")
    };
    part.with("lag_events", events).with("lag_seconds", seconds)
}

fn database(facts: &Facts) -> Part {
    let PoolConnections { open, idle, most } = facts.connections;
    let part = match &facts.database {
        Err(why) => {
            let own = facts.others_have_database || log_is_lost(facts.survey.as_ref(), facts.now).is_some();
            let whose = if facts.others_have_database { "; it answers other nodes" } else { "" };
            let detail = format!(
                "Postgres does not answer ({why}){whose}: check Postgres, and the network between Postgres and this node"
            );
            Part::failed("database", "no_answer", detail).takes_out(own)
        }
        Ok(_) if idle == 0 && open >= most => {
            let detail = format!(
                "all {most} connections to Postgres are in use: raise VERBATIM_DATABASE_CONNECTIONS, or look for slow queries"
            );
            Part::degraded("database", "busy", detail)
        }
        Ok(_) => Part::ok("database"),
    };
    part.with("connections", open).with("idle", idle)
}

/// A node whose replica is away stays ready, because requests read from the primary.
fn replica(standing: &ReplicaStanding) -> Part {
    match standing {
        ReplicaStanding::Read => Part::ok("replica").with("read", true),
        ReplicaStanding::Back(_) => Part::ok("replica").with("read", false),
        ReplicaStanding::Away(why) => {
            let detail = format!(
                "requests read from the primary because the Postgres replica cannot be used: {why}: check the replica, \
                 its replication, and VERBATIM_DATABASE_REPLICA_URL"
            );
            Part::degraded("replica", "away", detail).with("read", false)
        }
    }
}

fn accounts(facts: &Facts) -> Part {
    match &facts.database {
        Err(_) => Part::unknown("accounts", "Postgres does not answer"),
        Ok(seen) if !seen.has_accounts => {
            let detail = "tables of schema auth are missing, so nobody can log in: restore it from a backup, or run `verbatim migrate`";
            Part::failed("accounts", "missing", detail)
        }
        Ok(_) => Part::ok("accounts"),
    }
}

fn views(facts: &Facts) -> Part {
    match &facts.database {
        Err(_) => Part::unknown("views", "Postgres does not answer"),
        Ok(seen) if !seen.has_views => {
            let detail = "the views are missing or incomplete: start a node with the role projector, which rebuilds them";
            Part::failed("views", "missing", detail)
        }
        Ok(seen) => Part::ok("views").with("parked", seen.parked),
    }
}

fn clock(facts: &Facts) -> Part {
    let nats = facts.survey.as_ref().and_then(|survey| survey.ahead);
    let postgres = facts.database.as_ref().ok().map(|seen| seen.ahead);
    let agreement = Clocks { nats, postgres }.agreement();
    let mut part = match (agreement, agreement.trouble()) {
        (Agreement::Wrong(_), Some(trouble)) => Part::failed("clock", "wrong", trouble).takes_out(true),
        (_, Some(trouble)) => Part::degraded("clock", "apart", trouble),
        (_, None) => Part::ok("clock"),
    };
    let rounded = |ahead: f64| (ahead * 1_000.0).round() / 1_000.0;
    for (name, ahead) in [("nats_ahead_seconds", nats), ("postgres_ahead_seconds", postgres)] {
        if let Some(ahead) = ahead {
            part = part.with(name, rounded(ahead));
        }
    }
    part
}

/// An overloaded node stays ready: if it left, the other nodes would have even more to do.
fn load(facts: &Facts) -> Part {
    let part = match facts.overload.last().map(WorkKind::word) {
        None => Part::ok("load"),
        Some(up_to) => {
            let detail = format!(
                "this node is overloaded and refuses work up to `{up_to}`: its log lines name the bottleneck; start \
                 more nodes, or give Postgres or nats-server more resources"
            );
            Part::degraded("load", "overloaded", detail)
        }
    };
    part.with("level", facts.overload.number())
}

fn webhooks(facts: &Facts) -> Part {
    let Ok(seen) = &facts.database else { return Part::unknown("webhooks", "Postgres does not answer") };
    let Some(hooks::Summary { webhooks, failed, parked }) = seen.webhooks else {
        let detail = "tables of schema hooks are missing, so webhooks get no events: restore it from a backup, or run `verbatim migrate`";
        return Part::failed("webhooks", "missing", detail);
    };
    let part = if failed > 0 {
        let detail = format!(
            "{failed} webhooks are disabled because their receivers failed: see `verbatim webhooks list`, and enable them \
             once the receivers work"
        );
        Part::degraded("webhooks", "disabled", detail)
    } else {
        Part::ok("webhooks")
    };
    part.with("webhooks", webhooks).with("disabled", failed).with("parked", parked)
}

/// A node that cannot store audit events stays ready: they wait in Postgres, and no other node is better off.
fn audit(facts: &Facts) -> Part {
    let Ok(seen) = &facts.database else { return Part::unknown("audit", "Postgres does not answer") };
    let Some(survey) = recent(facts.survey.as_ref(), facts.now) else {
        return Part::unknown("audit", "the log does not answer");
    };
    let waiting = seen.audit_waiting.unwrap_or_default();
    let seconds = waiting.as_secs();
    let part = if let Err(why) = &survey.audit {
        let detail = format!(
            "the stream AUDIT cannot be reached ({why}), and audit events wait in Postgres: check nats-server; if the \
             stream is missing, see `verbatim check`"
        );
        Part::degraded("audit", "no_answer", detail)
    } else if waiting >= STUCK {
        let detail = format!(
            "audit events have been waiting in Postgres for {seconds} s: see the log lines of the nodes with `AUDIT`"
        );
        Part::degraded("audit", "late", detail)
    } else {
        Part::ok("audit")
    };
    part.with("waiting_seconds", seconds)
}

#[cfg(test)]
#[path = "parts_tests.rs"]
mod tests;
