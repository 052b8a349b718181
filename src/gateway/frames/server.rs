//! The frames that the server sends in `verbatim.v1`: JSON text, one object each, `op` first.

use bytes::Bytes;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::{
    domain::{
        ConversationId, Epoch, EventId, MessageId, Position, Recorded, Status, Text, Time, UserId, UserKind,
    },
    gateway::{
        frames::client::{CURSOR, FrameId},
        wire::{budget, limits, websocket},
    },
};

/// The most conversations that one frame can name. Such a frame stays below 36 KB.
pub const HEADS: usize = 500;

/// A frame from the server.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum ServerFrame<'a> {
    /// The session has begun. From this frame on, the server sends every event.
    Ready {
        /// The id of the `hello` frame that this frame answers.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a FrameId>,
        /// The id of the session.
        #[schemars(example = "01930f3d-1122-7f33-8a44-b566c778d899")]
        session_id: Uuid,
        /// The user of the session.
        user_id: UserId,
        /// The id of the log. Positions and cursors from another epoch are meaningless in this one.
        epoch: &'a Epoch,
        /// The cursor to resume from after a disconnect.
        #[schemars(example = CURSOR)]
        cursor: String,
        /// The user's conversations that pass the filter, at most 500.
        conversations: &'a [Head],
        /// Whether more conversations follow in `conversations` frames, before any event.
        #[schemars(example = false)]
        more: bool,
        /// The longest time between two `heartbeat` frames, in milliseconds.
        #[schemars(example = 25_000)]
        heartbeat_ms: u64,
        /// The limits of the session.
        limits: ReadyLimits,
    },
    /// More of the user's conversations, right after `ready`.
    Conversations {
        /// The user's conversations that pass the filter, at most 500.
        conversations: &'a [Head],
        /// Whether another `conversations` frame follows.
        #[schemars(example = false)]
        more: bool,
    },
    /// An event of a conversation.
    Event {
        /// The conversation of the event.
        conversation_id: ConversationId,
        /// The position of the event.
        position: Position,
        /// The position of the previous event in the same conversation; 0 for the first event.
        #[schemars(example = 1039)]
        previous: Position,
        /// The type of the event, such as `message.sent`, or `message.sent.v2` for a later version of the type.
        #[serde(rename = "type")]
        #[schemars(example = "message.sent")]
        kind: &'a str,
        /// The id of the event.
        id: EventId,
        /// The user who caused the event.
        actor: UserId,
        /// The time of the event, for display. The position gives the order, not the time.
        time: Time,
        /// The data of the event, as stored. Of an erased event, only `{"message_id": …, "erased": true}` remains.
        /// The same holds for an edit of a message from before the user joined, if the history setting of the
        /// conversation hides that message.
        #[schemars(with = "serde_json::Value")]
        data: &'a RawValue,
    },
    /// The log has stored the result of a command.
    Ack {
        /// The id of the frame that this frame answers.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a FrameId>,
        /// The position of the result, for the `min_position` of reads. If the command changed nothing, this is
        /// the position of an earlier event that had already made the change.
        #[serde(skip_serializing_if = "Option::is_none")]
        position: Option<Position>,
        /// The id of the message that the command sent or changed.
        #[serde(skip_serializing_if = "Option::is_none")]
        message_id: Option<MessageId>,
    },
    /// The server refused a frame.
    Error {
        /// The id of the frame that this frame answers.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a FrameId>,
        /// The error code, the same as in REST.
        #[schemars(example = &"rate_limited")]
        code: &'a str,
        /// With `rate_limited`: the rate limit that was reached.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(example = &"send")]
        policy: Option<&'a str>,
        /// What is wrong and what to do next, for the developer of the client.
        #[schemars(example = "too many messages: wait before the next one")]
        detail: &'a str,
        /// How long to wait before a retry, in milliseconds.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(example = 800)]
        retry_after_ms: Option<u64>,
    },
    /// The presence of a user has changed. Members of large conversations (more than 500 members by default)
    /// do not get this frame; their clients poll `GET /v1/conversations/{id}/presence`.
    Presence {
        /// The user.
        user_id: UserId,
        /// The new status of the user.
        status: Status,
        /// When the user was last online.
        last_seen_at: Time,
    },
    /// A user is typing.
    Typing {
        /// The conversation.
        conversation_id: ConversationId,
        /// The user.
        user_id: UserId,
    },
    /// The user was invited to a conversation. `GET /v1/me/invitations` returns the invitation.
    Invited {
        /// The conversation.
        conversation_id: ConversationId,
        /// The user who sent the invitation.
        invited_by: UserId,
    },
    /// A user has another name or picture: the user of the session, or a user who shares a conversation with them.
    /// Members of large conversations (more than 500 members by default) do not get this frame, and if the user has
    /// very many conversations, only the members of the latest ones get it. The next read with `include=users` returns
    /// the current names.
    User {
        /// The user.
        id: UserId,
        /// The name that other users see.
        #[schemars(example = "Ana María")]
        display_name: &'a str,
        /// The https URL of a picture of the user; null if there is none.
        #[schemars(example = "https://example.com/pictures/7.png")]
        avatar_url: Option<&'a str>,
        /// Whether the user is a person or a program.
        kind: UserKind,
    },
    /// A keepalive that also lets a client notice that it is missing the last event of a conversation.
    Heartbeat {
        /// The cursor to resume from after a disconnect.
        #[schemars(example = CURSOR)]
        cursor: String,
        /// The last position of each conversation that has had events since the last heartbeat, at most 500. The
        /// rest follow at once in further heartbeats.
        #[serde(serialize_with = "as_map")]
        #[schemars(with = "std::collections::BTreeMap<String, Position>")]
        #[schemars(example = serde_json::json!({ "01930f3c-6b1a-7d20-a5c4-9e8d7c6b5a49": 1042 }))]
        heads: &'a [Head],
    },
    /// The server has sent every event since the cursor of `hello`.
    CaughtUp {
        /// The cursor to resume from after a disconnect.
        #[schemars(example = CURSOR)]
        cursor: String,
    },
    /// The server cannot continue from the cursor of `hello`. Load the state over REST and resume from the
    /// cursor of the `heartbeat` right behind this frame.
    Reset {
        /// The reason: `cursor_unreadable`, `cursor_of_another_user`, `epoch_changed`, `cursor_from_the_future`,
        /// `cursor_of_another_log`, `log_incomplete`, or `retention` if the missed messages are older than the
        /// retention period of their conversation.
        #[schemars(example = &"epoch_changed")]
        reason: &'a str,
    },
    /// The answer to `ping`.
    Pong {
        /// The id of the frame that this frame answers.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a FrameId>,
    },
}

/// A conversation and its last position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(title = "ConversationHead")]
pub struct Head {
    /// The conversation.
    pub id: ConversationId,
    /// The position of its last event.
    pub head: Position,
}

/// The limits of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(title = "SessionLimits")]
pub struct ReadyLimits {
    /// The largest frame that a client may send, in bytes.
    #[schemars(example = 65_536)]
    pub frame_bytes: usize,
    /// The longest text of a message, in bytes of UTF-8.
    #[schemars(example = Text::LIMIT)]
    pub text_bytes: usize,
    /// The sustained number of frames that a client may send per second.
    #[schemars(example = 12)]
    pub frames_per_second: u32,
    /// The burst of frames that a client may send after a pause.
    #[schemars(example = 60)]
    pub frames_at_once: u32,
}

impl ReadyLimits {
    /// The limits of a socket whose client may send frames at the given rate.
    pub fn of(socket: limits::SocketLimits, frames: budget::FrameRate) -> Self {
        Self {
            frame_bytes: socket.message,
            text_bytes: Text::LIMIT,
            frames_per_second: frames.per_second,
            frames_at_once: frames.at_once,
        }
    }
}

fn as_map<S: serde::Serializer>(heads: &&[Head], to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(heads.iter().map(|head| (head.id, head.head)))
}

impl ServerFrame<'_> {
    /// The complete WebSocket frame, with the JSON text as its payload.
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
