//! `restore`: restores a lost installation from its archive.

use std::{
    collections::BTreeMap,
    str::FromStr,
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use clap::Args;

use crate::{
    app::{self, AppError, RestoreOrder, RestorePlan},
    archive::{Aim, ArchivePlace},
    cli::servers::Servers,
    domain::{Epoch, Position, Time},
    log::{Remade, Remake},
};

#[derive(Debug, Args)]
pub(super) struct Restore {
    /// Place of the archive: `dir:` and the absolute path of a folder, or `s3://bucket/folder`.
    #[arg(long, value_name = "PLACE")]
    from: ArchivePlace,

    /// Epoch to restore, as in the folder `log` of the archive. [default: the latest one]
    #[arg(long, value_name = "EPOCH", value_parser = epoch)]
    epoch: Option<Epoch>,

    /// Last position to restore in a stream, as in CHAT_0=4711. Separate several by commas; a stream that is not named
    /// is restored to its end.
    #[arg(long, value_name = "STREAM=POSITION", value_delimiter = ',', conflicts_with = "to_time")]
    to_position: Vec<StreamPosition>,

    /// Time of the last event to restore, in RFC 3339: 2026-11-24T13:10:00Z.
    #[arg(long, value_name = "TIME")]
    to_time: Option<Time>,

    /// Refuses servers that are not empty, even if only accounts are there, which would otherwise stay.
    #[arg(long)]
    into_empty: bool,

    /// Shows what would be done without doing it.
    #[arg(long)]
    plan: bool,

    #[command(flatten)]
    servers: Servers,
}

fn epoch(text: &str) -> Result<Epoch, &'static str> {
    let is_named =
        (1..=64).contains(&text.len()) && text.bytes().all(|letter| letter.is_ascii_alphanumeric());
    is_named.then(|| Epoch(text.to_owned())).ok_or("expected the name of a folder below `log` in the archive")
}

#[derive(Debug, Clone)]
struct StreamPosition(String, Position);

impl FromStr for StreamPosition {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = text
            .split_once('=')
            .and_then(|(stream, position)| Some(Self(stream.to_owned(), Position(position.parse().ok()?))));
        parsed.ok_or("expected a stream and a position, as in CHAT_0=4711")
    }
}

pub(super) async fn restore(
    Restore { from, epoch, to_position, to_time, into_empty, plan: is_plan, servers }: Restore,
) -> Result<(), AppError> {
    let mut positions = BTreeMap::new();
    for StreamPosition(stream, position) in to_position {
        if positions.insert(stream.clone(), position).is_some() {
            return Err(AppError::Refused(format!(
                "--to-position names {stream} twice: name each stream once"
            )));
        }
    }
    let aim = match to_time {
        Some(time) => Aim::Time(time),
        None if positions.is_empty() => Aim::End,
        None => Aim::Positions(positions),
    };
    let order = RestoreOrder { from: servers.settings.archive_at(&from)?, epoch, aim, into_empty };
    let planned =
        app::plan_restore(&servers.operators_addresses()?, servers.settings.layout(), order).await?;
    println!("{}", text(&planned.plan));
    if is_plan {
        return Ok(());
    }
    let (written, begun) = (AtomicU64::new(0), Instant::now());
    let ends = app::restore(planned, |records| {
        written.fetch_add(records, Ordering::Relaxed);
    })
    .await?;
    for (stream, end) in ends {
        println!("{stream} ends at {end}");
    }
    println!(
        "restored {} records in {:.1} s. Start the nodes: clients and consumers will see the new epoch",
        written.load(Ordering::Relaxed),
        begun.elapsed().as_secs_f64()
    );
    Ok(())
}

fn text(RestorePlan { log, accounts, unusable, has_accounts }: &RestorePlan) -> String {
    let Remake { epoch, from, layout, .. } = &log.remake;
    let mut lines = vec![format!(
        "epoch {epoch} will be restored from epoch {from}; new streams get {}",
        match layout.replicas {
            1 => "1 replica".into(),
            replicas => format!("{replicas} replicas"),
        }
    )];
    for planned in &log.streams {
        let found = match planned.found {
            None | Some(Remade::Empty) => "will be created",
            Some(Remade::Begun { .. }) => "will be continued",
            Some(Remade::Whole(_)) => "exists, will be compared and kept",
        };
        lines.push(format!("{} {found}, up to {}", planned.stream, planned.upto));
    }
    lines.push(format!("{} durables of consumers will be recreated", log.durables.len()));
    lines.extend(unusable.iter().map(|why| format!("a backup of the accounts cannot be used: {why}")));
    lines.push(match (has_accounts, accounts) {
        (true, _) => "the accounts in the database will be kept".into(),
        (false, Some(backup)) => format!("the accounts will be restored from the backup of {}", backup.time),
        (false, None) => {
            "the archive has no backup of the accounts: messages keep their senders, but nobody can log in"
                .into()
        }
    });
    lines.push("the views will be rebuilt".into());
    lines.join("\n")
}
