//! What the server says in `verbatim.v1`: JSON text, one object each, `op` first.

use bytes::Bytes;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::{
    domain::{ConversationId, Epoch, EventId, MessageId, Position, Status, Text, Time, UserId},
    gateway::{
        frames::client::{CURSOR, FrameId},
        wire::{budget::FRAMES, limits, websocket},
    },
    log::Recorded,
};

/// The most conversations that one frame names; it stays below 36 KB.
pub const HEADS: usize = 500;

/// What the server sends.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum ServerFrame<'a> {
    /// The session has begun: from here on every event is delivered.
    Ready {
        /// The id of the `hello` that is answered.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a FrameId>,
        /// This session.
        #[schemars(example = "01930f3d-1122-7f33-8a44-b566c778d899")]
        session_id: Uuid,
        /// Whose it is.
        user_id: UserId,
        /// The life of the log; positions of another one mean nothing.
        epoch: &'a Epoch,
        /// Where to go on from after a disconnect.
        #[schemars(example = CURSOR)]
        cursor: String,
        /// Conversations of the user that are wanted, with the last position of each: at most 500.
        conversations: &'a [Head],
        /// There are more: they follow in frames `conversations`, before any event.
        #[schemars(example = false)]
        more: bool,
        /// A `heartbeat` comes at least so often, in milliseconds.
        #[schemars(example = 25_000)]
        heartbeat_ms: u64,
        /// What is accepted.
        limits: Limits,
    },
    /// More conversations of the user than one frame holds. Comes right after `ready`.
    Conversations {
        /// Conversations that are wanted, with the last position of each: at most 500.
        conversations: &'a [Head],
        /// There are still more: another such frame follows.
        #[schemars(example = false)]
        more: bool,
    },
    /// Something has happened.
    Event {
        /// Where.
        conversation_id: ConversationId,
        /// Its position.
        position: Position,
        /// The position of the conversation's event before it; 0 for the first.
        #[schemars(example = 1039)]
        previous: Position,
        /// What: `message.sent`. A type that you do not know has a place in the chain, too: pass over its data. Of another
        /// version of a type than the first, the version stands behind it: `message.sent.v2`.
        #[serde(rename = "type")]
        #[schemars(example = "message.sent")]
        kind: &'a str,
        /// The event's id.
        id: EventId,
        /// Who.
        actor: UserId,
        /// When, for people to read.
        time: Time,
        /// The event's data.
        #[schemars(with = "serde_json::Value")]
        data: &'a RawValue,
    },
    /// The log has it.
    Ack {
        /// The id of the frame that is answered.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a FrameId>,
        /// Where it stands, for the `min_position` of reads; of what was so already, a position by which it was.
        #[serde(skip_serializing_if = "Option::is_none")]
        position: Option<Position>,
        /// Of a message: its id. Of what is done with a message: the id of that one.
        #[serde(skip_serializing_if = "Option::is_none")]
        message_id: Option<MessageId>,
    },
    /// A frame was refused.
    Error {
        /// The id of the frame that is answered.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a FrameId>,
        /// A word; the same as in REST.
        #[schemars(example = &"rate_limited")]
        code: &'a str,
        /// What to do next.
        #[schemars(example = "too many messages: wait before the next one")]
        detail: &'a str,
        /// When a retry may help, in milliseconds.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(example = 800)]
        retry_after_ms: Option<u64>,
    },
    /// Somebody came, went or looks away. Large conversations (by default of more than 500 members) are
    /// not told: their clients ask `GET /v1/conversations/{id}/presence`.
    Presence {
        /// Who.
        user_id: UserId,
        /// What they are now.
        status: Status,
        /// When they were last here.
        last_seen_at: Time,
    },
    /// Somebody is typing.
    Typing {
        /// Where.
        conversation_id: ConversationId,
        /// Who.
        user_id: UserId,
    },
    /// A sign of life, with what is needed to notice a lost last event.
    Heartbeat {
        /// Where to go on from after a disconnect.
        #[schemars(example = CURSOR)]
        cursor: String,
        /// The last position of each conversation that has moved since the last heartbeat: at most 500, the
        /// others are in further heartbeats at the same moment.
        #[serde(serialize_with = "as_map")]
        #[schemars(with = "std::collections::BTreeMap<String, Position>")]
        #[schemars(example = serde_json::json!({ "01930f3c-6b1a-7d20-a5c4-9e8d7c6b5a49": 1042 }))]
        heads: &'a [Head],
    },
    /// Everything that was missed since the cursor of `hello` has been given.
    CaughtUp {
        /// Where to go on from after a disconnect.
        #[schemars(example = CURSOR)]
        cursor: String,
    },
    /// The cursor cannot be gone on from: load by REST and begin at the cursor of `ready`.
    Reset {
        /// Why, as a word: `cursor_unreadable`, `cursor_of_another_user`, `epoch_changed`,
        /// `cursor_from_the_future`, `cursor_of_another_log` or `log_incomplete`.
        #[schemars(example = &"epoch_changed")]
        reason: &'a str,
    },
    /// Answers `ping`.
    Pong {
        /// The id of the frame that is answered.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a FrameId>,
    },
}

/// A conversation and its last position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(title = "ConversationHead")]
pub struct Head {
    /// Which.
    pub id: ConversationId,
    /// Its last position.
    pub head: Position,
}

/// What a session may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(title = "SessionLimits")]
pub struct Limits {
    /// The largest frame of a client, in bytes.
    #[schemars(example = 65_536)]
    pub frame_bytes: usize,
    /// The longest text of a message, in bytes of UTF-8.
    #[schemars(example = Text::LIMIT)]
    pub text_bytes: usize,
    /// Frames that a client may send a second in the long run.
    #[schemars(example = FRAMES.per_second)]
    pub frames_per_second: u32,
    /// Frames that it may send at once after a silence.
    #[schemars(example = FRAMES.at_once)]
    pub frames_at_once: u32,
}

impl From<limits::Limits> for Limits {
    fn from(limits: limits::Limits) -> Self {
        Self {
            frame_bytes: limits.message,
            text_bytes: Text::LIMIT,
            frames_per_second: FRAMES.per_second,
            frames_at_once: FRAMES.at_once,
        }
    }
}

fn as_map<S: serde::Serializer>(heads: &&[Head], to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(heads.iter().map(|head| (head.id, head.head)))
}

impl ServerFrame<'_> {
    /// The complete WebSocket frame.
    pub fn encode(&self) -> Bytes {
        let text = serde_json::to_vec(self).expect("frames have string keys, so they are JSON");
        websocket::text(&text)
    }
}

/// The frame of an event, encoded once for all sockets.
pub fn event(recorded: &Recorded, previous: Position) -> Bytes {
    let data: &RawValue = serde_json::from_slice(&recorded.data).expect(
        "data that is not JSON makes an event poison, and what is poison is void: nobody is shown it",
    );
    ServerFrame::Event {
        conversation_id: recorded.conversation,
        position: recorded.position,
        previous,
        kind: &recorded.word,
        id: recorded.id,
        actor: recorded.actor,
        time: recorded.time,
        data,
    }
    .encode()
}
