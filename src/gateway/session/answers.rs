//! The answers of a session to frames: that a command is done, or why it is refused.

use crate::{
    commands::Refused,
    credentials::Scope,
    domain::{MessageId, Position},
    gateway::{
        frames::{client::FrameId, reading::BadFrame, server::ServerFrame},
        wire::socket::Socket,
    },
    limits::Exceeded,
    overload::Shed,
};

/// The reason why a frame has no effect, whatever its contents.
pub(super) enum NotNow {
    Limited(Exceeded),
    Shed,
    Without(Scope),
}

impl From<Exceeded> for NotNow {
    fn from(exceeded: Exceeded) -> Self {
        Self::Limited(exceeded)
    }
}

impl From<Shed> for NotNow {
    fn from(_: Shed) -> Self {
        Self::Shed
    }
}

pub(super) fn refuse(
    socket: &Socket,
    id: Option<&FrameId>,
    code: &str,
    detail: &str,
    retry_after_ms: Option<u64>,
) {
    socket.send(&ServerFrame::Error { id, code, policy: None, detail, retry_after_ms }.encode());
}

pub(super) fn refuse_bad(socket: &Socket, bad: &BadFrame) {
    refuse(socket, bad.id.as_ref(), "invalid_frame", &bad.detail, None);
}

/// Tells a client why a command was refused, with the code and text of REST.
pub(super) fn refuse_command(socket: &Socket, id: Option<&FrameId>, refused: &Refused) {
    let retry_after_ms = matches!(refused, Refused::Unavailable(_)).then_some(1_000);
    refuse(socket, id, refused.code(), refused.detail(), retry_after_ms);
}

pub(super) fn acknowledge(
    socket: &Socket,
    id: Option<&FrameId>,
    position: Option<Position>,
    message_id: Option<MessageId>,
) {
    socket.send(&ServerFrame::Ack { id, position, message_id }.encode());
}

/// Tells a client that its key lacks a scope.
pub(super) fn refuse_without(socket: &Socket, id: Option<&FrameId>, scope: Scope) {
    let detail = format!("this needs the scope `{scope}`: use a key that has it");
    refuse(socket, id, "missing_scope", &detail, None);
}

/// Tells a client that this node is overloaded.
pub(super) fn refuse_for_now(socket: &Socket, id: Option<&FrameId>) {
    let again = u64::try_from(Shed::AGAIN.as_millis()).unwrap_or(u64::MAX);
    refuse(socket, id, Shed::CODE, Shed::DETAIL, Some(again));
}

/// Tells a client how long to wait.
pub(super) fn refuse_limited(socket: &Socket, id: Option<&FrameId>, Exceeded { policy, wait }: Exceeded) {
    let retry_after_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
    let error = ServerFrame::Error {
        id,
        code: "rate_limited",
        policy: Some(policy.word()),
        detail: "you sent too many frames: wait for `retry_after_ms`, then send the frame again",
        retry_after_ms: Some(retry_after_ms),
    };
    socket.send(&error.encode());
}
