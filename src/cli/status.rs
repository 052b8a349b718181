//! `status`: shows the state of the log, the views and the nodes. It changes nothing.

use std::{collections::HashSet, process::ExitCode};

use serde_json::json;

use crate::{
    app::{self, AppError},
    cli::{addresses::addresses, consumer_told, serve::Serve},
    clock::Clock,
    consumers::{self, ConsumerError, Office},
    domain::Position,
    hooks,
    log::OpenError,
    projector::kinship,
    views::{self, Progress},
};

/// The maximum number of consumers that are shown.
const CONSUMERS: i64 = 1_000;

pub(super) async fn status(Serve { servers, settings, .. }: Serve) -> Result<ExitCode, AppError> {
    let addresses = addresses(&servers)?;
    let pool = app::database(&addresses.database, 2).await?;
    app::is_migrated(&pool).await?;
    let Some(log) = app::look_at_log(&pool, &addresses.nats, settings.layout()).await? else {
        println!("no log yet: create it with `verbatim migrate`");
        return Ok(ExitCode::SUCCESS);
    };
    let mut connection = pool.acquire().await?;
    let reached = Progress::new(pool.clone()).positions().await?;
    println!("epoch {}", log.epoch());
    let (mut lag, mut parked) = (0, Vec::new());
    for stream in 0..log.layout().streams {
        let last = log.last(stream).await?;
        let views = reached.get(&stream).copied().unwrap_or_default();
        println!("CHAT_{stream}  last {last}  views {views}  {}", distance(last, views));
        // Views that are ahead of one stream do not make up for a lag in another stream.
        lag += last.0.saturating_sub(views.0);
        parked.extend(views::parked(&mut connection, stream).await?);
    }
    println!("lag {lag} events");
    let last_audit = log.last_audit().await?;
    match last_audit {
        Some(last) => println!("AUDIT  last {last}"),
        None => println!("AUDIT  missing"),
    }
    if let Some(hooks::Summary { webhooks, failed, parked }) =
        hooks::figures::summary(&mut connection).await?
    {
        println!("webhooks {webhooks}  disabled by failures {failed}  parked events {parked}");
    }
    if let Some(waiting) = app::erasure_waiting(&pool).await? {
        println!("erasures  the oldest due one has waited for {} s", waiting.as_secs());
    }
    let office = Office {
        pool: pool.clone(),
        log: log.clone(),
        clock: Clock::system(),
        servers: Vec::new(),
        scoped: None,
        revoker: None,
    };
    for consumer in consumers::list(&office, None, CONSUMERS).await.map_err(told)? {
        println!("consumer {}", consumer_told::line(&json!(consumer)));
    }
    for name in consumers::gone_and_overdue(&office).await.map_err(told)? {
        println!("consumer {name}  removed  OVERDUE: credentials were not revoked");
    }
    let standing_still: HashSet<_> = parked.iter().filter_map(|parked| parked.conversation).collect();
    match parked.len() {
        0 => println!("parked nothing"),
        events => println!(
            "parked {} conversations, by {events} events: see table {}.parked for the reasons",
            standing_still.len(),
            views::schema()
        ),
    }
    for (node, sessions) in log.nodes().await? {
        println!("node {node}  sessions {sessions}");
    }
    for other in views::other_sets(&pool).await? {
        println!(
            "schema {other} belongs to another version of the views: run `drop schema {other} cascade` once no binary \
             of that version will run again"
        );
    }
    let hole = log.first_hole().await?.map(|hole| hole.to_string());
    let foreign = kinship(&log, &mut connection, &views::schema()).await?.trouble();
    let unaudited = last_audit.is_none().then(|| OpenError::NoAudit.to_string());
    let mut code = ExitCode::SUCCESS;
    for trouble in hole.into_iter().chain(foreign).chain(unaudited) {
        println!("REFUSED  {trouble}");
        code = ExitCode::FAILURE;
    }
    Ok(code)
}

fn told(error: ConsumerError) -> AppError {
    AppError::Refused(error.to_string())
}

fn distance(last: Position, views: Position) -> String {
    match last.0.checked_sub(views.0) {
        Some(lag) => format!("lag {lag}"),
        None => format!("AHEAD by {}", views.0 - last.0),
    }
}
