//! When a client was last heard, so that a half-open socket is found. A client counts as silent only
//! while somebody listens: a session that works on a message reads nothing, and what the client sends
//! meanwhile waits in the kernel.

use std::{
    sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    time::Duration,
};

use tokio::time::Instant;

/// What one socket has heard of its client.
pub struct Hearing {
    pub(super) born: Instant,
    /// Seconds after `born` when a complete message was last heard.
    heard: AtomicU32,
    /// One more than the seconds after `born` when the unfinished message began; 0 without one.
    begun: AtomicU32,
    /// Nobody reads the socket at present: its task works on a message.
    is_off: AtomicBool,
}

impl Hearing {
    pub(super) fn new(now: Instant) -> Self {
        Self { born: now, heard: AtomicU32::new(0), begun: AtomicU32::new(0), is_off: AtomicBool::new(false) }
    }

    /// How long no complete message has been heard although somebody listened, in whole seconds.
    pub fn idle_for(&self, now: Instant) -> Duration {
        if self.is_off.load(Relaxed) { Duration::ZERO } else { self.since(now, self.heard.load(Relaxed)) }
    }

    /// How long a message has been begun and not finished, in whole seconds; `None` without one.
    pub fn stalled_for(&self, now: Instant) -> Option<Duration> {
        if self.is_off.load(Relaxed) {
            return None;
        }
        self.begun.load(Relaxed).checked_sub(1).map(|begun| self.since(now, begun))
    }

    fn since(&self, now: Instant, seconds: u32) -> Duration {
        let age = now.saturating_duration_since(self.born).as_secs();
        Duration::from_secs(age.saturating_sub(u64::from(seconds)))
    }

    fn age(&self) -> u32 {
        u32::try_from(self.born.elapsed().as_secs()).unwrap_or(u32::MAX - 1)
    }

    /// Notes a complete message.
    pub(super) fn note_heard(&self) {
        self.heard.store(self.age(), Relaxed);
    }

    /// Notes whether a message is unfinished.
    pub(super) fn note_unfinished(&self, unfinished: bool) {
        match (unfinished, self.begun.load(Relaxed)) {
            (true, 0) => self.begun.store(self.age() + 1, Relaxed),
            (false, 1..) => self.begun.store(0, Relaxed),
            _ => {}
        }
    }

    /// Nobody reads the socket while the answer lives. When it is dropped, the client has all its time
    /// again.
    pub(super) fn off(&self) -> Off<'_> {
        self.is_off.store(true, Relaxed);
        Off(self)
    }
}

/// A time in which nobody reads the socket.
pub(super) struct Off<'a>(&'a Hearing);

impl Drop for Off<'_> {
    fn drop(&mut self) {
        // Listening counts again only after the clocks are set anew: in the other order the sweep could
        // take the time of the work for silence and close the socket.
        self.0.note_heard();
        if self.0.begun.load(Relaxed) > 0 {
            self.0.begun.store(self.0.age() + 1, Relaxed);
        }
        self.0.is_off.store(false, Relaxed);
    }
}
