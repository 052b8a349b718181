//! The check for holes. A consumer with filters and a direct get skip a hole silently, so their result counts only if
//! the leader of the stream, asked *afterwards*, has no hole in the range that no erasure explains. An answer from
//! before the read would prove nothing: the hole might appear in between. Concurrent callers share one request.
//!
//! The check sees the holes of the leader. Only followers notice a damaged copy on another server, because they see
//! every position and read again elsewhere.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_nats::jetstream::response::Response;
use futures_util::future::try_join_all;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::{
    domain::Position,
    log::{
        Damaged, Log, Unavailable,
        memory::holes::{Extent, Hole, State},
        streams::layout,
    },
    telemetry::METRICS,
};

/// The most listed positions that are looked at, one by one, before the leader lists all its holes.
const MOST_PROBED: usize = 64;
/// The positions that are looked at together.
const PROBES: usize = 8;
/// How often the leader is asked for the number of its missing positions meanwhile.
const LOOKS: usize = 3;
/// How long we keep asking the leader. The election of another leader takes about as long.
const LEADER_WITHIN: Duration = Duration::from_secs(5);
/// What is told of a leader that has not answered for so long.
const SILENT: &str = "the leader of a stream does not answer";
/// A leader that is silent for this long is asked again: another server may lead by now.
const SILENCE: Duration = Duration::from_secs(1);
/// The wait before the next request.
const PAUSE: Duration = Duration::from_millis(50);
/// The shortest time between two log lines about holes.
const COMPLAINT: Duration = Duration::from_secs(1);

#[derive(Deserialize)]
struct Info {
    state: State,
    #[serde(default)]
    cluster: Option<Cluster>,
}

#[derive(Deserialize)]
struct Cluster {
    #[serde(default)]
    leader: Option<String>,
}

impl Info {
    fn leader(&self) -> Option<&str> {
        self.cluster.as_ref()?.leader.as_deref()
    }
}

impl Log {
    /// The first hole of the first stream that has one. The leaders are asked, so a process that has read no event
    /// finds it, too.
    pub async fn first_hole(&self) -> Result<Option<Hole>, Unavailable> {
        let holes = try_join_all((0..self.layout.streams).map(|stream| self.hole_of(stream))).await?;
        Ok(holes.into_iter().flatten().next())
    }

    /// The first hole of a stream.
    pub(in crate::log) async fn hole_of(&self, stream: usize) -> Result<Option<Hole>, Unavailable> {
        let extent = self.extent(stream).await?;
        let hole = extent.holes.first().map(|hole| (*hole.start(), *hole.end()));
        Ok(hole.map(|(first, last)| Hole { stream: layout::name(stream), first, last }))
    }

    /// The damage of a stream after `after`, up to and including `upto`. `None` proves that everything that was read in
    /// that range before this call is complete.
    pub(in crate::log) async fn damage(
        &self,
        stream: usize,
        after: Position,
        upto: Position,
    ) -> Result<Option<Damaged>, Unavailable> {
        if after >= upto {
            return Ok(None);
        }
        let extent = self.extent(stream).await?;
        Ok(self.damage_of(stream, &extent, after, upto))
    }

    /// The same, with an extent that the caller has requested after its read.
    pub(in crate::log) fn damage_of(
        &self,
        stream: usize,
        extent: &Extent,
        after: Position,
        upto: Position,
    ) -> Option<Damaged> {
        let hole = extent.first_hole(after, upto)?;
        let stream = layout::name(stream);
        complain(&stream, hole);
        let last = Position(hole.0 - 1);
        Some(Damaged { stream, last, why: format!("there is no event at {hole}") })
    }

    /// The extent of a stream, as its leader reports it *after* this call begins. An answer to an earlier request is
    /// not good enough: the leader may have written it before the caller's read.
    pub(in crate::log) async fn extent(&self, stream: usize) -> Result<Extent, Unavailable> {
        let wanted = Instant::now();
        let mut seen = self.seen[stream].0.lock().await;
        if let Some((asked, extent)) = &*seen
            && *asked >= wanted
        {
            return extent.clone();
        }
        let asked = Instant::now();
        let extent = self.ask_for_extent(stream).await;
        if let Ok(extent) = &extent {
            self.windows[stream].note(asked, extent.last);
        }
        *seen = Some((asked, extent.clone()));
        extent
    }

    async fn ask_for_extent(&self, stream: usize) -> Result<Extent, Unavailable> {
        let erased = self.erased(stream);
        let mut deadline = Instant::now() + LEADER_WITHIN;
        loop {
            let read = erased.read();
            let lacking = match timeout_at(deadline, self.extent_by_leader(stream)).await {
                Ok(Ok(extent)) => return Ok(extent),
                Ok(Err(e)) => e,
                Err(_) => Unavailable::because(SILENT),
            };
            // Reading the entries of many erasures for the first time may take longer, and is no silence.
            if erased.read() > read {
                deadline = Instant::now() + LEADER_WITHIN;
            }
            if Instant::now() + PAUSE >= deadline {
                return Err(lacking);
            }
            sleep(PAUSE).await;
        }
    }

    async fn extent_by_leader(&self, stream: usize) -> Result<Extent, Unavailable> {
        let erased = self.erased(stream);
        self.know_erasures(stream).await?;
        let mut info = self.ask_for_info(stream).await?;
        // While an eraser works, the number of missing positions changes all the time. The complete list would be
        // megabytes, so the positions that the eraser has probably deleted are looked at first.
        let unexplained = |info: &Info| erased.unexplained_of(info.leader(), info.state.missing());
        for _ in 0..LOOKS {
            let few = unexplained(&info).filter(|count| (1..=MOST_PROBED as u64).contains(count));
            let Some(wanted) = few else { break };
            if !self.find_gone(stream, wanted).await? {
                break;
            }
            info = self.ask_for_info(stream).await?;
        }
        let last = |info: &Info| Position(info.state.last_seq);
        if info.state.missing() == 0 || unexplained(&info) == Some(0) {
            return Ok(Extent { last: last(&info), holes: Arc::default() });
        }
        // The server does not list the missing positions before the first message.
        let before = info.state.first_seq.saturating_sub(1);
        if info.state.missing() > before {
            info = self.request_info(stream, &json!({ "deleted_details": true })).await?;
        }
        let all = info.state.holes();
        let mut holes = erased.unexplained(&all);
        // An erasure is in the log before its positions are emptied, so asking now finds it.
        if !holes.is_empty() {
            self.learn_erasures(stream).await?;
            holes = erased.unexplained(&holes);
        }
        if holes.is_empty() {
            erased.note_explained(info.leader().map(str::to_owned), info.state.missing(), &all);
        }
        Ok(Extent { last: last(&info), holes: holes.into() })
    }

    /// Looks for this many listed positions that the leader has lost since its holes were explained. `false` if it does
    /// not find them.
    async fn find_gone(&self, stream: usize, wanted: u64) -> Result<bool, Unavailable> {
        let erased = self.erased(stream);
        let mut found = 0;
        for some in erased.next_gone(MOST_PROBED).chunks(PROBES) {
            let are_gone = try_join_all(some.iter().map(|at| self.is_gone(stream, *at))).await?;
            for (position, _) in some.iter().zip(are_gone).filter(|(_, is_gone)| *is_gone) {
                erased.note_gone(*position);
                found += 1;
            }
            if found >= wanted {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn ask_for_info(&self, stream: usize) -> Result<Info, Unavailable> {
        let asked = timeout(SILENCE, self.request_info(stream, &json!({}))).await;
        asked.unwrap_or_else(|_| Err(Unavailable::because(SILENT)))
    }

    async fn request_info(&self, stream: usize, how: &Value) -> Result<Info, Unavailable> {
        let subject = format!("STREAM.INFO.{}", layout::name(stream));
        match self.jetstream.request(subject, how).await.map_err(Unavailable::because)? {
            Response::Ok(info) => Ok(info),
            Response::Err { error } => Err(Unavailable::because(error)),
        }
    }
}

fn complain(stream: &str, hole: Position) {
    static NEXT: Mutex<Option<Instant>> = Mutex::new(None);
    METRICS.refused_reads.inc();
    let mut next = NEXT.lock().unwrap_or_else(PoisonError::into_inner);
    let now = Instant::now();
    if next.is_none_or(|next| now >= next) {
        *next = Some(now + COMPLAINT);
        tracing::error!(
            stream,
            position = %hole,
            "refused a read: the log is damaged; see deploy/DISASTERS.md"
        );
    }
}
