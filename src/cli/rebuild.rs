//! `rebuild` and `verify`: rebuild the views, and compare them with the log.

use std::{
    collections::HashMap,
    io::{IsTerminal as _, Write as _},
    pin::pin,
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::{Args, builder::PossibleValuesParser};
use tokio::time::interval;

use crate::{
    app::AppError,
    cli::{failed::Failed, servers::Servers},
    projector::{self, Consent, Verified, Work},
    views,
};

/// The maximum number of differences that are printed for one table.
const SHOWN: u64 = 100;

/// The arguments of `rebuild`.
#[derive(Debug, Args)]
pub(super) struct Rebuild {
    /// The name of a view, or `all`.
    #[arg(value_parser = PossibleValuesParser::new(
        views::ALL.iter().map(|projection| projection.name).chain(["all"])
    ))]
    view: String,

    /// Rebuilds even if this discards data that only the views have (only with `all`).
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    servers: Servers,
}

/// Rebuilds views next to the live views, and then replaces the live views.
pub(super) async fn rebuild(Rebuild { view, force, servers }: Rebuild) -> Result<ExitCode, Failed> {
    if force && view != "all" {
        return Err(AppError::Refused(
            "--force works only with `all`: the views of a log belong together".into(),
        )
        .into());
    }
    let (log, pool) = servers.open().await?;
    let only = views::ALL.iter().find(|projection| projection.name == view);
    let (work, begun) = (Work::default(), Instant::now());
    let consent = if force { Consent::Given } else { Consent::Withheld };
    shown(&work, projector::rebuild(&log, &pool, &views::schema(), only, consent, &work)).await?;
    println!("rebuilt {view}: {} events in {:.1} s", work.progress().0, begun.elapsed().as_secs_f64());
    Ok(ExitCode::SUCCESS)
}

/// Compares the live views with the log and prints the differences.
pub(super) async fn verify(servers: Servers) -> Result<ExitCode, Failed> {
    let (log, pool) = servers.open().await?;
    let work = Work::default();
    let mut told: HashMap<&str, u64> = HashMap::new();
    let tell = |table, views::Difference { key, one, other }| {
        let told = told.entry(table).or_default();
        *told += 1;
        if *told <= SHOWN {
            let nothing = || "nothing".to_owned();
            let (view, log) = (one.unwrap_or_else(nothing), other.unwrap_or_else(nothing));
            println!("DIFFERS  {table} {key}\n         the view has {view}\n         the log says {log}");
        }
    };
    let verified = shown(&work, projector::verify(&log, &pool, &views::schema(), &work, tell)).await?;
    let Verified { rows, differences, parked } = verified;
    let repairs: Vec<String> = views::ALL
        .iter()
        .filter(|view| view.tables.iter().any(|table| told.contains_key(table)))
        .map(|view| format!("`verbatim rebuild {}`", view.name))
        .collect();
    let mut tables: Vec<_> = told.into_iter().collect();
    tables.sort_unstable();
    for (table, count) in tables {
        println!(
            "{table}: {count} rows differ{}",
            if count > SHOWN { ", of which 100 are shown" } else { "" }
        );
    }
    if parked > 0 {
        println!("{parked} events are parked: see table {}.parked for the reasons", views::schema());
    }
    if differences > 0 {
        println!("{differences} rows differ from the log: repair them with {}", repairs.join(", "));
        return Ok(ExitCode::FAILURE);
    }
    println!("all {rows} rows match the log ({} events)", work.progress().0);
    Ok(ExitCode::SUCCESS)
}

/// Shows the progress of `doing` on stderr until it ends.
async fn shown<T>(work: &Work, doing: impl Future<Output = T>) -> T {
    let is_terminal = std::io::stderr().is_terminal();
    let mut doing = pin!(doing);
    let mut tick = interval(if is_terminal { Duration::from_millis(200) } else { Duration::from_secs(5) });
    tick.tick().await;
    let begun = Instant::now();
    loop {
        tokio::select! {
            done = &mut doing => {
                if is_terminal {
                    eprint!("\r\x1b[K");
                }
                return done;
            }
            _ = tick.tick() => {
                let line = line(work.progress(), begun.elapsed());
                let (before, after) = if is_terminal { ("\r\x1b[K", "") } else { ("", "\n") };
                let mut stderr = std::io::stderr().lock();
                // A failed write to stderr does not stop the work.
                let _ = write!(stderr, "{before}{line}{after}").and_then(|()| stderr.flush());
            }
        }
    }
}

fn line((done, total): (u64, u64), elapsed: Duration) -> String {
    let rate = done as f64 / elapsed.as_secs_f64().max(0.001);
    let percent = (done * 100).checked_div(total).unwrap_or(100).min(100);
    let left = match total.saturating_sub(done) {
        left if rate >= 1.0 => format!("{:.0} s left", left as f64 / rate),
        _ => "starting".into(),
    };
    format!("{done} of {total} events  {percent} %  {rate:.0}/s  {left}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_how_much_is_done_and_left() {
        let line = line((50_000, 200_000), Duration::from_secs(1));
        assert_eq!(line, "50000 of 200000 events  25 %  50000/s  3 s left");
        assert_eq!(super::line((0, 0), Duration::ZERO), "0 of 0 events  100 %  0/s  starting");
    }
}
