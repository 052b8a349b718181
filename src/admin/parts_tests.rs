use std::collections::BTreeMap;

use serde_json::Value;

use super::*;
use crate::{accounts::OtherNodes, domain::Position, log::StreamSeen};

/// Facts in which all is well, on one stream with three copies.
fn sound() -> Facts {
    let now = Instant::now();
    let stream = StreamSeen {
        last: Position(100),
        full: Some(0.1),
        wanted: 3,
        current: 3,
        behind: vec![],
        has_majority: true,
        consumers: 0,
        hole: None,
    };
    let audit = StreamSeen { last: Position(7), ..stream.clone() };
    let survey = Survey {
        at: now,
        is_connected: true,
        server: "verbatim-0".into(),
        answers: true,
        streams: vec![Ok(stream)],
        audit: Ok(audit),
        storage: vec![("verbatim-0".into(), 0.1)],
        ahead: Some(0.1),
        refusing: None,
    };
    let database = DatabaseSeen {
        ahead: -0.2,
        has_accounts: true,
        has_views: true,
        views: BTreeMap::from([(0, Position(100))]),
        each_view: Vec::new(),
        parked: 0,
        webhooks: Some(hooks::Summary::default()),
        audit_waiting: None,
        erasure_waiting: None,
        others: OtherNodes::default(),
    };
    Facts {
        now,
        survey: Some(survey),
        database: Ok(database),
        others_have_log: false,
        others_have_database: false,
        views_lag: vec![(0, Duration::ZERO)],
        hub_lag: vec![(0, Duration::ZERO)],
        is_building: false,
        replica: None,
        connections: PoolConnections { open: 4, idle: 2, most: 16 },
        stopped: 0,
        overload: Level::default(),
    }
}

fn survey(facts: &mut Facts) -> &mut Survey {
    facts.survey.as_mut().expect("there is one")
}

fn seen(facts: &mut Facts) -> &mut DatabaseSeen {
    facts.database.as_mut().expect("it answers")
}

fn stream(facts: &mut Facts) -> &mut StreamSeen {
    survey(facts).streams[0].as_mut().expect("it answers")
}

fn gone(facts: &mut Facts) {
    facts.database = Err("connection refused".into());
    facts.views_lag.clear();
}

/// Changes sound facts, then checks the report on one part, and whether the node is taken out.
#[track_caller]
fn says(change: impl FnOnce(&mut Facts), part: &str, status: &str, code: &str, is_out: bool) {
    let mut facts = sound();
    change(&mut facts);
    let report = report(&facts);
    let body = report.body();
    let told = &body["parts"][part];
    assert_eq!((told["status"].as_str(), told["code"].as_str()), (Some(status), Some(code)), "{body}");
    assert_eq!(report.takes_out(), is_out, "{body}");
    let detail = told["detail"].as_str().expect("a detail");
    assert!(body["trouble"].as_str().is_some_and(|trouble| trouble.contains(detail)), "{body}");
}

#[test]
fn a_sound_process_has_no_trouble() {
    let report = report(&sound());
    assert!(report.is_sound() && !report.takes_out());
    let body = report.body();
    assert_eq!((&body["trouble"], &body["warning"]), (&Value::Null, &Value::Null));
    assert_eq!(body["parts"]["log"]["server"], "verbatim-0");
}

#[test]
fn a_log_that_lacks_something_takes_everybody_out() {
    let hole = Hole::at(0, Position(57));
    says(|f| stream(f).hole = Some(hole.clone()), "log", "failed", "log_damaged", true);
    assert_eq!(hole.to_string(), "CHAT_0 has no event at 57");
}

#[test]
fn what_all_nodes_share_takes_none_of_them_out() {
    says(|f| survey(f).is_connected = false, "log", "failed", "not_connected", false);
    says(|f| survey(f).streams[0] = Err("no leader".into()), "log", "failed", "no_answer", false);
    says(|f| f.now += STALE, "log", "failed", "silent", false);
    let refusing = Some(("maximum bytes exceeded".into(), Duration::from_secs(7)));
    says(|f| survey(f).refusing = refusing, "log", "failed", "refuses_appends", false);
    says(|f| stream(f).full = Some(0.95), "log", "degraded", "nearly_full", false);
    says(|f| survey(f).storage[0].1 = 0.95, "log", "degraded", "nearly_full", false);
    says(
        |f| {
            stream(f).current = 2;
            stream(f).behind = vec!["verbatim-2 is offline".into()];
        },
        "copies",
        "degraded",
        "missing",
        false,
    );
    says(|f| survey(f).audit = Err("no leader".into()), "audit", "degraded", "no_answer", false);
    says(|f| seen(f).audit_waiting = Some(STUCK), "audit", "degraded", "late", false);
    says(
        |f| survey(f).audit.as_mut().expect("it answers").full = Some(1.0),
        "log",
        "degraded",
        "nearly_full",
        false,
    );
    says(|f| seen(f).webhooks = None, "webhooks", "failed", "missing", false);
    let failed = hooks::Summary { webhooks: 3, failed: 1, parked: 2 };
    says(|f| seen(f).webhooks = Some(failed), "webhooks", "degraded", "disabled", false);
    says(|f| f.views_lag[0] = (5, LATE), "projection", "degraded", "late", false);
    says(|f| f.views_lag[0] = (MANY + 1, Duration::ZERO), "projection", "degraded", "late", false);
    says(|f| f.views_lag[0] = (5, STUCK), "projection", "failed", "stuck", false);
    says(|f| f.hub_lag[0] = (5, STUCK), "hub", "failed", "stuck", false);
    says(gone, "database", "failed", "no_answer", false);
    says(
        |f| f.connections = PoolConnections { open: 16, idle: 0, most: 16 },
        "database",
        "degraded",
        "busy",
        false,
    );
    says(|f| seen(f).has_accounts = false, "accounts", "failed", "missing", false);
    says(|f| seen(f).has_views = false, "views", "failed", "missing", false);
}

#[test]
fn a_replica_is_a_part_if_there_is_one_and_takes_no_node_out() {
    let away = || ReplicaStanding::Away("it is late".into());
    says(|f| f.replica = Some(away()), "replica", "degraded", "away", false);
    assert_eq!(report(&sound()).body()["parts"]["replica"], Value::Null);
    let read = Facts { replica: Some(ReplicaStanding::Read), ..sound() };
    assert!(report(&read).is_sound());
}

#[test]
fn what_is_our_own_takes_us_out() {
    says(
        |f| {
            survey(f).is_connected = false;
            f.others_have_log = true;
        },
        "log",
        "failed",
        "not_connected",
        true,
    );
    says(
        |f| {
            gone(f);
            f.others_have_database = true;
        },
        "database",
        "failed",
        "no_answer",
        true,
    );
    // A node that reaches neither server cannot learn the state of the other nodes.
    says(
        |f| {
            gone(f);
            survey(f).is_connected = false;
        },
        "database",
        "failed",
        "no_answer",
        true,
    );
    says(|f| f.stopped = 1, "projection", "failed", "stopped", true);
    says(
        |f| {
            f.views_lag[0] = (20_000, Duration::from_secs(1));
            f.is_building = true;
        },
        "projection",
        "failed",
        "building",
        true,
    );
}

#[test]
fn a_wrong_clock_takes_us_out_and_clocks_that_differ_do_not() {
    let ahead = |nats: Option<f64>, postgres: f64| {
        move |f: &mut Facts| {
            survey(f).ahead = nats;
            seen(f).ahead = postgres;
        }
    };
    says(ahead(Some(40.0), 41.0), "clock", "failed", "wrong", true);
    says(ahead(Some(0.1), 86_400.0), "clock", "degraded", "apart", false);
}

#[test]
fn what_is_parked_is_a_warning() {
    let mut facts = sound();
    seen(&mut facts).parked = 1;
    let report = report(&facts);
    assert!(report.is_sound());
    assert!(
        report.body()["warning"].as_str().is_some_and(|warning| warning.starts_with("1 events are parked"))
    );
}
