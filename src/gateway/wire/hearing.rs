//! Tracks when a client was last heard, in order to find half-open sockets. A client does not count as silent while its
//! session works on a message, because nothing is read and the client's bytes wait in the kernel, nor while its session
//! begins, because a ping would wait behind the missed events.

use std::{
    sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    time::Duration,
};

use tokio::time::Instant;

/// When one socket last heard its client.
pub struct Hearing {
    pub(super) born: Instant,
    /// The second after `born` in which the last complete message was heard.
    heard: AtomicU32,
    /// One more than the second after `born` in which the unfinished message began; 0 if there is none.
    begun: AtomicU32,
    /// Whether the client does not count as silent at the moment.
    is_off: AtomicBool,
}

impl Hearing {
    pub(super) fn new(now: Instant) -> Self {
        Self { born: now, heard: AtomicU32::new(0), begun: AtomicU32::new(0), is_off: AtomicBool::new(false) }
    }

    /// The time since the last complete message, in whole seconds; zero while the clocks are stopped.
    pub fn idle_for(&self, now: Instant) -> Duration {
        if self.is_off.load(Relaxed) { Duration::ZERO } else { self.since(now, self.heard.load(Relaxed)) }
    }

    /// How long a message has been unfinished, in whole seconds; `None` if there is none, or while the clocks are
    /// stopped.
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

    /// Notes that a complete message has been heard.
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

    /// Stops the clocks until the returned value is dropped. After that, the client has its full time again.
    pub(in crate::gateway) fn off(&self) -> Off<'_> {
        self.is_off.store(true, Relaxed);
        Off(self)
    }
}

/// A period in which the client does not count as silent.
pub(in crate::gateway) struct Off<'a>(&'a Hearing);

impl Drop for Off<'_> {
    fn drop(&mut self) {
        // The clocks are reset before the client can count as silent again. In the other order, the sweep could mistake
        // the time of the work for silence and close the socket.
        self.0.note_heard();
        if self.0.begun.load(Relaxed) > 0 {
            self.0.begun.store(self.0.age() + 1, Relaxed);
        }
        self.0.is_off.store(false, Relaxed);
    }
}
