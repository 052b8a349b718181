//! `audit`: shows the audit trail.

use std::{
    io::{self, Write as _},
    str::FromStr,
    time::Duration,
};

use clap::{Args, Subcommand, builder::PossibleValuesParser};
use serde_json::Value;
use tokio::time::sleep;

use crate::{
    app::AppError,
    cli::{
        reach::Reach,
        remote::{Remote, encoded},
    },
    domain::{Audited, Position, Time},
    log::{AUDIT_PAGE, AuditPage, AuditRange, OpenError},
};

/// How many events `tail` shows without `--from`.
const LATEST: u64 = 100;
/// How often `--follow` looks for new events.
const LOOK: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
pub(super) struct AuditCommand {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Prints audit events, one JSON object a line.
    Tail {
        /// The first event: its position, or a time in RFC 3339: 2026-11-24T13:10:00Z [default: the latest 100].
        #[arg(long, value_name = "POSITION|TIME")]
        from: Option<From>,

        /// Waits for more events and prints them too.
        #[arg(long)]
        follow: bool,

        /// Only events of this area.
        #[arg(long, value_name = "AREA", value_parser = PossibleValuesParser::new(Audited::areas()))]
        area: Option<String>,

        /// Only events about this account, key or issuer.
        #[arg(long, value_name = "ID", value_parser = id)]
        id: Option<String>,

        #[command(flatten)]
        reach: Reach,
    },
}

/// The first event to print.
#[derive(Debug, Clone, Copy)]
enum From {
    Position(Position),
    Time(Time),
}

impl FromStr for From {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(position) = text.parse() {
            return Ok(Self::Position(Position(position)));
        }
        text.parse().map(Self::Time).map_err(|e| format!("neither a position nor a time: {e}"))
    }
}

fn id(text: &str) -> Result<String, &'static str> {
    AuditRange::can_have(text).then(|| text.to_owned()).ok_or("use letters, digits, `_` and `-`, at most 64")
}

pub(super) async fn audit(AuditCommand { what }: AuditCommand) -> Result<(), AppError> {
    let What::Tail { from, follow, area, id, reach } = what;
    if let Some(node) = reach.remote()? {
        return remotely(&node, from, follow, area, id).await;
    }
    let (log, pool) = reach.servers.open().await?;
    pool.close().await;
    let last = log.last_audit().await?.ok_or(OpenError::NoAudit)?;
    let mut range = AuditRange { area, id, ..AuditRange::default() };
    match from {
        None => range.after = Position(last.0.saturating_sub(LATEST)),
        Some(From::Position(first)) => range.after = Position(first.0.saturating_sub(1)),
        Some(From::Time(since)) => range.since = Some(since),
    }
    loop {
        let AuditPage { events, end, .. } = log.audits(&range, AUDIT_PAGE).await?;
        let lines: Vec<String> =
            events.iter().filter_map(|event| serde_json::to_string(event).ok()).collect();
        // A failed write is no error: the reader of the pipe, such as `head`, may have stopped reading.
        if !lines.is_empty() && writeln!(io::stdout(), "{}", lines.join("\n")).is_err() {
            return Ok(());
        }
        if end > range.after {
            range.after = end;
        } else if follow {
            sleep(LOOK).await;
        } else {
            return Ok(());
        }
    }
}

/// Formats an event of a node as a line. A node omits absent members, but this command prints them as null.
fn line(event: &Value) -> String {
    let mut event = event.clone();
    for absent in ["actor", "via"] {
        if event[absent].is_null() {
            event[absent] = Value::Null;
        }
    }
    event.to_string()
}

/// Prints the events that a node returns.
async fn remotely(
    node: &Remote,
    from: Option<From>,
    follow: bool,
    area: Option<String>,
    id: Option<String>,
) -> Result<(), AppError> {
    let only = |(name, value): (&str, Option<String>)| {
        value.map(|value| format!("&{name}={}", encoded(&value))).unwrap_or_default()
    };
    let only: String = [("area", area), ("id", id)].into_iter().map(only).collect();
    let mut begin = match from {
        None => format!("latest={LATEST}"),
        Some(From::Position(first)) => format!("after={}", first.0.saturating_sub(1)),
        Some(From::Time(since)) => format!("since={}", encoded(&since.to_string())),
    };
    loop {
        let page = node.get(&format!("/v1/admin/audit?limit=200&{begin}{only}")).await?;
        let events = page["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        let lines: Vec<String> = events.iter().map(line).collect();
        // A failed write is no error: the reader of the pipe, such as `head`, may have stopped reading.
        if !lines.is_empty() && writeln!(io::stdout(), "{}", lines.join("\n")).is_err() {
            return Ok(());
        }
        match (page["next_cursor"].as_str(), events.last()) {
            (Some(next), _) => begin = format!("cursor={}", encoded(next)),
            (None, Some(last)) => begin = format!("after={}", last["position"]),
            (None, None) => {}
        }
        if page["next_cursor"].is_null() {
            match follow {
                true => sleep(LOOK).await,
                false => return Ok(()),
            }
        }
    }
}
