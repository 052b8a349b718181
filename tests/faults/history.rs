//! The observations of a run, without conclusions: a plain list of values, in the order in which each observer
//! saw them. Each becomes one line of JSON for later analysis.

use std::{
    io::{BufWriter, Write as _},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use serde::Serialize;
use verbatim::domain::{ConversationId, MessageId, UserId};

/// A device of a user. All that it receives, over all its sockets, is one feed.
pub type Device = usize;

/// The number of a socket in a run.
pub type Socket = usize;

/// One observation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    /// Milliseconds since the run began.
    pub at: u64,
    #[serde(flatten)]
    pub what: What,
}

/// A message by its sender's idempotency key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Key {
    pub user: UserId,
    pub conversation: ConversationId,
    pub client_id: String,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "seen", rename_all = "snake_case")]
pub enum What {
    /// A user begins to send a message.
    Sent { key: Key, text: String },
    /// One attempt was acknowledged: the message is stored.
    Acknowledged { key: Key, position: u64, message_id: MessageId, body: Option<u64> },
    /// One attempt was refused for good.
    Refused { key: Key, status: u16, code: String },
    /// One attempt had no answer, or an answer that the outcome is unknown.
    Unknown { key: Key, why: String },
    /// The erasure of an acknowledged message is requested.
    Forget { key: Key, position: u64 },
    /// The state in the receipt of an erasure when no fault is left, and what REST then shows of the message.
    Forgotten { key: Key, position: u64, state: String, left: String },
    /// A user requests the erasure of their account with all messages.
    ForgetAccount { user: UserId, name: String },
    /// The state in the receipt of such an erasure when no fault is left, whether a login with the name and the
    /// password still succeeds, and what REST shows of the user and the messages.
    ForgottenAccount { user: UserId, state: String, is_let_in: bool, shown: Vec<String> },
    /// A change of membership is requested.
    Asked { by: UserId, conversation: ConversationId, user: UserId, change: Change },
    /// A change of membership was answered with success.
    Changed { by: UserId, conversation: ConversationId, user: UserId, change: Change },
    /// A receipt was acknowledged.
    Read { user: UserId, conversation: ConversationId, position: u64 },
    /// The watermarks of a user in an answer of REST.
    Watermarks { by: UserId, conversation: ConversationId, user: UserId, delivered: u64, read: u64 },
    /// `ready`: a session has begun, with a cursor if it resumes an earlier one.
    Ready {
        device: Device,
        user: UserId,
        socket: Socket,
        node: usize,
        with_cursor: bool,
        heads: Vec<(ConversationId, u64)>,
    },
    /// `event`. `digest` is over its content without the position.
    Frame { socket: Socket, conversation: ConversationId, position: u64, previous: u64, digest: u64 },
    /// `heartbeat`, if it names heads.
    Heads { socket: Socket, heads: Vec<(ConversationId, u64)> },
    /// `caught_up`, and the time since `hello`.
    CaughtUp { socket: Socket, millis: u64 },
    /// `reset`.
    Reset { socket: Socket, reason: String },
    /// A socket ended, with or without a close code from the server.
    Ended { device: Device, socket: Socket, node: usize, code: Option<u16>, why: String },
    /// A server gave an answer that it must never give.
    Blunder { by: UserId, what: String },
    /// An attacker has flooded a connection until it ended.
    Flooded { flood: String, code: Option<u16> },
    /// An attempt at a fault that had no effect.
    InVain { kind: String },
    /// A fault that is over.
    Fault { kind: String, target: String, began: u64, healed: u64, effect: Option<String> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    Add,
    Remove,
}

/// The place where all observers record their observations. Cheap to clone.
#[derive(Clone)]
pub struct History {
    began: Instant,
    entries: Arc<Mutex<Vec<Entry>>>,
}

impl History {
    pub fn begin() -> Self {
        Self { began: Instant::now(), entries: Arc::default() }
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Milliseconds since the run began.
    pub fn now(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    pub fn note(&self, what: What) {
        let mut entries = self.entries();
        let at = self.now();
        entries.push(Entry { at, what });
    }

    /// The number of observations of a kind since a time.
    pub fn count_since(&self, at: u64, of: impl Fn(&What) -> bool) -> usize {
        let entries = self.entries();
        entries.iter().rev().take_while(|entry| entry.at >= at).filter(|entry| of(&entry.what)).count()
    }

    /// The longest time since `at` in which nothing of a kind was observed, in milliseconds.
    pub fn longest_without(&self, at: u64, of: impl Fn(&What) -> bool) -> u64 {
        let entries = self.entries();
        let (mut later, mut longest) = (self.now(), 0);
        for entry in entries.iter().rev().take_while(|entry| entry.at >= at).filter(|entry| of(&entry.what)) {
            longest = longest.max(later - entry.at);
            later = entry.at;
        }
        longest.max(later.saturating_sub(at))
    }

    /// The messages that were acknowledged, with their positions.
    pub fn acknowledged(&self) -> Vec<(Key, u64)> {
        let stored = |entry: &Entry| match &entry.what {
            What::Acknowledged { key, position, .. } => Some((key.clone(), *position)),
            _ => None,
        };
        self.entries().iter().filter_map(stored).collect()
    }

    pub fn take(&self) -> Vec<Entry> {
        std::mem::take(&mut *self.entries())
    }
}

/// Writes a history to a file.
pub fn write(entries: &[Entry], to: &Path) -> std::io::Result<()> {
    let mut file = BufWriter::new(std::fs::File::create(to)?);
    for entry in entries {
        serde_json::to_writer(&mut file, entry)?;
        file.write_all(b"\n")?;
    }
    file.flush()
}
