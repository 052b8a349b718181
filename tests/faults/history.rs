//! What was observed in a run, and nothing that was concluded: a plain list of values, in the order
//! in which each observer saw them. One line of JSON for each, to be looked at later.

use std::{
    io::{BufWriter, Write as _},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use serde::Serialize;
use verbatim::domain::{ConversationId, MessageId, UserId};

/// A device of a user: what it is given, over all its sockets, is one feed.
pub type Device = usize;

/// The sockets of a run are numbered.
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
    /// Somebody begins to send a message.
    Sent { key: Key, text: String },
    /// One attempt was answered: it is stored.
    Acknowledged { key: Key, position: u64, message_id: MessageId, body: Option<u64> },
    /// One attempt was refused for good.
    Refused { key: Key, status: u16, code: String },
    /// One attempt had no answer, or the answer that nobody knows.
    Unknown { key: Key, why: String },
    /// Somebody asks for the erasure of a message that was acknowledged.
    Forget { key: Key, position: u64 },
    /// What the receipt of an erasure says when no fault is left, and what REST shows of the message then.
    Forgotten { key: Key, position: u64, state: String, left: String },
    /// Somebody asks for the erasure of their account, together with all that they have said.
    ForgetAccount { user: UserId, name: String },
    /// What the receipt of that says when no fault is left, whether the name and the password still let anybody in, and what REST
    /// shows of the user and of the messages.
    ForgottenAccount { user: UserId, state: String, is_let_in: bool, shown: Vec<String> },
    /// Somebody asks for a change of membership.
    Asked { by: UserId, conversation: ConversationId, user: UserId, change: Change },
    /// A change of membership was answered with success.
    Changed { by: UserId, conversation: ConversationId, user: UserId, change: Change },
    /// A receipt was acknowledged.
    Read { user: UserId, conversation: ConversationId, position: u64 },
    /// How far somebody has got, as REST answered.
    Watermarks { by: UserId, conversation: ConversationId, user: UserId, delivered: u64, read: u64 },
    /// `ready`: a session has begun; with a cursor if it goes on from an earlier one.
    Ready {
        device: Device,
        user: UserId,
        socket: Socket,
        node: usize,
        with_cursor: bool,
        heads: Vec<(ConversationId, u64)>,
    },
    /// `event`. `digest` is of all that it says besides its position.
    Frame { socket: Socket, conversation: ConversationId, position: u64, previous: u64, digest: u64 },
    /// `heartbeat`, if it names heads.
    Heads { socket: Socket, heads: Vec<(ConversationId, u64)> },
    /// `caught_up`: so long after `hello`.
    CaughtUp { socket: Socket, millis: u64 },
    /// `reset`.
    Reset { socket: Socket, reason: String },
    /// A socket ended: with the server's close code, or without.
    Ended { device: Device, socket: Socket, node: usize, code: Option<u16>, why: String },
    /// A server answered what it must never answer.
    Blunder { by: UserId, what: String },
    /// Somebody who means harm has filled a connection until it ended.
    Flooded { flood: String, code: Option<u16> },
    /// An attempt at a fault that nobody felt.
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

/// Where everybody writes down what they see. Cheap to clone.
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

    /// How many observations since a time are of a kind.
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

/// Keeps a history for later.
pub fn write(entries: &[Entry], to: &Path) -> std::io::Result<()> {
    let mut file = BufWriter::new(std::fs::File::create(to)?);
    for entry in entries {
        serde_json::to_writer(&mut file, entry)?;
        file.write_all(b"\n")?;
    }
    file.flush()
}
