//! What is left of a request in the log and its copies.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::PgPool;

use crate::{
    accounts::{erasures::ErasureRequest, holds},
    domain::{HoldId, Position},
    erasures::{
        copies::{CopiesSeen, look},
        error::ErasureError,
        held::held,
        listed::listed,
    },
    log::{ErasedEvent, Log, MirrorNames},
};

/// The content of a request that the log still has; `None` if that is unknown, because a replica is offline or behind.
pub(super) async fn left(
    log: &Log,
    erasure: &ErasureRequest,
) -> Result<Option<Vec<ErasedEvent>>, ErasureError> {
    let listed = listed(log, erasure).await?;
    let mut by_stream: BTreeMap<usize, Vec<ErasedEvent>> = BTreeMap::new();
    for (stream, events) in listed {
        by_stream.entry(stream).or_default().extend(events);
    }
    let mut left = Vec::new();
    for (stream, events) in by_stream {
        let positions: Vec<Position> = events.iter().map(|event| event.position).collect();
        let Some(at) = log.left_at(stream, &positions).await? else { return Ok(None) };
        left.extend(events.into_iter().filter(|event| at.contains(&event.position)));
    }
    Ok(Some(left))
}

/// What is left of a request: the positions in the log that no hold keeps, those that a hold keeps, and the copies that
/// may still have content that the log no longer has, each with the reason.
pub(crate) struct Leftover {
    pub(crate) unheld: Vec<Position>,
    pub(crate) held: Vec<Position>,
    pub(crate) copies: BTreeMap<String, String>,
}

/// Checks what is left of a request in the log and its copies; `None` if the state of the log is unknown.
pub(crate) async fn leftover(
    log: &Log,
    mirrors: &MirrorNames,
    pool: &PgPool,
    erasure: &ErasureRequest,
) -> Result<Option<Leftover>, ErasureError> {
    let Some(left) = left(log, erasure).await? else { return Ok(None) };
    let mut lost = listed(log, erasure).await?;
    for (_, events) in &mut lost {
        events.retain(|event| !left.contains(event));
    }
    let copies = look(log, mirrors, &mut CopiesSeen::default()).await.lacking(&lost).await;
    let by = held(&holds::active(pool).await?, &left);
    let (held, unheld): (Vec<_>, Vec<_>) =
        left.into_iter().map(|event| event.position).zip(by).partition(|(_, by)| !by.is_empty());
    let positions = |some: Vec<(Position, BTreeSet<HoldId>)>| some.into_iter().map(|(at, _)| at).collect();
    Ok(Some(Leftover { unheld: positions(unheld), held: positions(held), copies }))
}
