//! The zip on its way to a client: pieces in a queue of two, no faster than the client takes them and than the speed
//! limit allows.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{
    sync::{
        mpsc::{self, error::SendTimeoutError},
        watch,
    },
    time::{Instant, sleep, sleep_until},
};

use super::{
    error::ExportError,
    zipped::{Zipped, ZippedFile},
};
use crate::{
    domain::{LoginId, Time, UserId},
    live::Revoked,
    overload::{Overload, WorkKind},
};

/// The most bytes a second of a download, before compression.
pub(crate) const BYTES_PER_SECOND: u64 = 10_000_000;
/// The bytes after which a piece is handed to the client.
const PIECE: usize = 64 << 10;
/// The number of pieces that wait for the client.
const PIECES: usize = 2;
/// How long a client may take for a piece. A node sends one download at a time, so a client that reads nothing must not
/// keep the place.
const TAKEN_WITHIN: Duration = Duration::from_secs(30);
/// The shortest wait for the speed limit.
const WORTH_A_WAIT: Duration = Duration::from_millis(10);
/// How long an overloaded node waits before it checks again whether the download may continue.
const REST: Duration = Duration::from_millis(500);

/// A piece of the zip.
pub(super) enum Piece {
    /// The next bytes.
    Bytes(Bytes),
    /// The end of the zip.
    End,
}

/// The reasons to end a download early.
pub(super) struct Bounds {
    pub(super) user: UserId,
    pub(super) login: LoginId,
    pub(super) revoked: Arc<Revoked>,
    pub(super) overload: Overload,
    pub(super) stopping: watch::Receiver<bool>,
    pub(super) deadline: Duration,
}

/// The zip on its way to a client.
pub(super) struct Sending {
    zipped: Zipped,
    pieces: mpsc::Sender<Piece>,
    pub(super) bounds: Bounds,
    pace: Pace,
    /// The bytes of all files so far, before compression.
    bytes: u64,
}

impl Sending {
    /// A zip whose files have this time, and the queue from which a client takes it.
    pub(super) fn new(time: Time, bounds: Bounds) -> (Self, mpsc::Receiver<Piece>) {
        let (pieces, taken) = mpsc::channel(PIECES);
        let pace = Pace { next: Instant::now() };
        (Self { zipped: Zipped::at(time), pieces, bounds, pace, bytes: 0 }, taken)
    }

    /// Ends when the rest is no longer wanted: the client has disconnected, or this process stops.
    pub(super) fn is_unwanted(&self) -> impl Future<Output = ()> + use<> {
        let (pieces, mut stopping) = (self.pieces.clone(), self.bounds.stopping.clone());
        async move {
            tokio::select! {
                () = pieces.closed() => {}
                _ = stopping.wait_for(|stopping| *stopping) => {}
            }
        }
    }

    /// Refuses to continue when the login or the account has ended. An overloaded node waits.
    pub(super) async fn may_go_on(&self) -> Result<(), ExportError> {
        let Bounds { user, login, revoked, overload, .. } = &self.bounds;
        loop {
            if revoked.has_ended(*user, *login) {
                return Err(ExportError::Over);
            }
            if !overload.level().refuses(WorkKind::Search) {
                return Ok(());
            }
            sleep(REST).await;
        }
    }

    /// Begins a file.
    pub(super) fn begin(&mut self, name: &str, may_be_large: bool) -> Result<(), ExportError> {
        Ok(self.zipped.begin(name, may_be_large)?)
    }

    /// Writes into the current file.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), ExportError> {
        for part in bytes.chunks(PIECE) {
            self.zipped.write(part)?;
            self.bytes += part.len() as u64;
            self.pace.let_go(part.len() as u64).await;
            if self.zipped.waiting() >= PIECE {
                self.may_go_on().await?;
                let piece = Piece::Bytes(self.zipped.take());
                give(&self.pieces, piece).await?;
            }
        }
        Ok(())
    }

    /// Ends the current file.
    pub(super) fn end(&mut self) -> Option<ZippedFile> {
        self.zipped.end()
    }

    /// Ends the zip, and returns the number of bytes of all files.
    pub(super) async fn finish(self) -> Result<u64, ExportError> {
        let Self { zipped, pieces, bytes, .. } = self;
        give(&pieces, Piece::Bytes(zipped.finish()?)).await?;
        give(&pieces, Piece::End).await?;
        Ok(bytes)
    }
}

/// The speed limit.
struct Pace {
    /// When the limit allows the next bytes.
    next: Instant,
}

impl Pace {
    /// Waits until the limit allows the next bytes, once the wait is long enough: a line takes less time than the clock
    /// can measure, and a wait for each line would be many times slower than the limit. A client that was slow may not
    /// catch up above the limit.
    async fn let_go(&mut self, bytes: u64) {
        let (now, takes) = (Instant::now(), Duration::from_nanos(bytes * 1_000_000_000 / BYTES_PER_SECOND));
        self.next = self.next.max(now) + takes;
        if self.next - now >= WORTH_A_WAIT {
            sleep_until(self.next).await;
        }
    }
}

async fn give(to: &mpsc::Sender<Piece>, piece: Piece) -> Result<(), ExportError> {
    match to.send_timeout(piece, TAKEN_WITHIN).await {
        Ok(()) => Ok(()),
        Err(SendTimeoutError::Closed(_)) => Err(ExportError::Abandoned),
        Err(SendTimeoutError::Timeout(_)) => Err(ExportError::NotTaken),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long lines of this many bytes take, by a clock that advances only while a task waits for it.
    async fn takes(lines: usize, bytes: u64) -> Duration {
        let begun = Instant::now();
        let mut pace = Pace { next: begun };
        for _ in 0..lines {
            pace.let_go(bytes).await;
        }
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_loses_its_place() {
        let (pieces, mut taken) = mpsc::channel(PIECES);
        for _ in 0..PIECES {
            give(&pieces, Piece::End).await.expect("there is room");
        }
        let begun = Instant::now();
        assert!(matches!(give(&pieces, Piece::End).await, Err(ExportError::NotTaken)));
        assert_eq!(begun.elapsed(), TAKEN_WITHIN);
        taken.recv().await.expect("a piece");
        give(&pieces, Piece::End).await.expect("there is room again");
        drop(taken);
        assert!(matches!(give(&pieces, Piece::End).await, Err(ExportError::Abandoned)));
    }

    #[tokio::test(start_paused = true)]
    async fn short_lines_are_as_fast_as_the_limit_and_long_ones_no_faster() {
        for (lines, bytes) in [(20_000, 500), (153, 65_536)] {
            let took = takes(lines, bytes).await;
            let right = Duration::from_millis(980)..Duration::from_millis(1_100);
            assert!(right.contains(&took), "10 MB in lines of {bytes} bytes took {took:?}");
        }
    }
}
