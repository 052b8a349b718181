//! The holes of a stream. A consumer with filters and a direct get pass over one without a word, so what
//! was read counts only if the leader of the stream, asked *afterwards*, has no hole there. Whoever wants
//! to know at the same time shares one request.
//!
//! This sees what is missing at the leader. A copy that is damaged on another server is noticed by the
//! followers alone, which see every position and read again elsewhere.

use std::{
    sync::{Mutex, PoisonError},
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

/// The most positions that the server is asked to list.
const MOST_LISTED: u64 = 10_000;
/// How long an answer of the leader is tried for. Until another one is elected takes about as long.
const LEADER_WITHIN: Duration = Duration::from_secs(5);
/// From then on it is asked again: it may be another one by now.
const SILENCE: Duration = Duration::from_secs(1);
/// How long to wait before it is asked again.
const PAUSE: Duration = Duration::from_millis(50);
/// How often a hole is complained of at most.
const COMPLAINT: Duration = Duration::from_secs(1);

#[derive(Deserialize)]
struct Info {
    state: State,
}

impl Log {
    /// The first hole of the first stream that has one. As it is asked of the streams themselves, it is
    /// found also by a process that has read nothing.
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

    /// Says how a stream is damaged behind a position and up to another, if it is. What was read there
    /// before this was asked lacks nothing if it is not.
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

    /// The same where it has been asked already what the stream has.
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

    /// What a stream has, as its leader says after this was called: a request that was under way before
    /// may have been answered before.
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
        let deadline = Instant::now() + LEADER_WITHIN;
        let mut lacking = Unavailable::because("the leader of a stream does not answer");
        let asked = async {
            loop {
                match timeout(SILENCE, self.state(stream)).await {
                    Ok(Ok(state)) => return state,
                    Ok(Err(e)) => lacking = e,
                    Err(_) => continue,
                }
                sleep(PAUSE).await;
            }
        };
        match timeout_at(deadline, asked).await {
            Ok(state) => Ok(Extent { last: Position(state.last_seq), holes: state.holes().into() }),
            Err(_) => Err(lacking),
        }
    }

    async fn state(&self, stream: usize) -> Result<State, Unavailable> {
        let state = self.ask_for_state(stream, &json!({})).await?;
        // The server skips what is missing before the first message.
        let listed = state.missing().saturating_sub(state.first_seq.saturating_sub(1));
        if listed == 0 || listed > MOST_LISTED {
            return Ok(state);
        }
        self.ask_for_state(stream, &json!({ "deleted_details": true })).await
    }

    async fn ask_for_state(&self, stream: usize, how: &Value) -> Result<State, Unavailable> {
        let subject = format!("STREAM.INFO.{}", layout::name(stream));
        match self.jetstream.request(subject, how).await.map_err(Unavailable::because)? {
            Response::Ok(Info { state }) => Ok(state),
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
            "a read was refused: the log is damaged; see \"Disasters\" in deploy/README.md"
        );
    }
}
