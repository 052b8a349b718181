//! How far everything is, for people to read.

use super::{Serve, addresses};
use crate::{
    app::{self, AppError},
    log::Log,
    views::{self, Progress},
};

pub(super) async fn status(Serve { servers, settings, .. }: Serve) -> Result<(), AppError> {
    let addresses = addresses(&servers)?;
    let pool = app::database(&addresses.database, 1).await?;
    let log = Log::open(&addresses.nats, settings.layout()).await?;
    let standing = Progress::new(pool.clone()).standing().await?;
    println!("epoch {}", log.epoch());
    let mut lag = 0;
    for stream in 0..settings.streams {
        let last = log.last(stream).await?;
        let views = standing.positions.get(&stream).copied().unwrap_or_default();
        let behind = last.0.saturating_sub(views.0);
        println!("CHAT_{stream}  last {last}  views {views}  lag {behind}");
        lag += behind;
    }
    println!("lag {lag} events");
    let schema = views::schema();
    match (views::parked_count(&pool).await?, standing.parked.len()) {
        (0, _) => println!("parked nothing"),
        (events, conversations) => println!(
            "parked {conversations} conversations, by {events} events: table {schema}.parked tells which and why"
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
