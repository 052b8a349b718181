//! Copies that a deletion in the log does not reach: mirrors of its streams, and copies of parked events for redelivery
//! to consumers. Erased content is deleted there, too, and a request is done only when no copy has any of it.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::{join, join_all};

use crate::{
    domain::{ErasureId, Position},
    erasures::pace::pace,
    log::{CopiesRead, ErasedCopies, ErasedEvent, Log, Mirror, MirrorNames, NotMirrored, Unavailable},
};

/// The maximum number of deletions from a stream of copies in one round, before the eraser returns to the log.
const AT_ONCE: usize = 25;

/// The state of the copies at one moment.
pub(super) struct Copies {
    /// The mirrors, each with its name.
    mirrors: Vec<(String, Result<Mirror, NotMirrored>)>,
    parked: Result<ErasedCopies, Unavailable>,
}

/// What an eraser remembers of the copies between rounds.
#[derive(Default)]
pub(super) struct CopiesSeen {
    /// The positions at which a mirror was found empty, by its name.
    gone: BTreeMap<String, BTreeSet<Position>>,
    read: CopiesRead,
    /// Whether all copies were reachable and nothing was left to delete.
    pub(super) are_clean: bool,
    /// The requests whose content all copies have dropped.
    pub(super) without: BTreeSet<ErasureId>,
}

/// Reads the state of the copies.
pub(super) async fn look(log: &Log, names: &MirrorNames, seen: &mut CopiesSeen) -> Copies {
    let mirrors = names.iter().map(|name| async move { (name.to_string(), log.mirror(name).await) });
    Copies { mirrors: join_all(mirrors).await, parked: log.erased_copies(&mut seen.read).await }
}

/// Deletes copies of parked events that are erased, and from each mirror what its stream no longer has. Returns the
/// state of the copies after that.
pub(super) async fn clean<'a>(
    log: &Log,
    names: &MirrorNames,
    rate: u32,
    lost: impl Fn(usize) -> &'a BTreeSet<Position>,
    seen: &mut CopiesSeen,
) -> (Copies, Result<(), Unavailable>) {
    let copies = look(log, names, seen).await;
    let cleaned = copies.clean(log, rate, lost, seen).await;
    let are_there = copies.parked.is_ok() && copies.mirrors.iter().all(|(_, mirror)| mirror.is_ok());
    seen.are_clean = are_there && matches!(cleaned, Ok(true));
    match cleaned {
        Ok(true) => (copies, Ok(())),
        cleaned => (look(log, names, seen).await, cleaned.map(drop)),
    }
}

impl Copies {
    /// Deletes, and returns whether nothing was left to delete.
    async fn clean<'a>(
        &self,
        log: &Log,
        rate: u32,
        lost: impl Fn(usize) -> &'a BTreeSet<Position>,
        seen: &mut CopiesSeen,
    ) -> Result<bool, Unavailable> {
        for (name, _) in &self.mirrors {
            seen.gone.entry(name.clone()).or_default();
        }
        let mirrors: BTreeMap<&String, &Mirror> =
            self.mirrors.iter().filter_map(|(name, mirror)| Some((name, mirror.as_ref().ok()?))).collect();
        let cleaned = seen.gone.iter_mut().filter_map(|(name, gone)| {
            let mirror = mirrors.get(name)?;
            Some(clean_mirror(log, mirror, rate, lost(mirror.origin), gone))
        });
        let (parked, cleaned) = join(clean_parked(log, rate, &self.parked), join_all(cleaned)).await;
        let mut is_clean = parked?;
        for cleaned in cleaned {
            is_clean &= cleaned?;
        }
        Ok(is_clean)
    }

    /// The streams of copies that may have had events of these streams of the log; `None` if a copy is unknown. A mirror
    /// in another JetStream domain has a Raft log, too, but the servers here do not report it.
    pub(super) fn streams_of(&self, origins: &BTreeSet<usize>) -> Option<Vec<String>> {
        let parked = self.parked.as_ref().ok()?;
        let mut streams: Vec<String> =
            parked.were_there.then(|| Log::COPIES.to_owned()).into_iter().collect();
        for (_, mirror) in &self.mirrors {
            let mirror = mirror.as_ref().ok()?;
            let is_of_these = origins.contains(&mirror.origin);
            streams.extend(mirror.at_home().filter(|_| is_of_these).map(str::to_owned));
        }
        Some(streams)
    }

    /// The copies that may still have some of these events, each with the reason.
    pub(super) async fn lacking(&self, listed: &[(usize, Vec<ErasedEvent>)]) -> BTreeMap<String, String> {
        if listed.iter().all(|(_, events)| events.is_empty()) {
            return BTreeMap::new();
        }
        let mirrors = self.mirrors.iter().map(|(name, mirror)| async move {
            let why = match mirror {
                Ok(mirror) => why_not(mirror, listed).await,
                Err(away) => Some(away.to_string()),
            };
            Some((name.clone(), why?))
        });
        let parked = match &self.parked {
            Ok(copies) if !copies.sequences.is_empty() => {
                Some("the stream still has copies of erased events".into())
            }
            Ok(copies) if !copies.replicas_follow => Some("a replica is offline or behind".into()),
            Ok(_) => None,
            Err(away) => Some(away.to_string()),
        };
        let parked = parked.map(|why| (Log::COPIES.to_owned(), why));
        join_all(mirrors).await.into_iter().flatten().chain(parked).collect()
    }
}

async fn clean_parked(
    log: &Log,
    rate: u32,
    parked: &Result<ErasedCopies, Unavailable>,
) -> Result<bool, Unavailable> {
    let Ok(ErasedCopies { sequences, .. }) = parked else { return Ok(true) };
    let mut pace = pace(rate);
    for copy in sequences.iter().take(AT_ONCE) {
        pace.tick().await;
        log.erase_copy(*copy).await?;
    }
    Ok(sequences.is_empty())
}

/// Deletes from one mirror. A position counts as gone only when a later read finds nothing there, not when the deletion
/// is acknowledged.
async fn clean_mirror(
    log: &Log,
    mirror: &Mirror,
    rate: u32,
    lost: &BTreeSet<Position>,
    gone: &mut BTreeSet<Position>,
) -> Result<bool, Unavailable> {
    if gone.len() == lost.len() || mirror.forbids().is_some() {
        return Ok(true);
    }
    let (mut pace, mut deleted) = (pace(rate), 0);
    let mut listed = log.erased_in(mirror.origin).await?;
    listed.retain(|event| lost.contains(&event.position) && !gone.contains(&event.position));
    for event in listed {
        if !mirror.has_reached(event.position) || deleted == AT_ONCE {
            return Ok(false);
        }
        if mirror.is_gone(event.position).await? {
            gone.insert(event.position);
            continue;
        }
        pace.tick().await;
        mirror.erase(&event).await?;
        deleted += 1;
    }
    Ok(deleted == 0)
}

/// Why a mirror may still have some of these events. An event that it has not reached may still be copied to it.
async fn why_not(mirror: &Mirror, listed: &[(usize, Vec<ErasedEvent>)]) -> Option<String> {
    let here = listed.iter().filter(|(stream, _)| *stream == mirror.origin);
    let positions: Vec<Position> = here.flat_map(|(_, events)| events).map(|event| event.position).collect();
    if !positions.iter().all(|position| mirror.has_reached(*position)) {
        return Some("the mirror is behind its stream".into());
    }
    if !positions.is_empty() && !mirror.replicas_follow() {
        return Some("a replica is offline or behind".into());
    }
    for position in positions {
        match mirror.is_gone(position).await {
            Ok(true) => {}
            Ok(false) => {
                return Some(mirror.forbids().unwrap_or_else(|| "the mirror still has erased events".into()));
            }
            Err(away) => return Some(away.to_string()),
        }
    }
    None
}
