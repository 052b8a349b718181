//! The holes of a stream. A consumer with filters and a direct get pass over one without a word, so what
//! was read counts only if the leader of the stream, asked *afterwards*, has no hole there. Whoever wants
//! to know at the same time shares one request.
//!
//! This sees what is missing at the leader. A copy that is damaged on another server is noticed by the
//! followers alone, which see every position and read again elsewhere.

use std::{
    fmt,
    ops::RangeInclusive,
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
    log::{Damaged, Log, Unavailable, streams::layout},
    telemetry::METRICS,
};

/// The most positions that the server is asked to list.
const MOST_LISTED: u64 = 10_000;
/// How long an answer of the leader is tried for. Until another one is elected takes about as long.
const PATIENCE: Duration = Duration::from_secs(5);
/// From then on it is asked again: it may be another one by now.
const SILENCE: Duration = Duration::from_secs(1);
/// How long to wait before it is asked again.
const PAUSE: Duration = Duration::from_millis(50);
/// How often a hole is complained of at most.
const COMPLAINT: Duration = Duration::from_secs(1);

/// Why something was not read again.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NotRead {
    /// Something is missing there for good.
    #[error(transparent)]
    Damaged(#[from] Damaged),
    /// Not now.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl From<NotRead> for Unavailable {
    fn from(e: NotRead) -> Self {
        match e {
            NotRead::Damaged(damaged) => Self::because(damaged),
            NotRead::Unavailable(e) => e,
        }
    }
}

/// What one stream was seen to have when its leader was last asked.
#[derive(Default)]
pub(in crate::log) struct Seen(tokio::sync::Mutex<Option<(Instant, Result<Extent, Unavailable>)>>);

/// What a stream has.
#[derive(Debug, Clone)]
pub(in crate::log) struct Extent {
    pub(in crate::log) last: Position,
    /// Where nothing is, in order. No hole is explained by anything yet; an erasure that is recorded in
    /// the log will take its positions out of this.
    holes: Arc<[RangeInclusive<Position>]>,
}

/// Positions of a stream at which there is nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hole {
    stream: String,
    first: Position,
    last: Position,
}

impl Hole {
    /// One position of a stream.
    #[cfg(test)]
    pub(crate) fn at(stream: usize, position: Position) -> Self {
        Self { stream: layout::name(stream), first: position, last: position }
    }
}

impl fmt::Display for Hole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stream, first, last } = self;
        match first == last {
            true => write!(f, "{stream} has no event at {first}"),
            false => write!(f, "{stream} has no events from {first} to {last}"),
        }
    }
}

#[derive(Deserialize)]
struct Info {
    state: State,
}

#[derive(Debug, Default, Deserialize)]
struct State {
    messages: u64,
    first_seq: u64,
    last_seq: u64,
    #[serde(default)]
    deleted: Vec<u64>,
}

impl State {
    /// A stream without a hole has as many messages as its last position says.
    fn missing(&self) -> u64 {
        self.last_seq.saturating_sub(self.messages)
    }

    /// Where nothing is. If it is not told of each position, none is relied upon.
    fn holes(&self) -> Vec<RangeInclusive<Position>> {
        if self.missing() == 0 {
            return Vec::new();
        }
        let whole = 1..=self.last_seq;
        let first = if self.messages == 0 { self.last_seq + 1 } else { self.first_seq };
        let mut listed: Vec<u64> =
            self.deleted.iter().copied().filter(|at| *at >= first && whole.contains(at)).collect();
        listed.sort_unstable();
        listed.dedup();
        let before = first.saturating_sub(1);
        if before + listed.len() as u64 != self.missing() {
            return vec![Position(1)..=Position(self.last_seq)];
        }
        let mut holes: Vec<RangeInclusive<Position>> = Vec::new();
        holes.extend((before > 0).then_some(Position(1)..=Position(before)));
        for at in listed {
            match holes.last_mut() {
                Some(hole) if hole.end().0 + 1 == at => *hole = *hole.start()..=Position(at),
                _ => holes.push(Position(at)..=Position(at)),
            }
        }
        holes
    }
}

impl Extent {
    /// The first position with nothing behind one and up to another.
    fn first_hole(&self, after: Position, upto: Position) -> Option<Position> {
        let next = Position(after.0 + 1);
        let hole = self.holes.iter().find(|hole| *hole.end() > after)?;
        Some(next.max(*hole.start())).filter(|first| *first <= upto)
    }
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
        let deadline = Instant::now() + PATIENCE;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn holes(state: &State) -> Vec<(u64, u64)> {
        state.holes().iter().map(|hole| (hole.start().0, hole.end().0)).collect()
    }

    #[test]
    fn a_stream_with_as_many_messages_as_positions_has_no_hole() {
        assert_eq!(holes(&State::default()), []);
        assert_eq!(holes(&State { messages: 9, first_seq: 1, last_seq: 9, deleted: Vec::new() }), []);
    }

    #[test]
    fn holes_are_before_the_first_message_between_two_and_behind_the_last() {
        let deleted = vec![9, 5, 6, 12];
        let state = State { messages: 6, first_seq: 3, last_seq: 12, deleted };
        assert_eq!(holes(&state), [(1, 2), (5, 6), (9, 9), (12, 12)]);
        let emptied = State { messages: 0, first_seq: 13, last_seq: 12, deleted: Vec::new() };
        assert_eq!(holes(&emptied), [(1, 12)]);
    }

    #[test]
    fn if_not_every_missing_position_is_told_none_is_relied_upon() {
        let state = State { messages: 5, first_seq: 1, last_seq: 9, deleted: vec![4, 5, 6] };
        assert_eq!(holes(&state), [(1, 9)]);
    }

    #[test]
    fn a_hole_counts_for_those_who_have_read_over_it() {
        let hole = |first, last| Position(first)..=Position(last);
        let extent = Extent { last: Position(20), holes: [hole(1, 2), hole(7, 9)].into() };
        let first = |after, upto| extent.first_hole(Position(after), Position(upto)).map(|at| at.0);
        assert_eq!(first(0, 20), Some(1));
        assert_eq!(first(2, 6), None, "before it");
        assert_eq!(first(2, 7), Some(7));
        assert_eq!(first(8, 20), Some(9), "begun in the middle of it");
        assert_eq!(first(9, 20), None, "behind it");
    }
}
