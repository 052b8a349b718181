//! How far everything is, for people to read.

use std::collections::HashSet;

use super::{Serve, addresses};
use crate::{
    app::{self, AppError},
    log::Log,
    supervise::Supervisor,
    views::{self, Progress},
};

pub(super) async fn status(Serve { servers, settings, .. }: Serve) -> Result<(), AppError> {
    let addresses = addresses(&servers)?;
    let pool = app::database(&addresses.database, 2).await?;
    let log = Log::open(&addresses.nats, settings.layout(), &Supervisor::new()).await?;
    let mut connection = pool.acquire().await?;
    let reached = Progress::new(pool.clone()).positions().await?;
    println!("epoch {}", log.epoch());
    let (mut lag, mut parked) = (0, Vec::new());
    for stream in 0..settings.streams {
        let last = log.last(stream).await?;
        let views = reached.get(&stream).copied().unwrap_or_default();
        let behind = last.0.saturating_sub(views.0);
        println!("CHAT_{stream}  last {last}  views {views}  lag {behind}");
        lag += behind;
        parked.extend(views::parked(&mut connection, stream).await?);
    }
    println!("lag {lag} events");
    let standing_still: HashSet<_> = parked.iter().filter_map(|parked| parked.conversation).collect();
    match parked.len() {
        0 => println!("parked nothing"),
        events => println!(
            "parked {} conversations, by {events} events: table {}.parked tells which and why",
            standing_still.len(),
            views::schema()
        ),
    }
    for (node, sessions) in log.leases().await?.sessions().await? {
        println!("node {node}  sessions {sessions}");
    }
    for other in views::other_sets(&pool).await? {
        println!(
            "schema {other} is of another version of the views: `drop schema {other} cascade` once no binary of \
             that version will come back"
        );
    }
    Ok(())
}
