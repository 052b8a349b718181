//! The values in the examples of the document. All examples share them, so the examples fit together.

use time::macros::datetime;
use uuid::Uuid;

use crate::{
    api::http::or_null::OrNull,
    domain::{
        ClientId, ConversationId, ErasureId, EventId, ExportId, ExternalId, HoldId, HostRole, LoginId,
        MessageId, Position, ReplayId, Text, Time, Title, UserId, WebhookId,
    },
};

/// The text of a message.
pub(in crate::api) const TEXT: &str = "Is supper at eight?";
/// The title of a group.
pub(in crate::api) const TITLE: &str = "Supper on Friday";
/// A reaction.
pub(in crate::api) const EMOJI: &str = "👍";
/// An idempotency key.
pub(in crate::api) const KEY: &str = "b7c1e0d2-supper";

pub(in crate::api) fn ana() -> UserId {
    UserId::known(Uuid::from_u128(0x01930f3c_5a7b_7c3d_8e4f_0123456789ab))
}

pub(in crate::api) fn ben() -> UserId {
    UserId::known(Uuid::from_u128(0x01930f3c_5b8c_7d4e_9f50_ba9876543210))
}

pub(in crate::api) fn avatar() -> OrNull<String> {
    OrNull(Some("https://example.com/pictures/7.png".into()))
}

pub(in crate::api) fn external_id() -> ExternalId {
    ExternalId::known("7".into())
}

pub(in crate::api) fn host_role() -> HostRole {
    HostRole::known("teacher".into())
}

pub(in crate::api) fn conversation() -> ConversationId {
    ConversationId::known(Uuid::from_u128(0x01930f3d_0c11_7a52_9b3e_4d5f60718293))
}

pub(in crate::api) fn message() -> MessageId {
    MessageId::known(Uuid::from_u128(0x01930f3d_1f20_7b61_8a4f_5e6f708192a3))
}

pub(in crate::api) fn event() -> EventId {
    EventId::known(Uuid::from_u128(0x01930f3d_2a31_7c72_8b50_6f708192a3b4))
}

pub(in crate::api) fn export() -> ExportId {
    ExportId::known(Uuid::from_u128(0x01930f3d_3b42_7d83_8c61_708192a3b4c5))
}

pub(in crate::api) fn erasure() -> ErasureId {
    ErasureId::known(Uuid::from_u128(0x01930f3d_4c53_7e94_8d72_8192a3b4c5d6))
}

pub(in crate::api) fn hold() -> HoldId {
    HoldId::known(Uuid::from_u128(0x01930f3d_5d64_7fa5_8e83_92a3b4c5d6e7))
}

pub(in crate::api) fn login() -> LoginId {
    LoginId::known(Uuid::from_u128(0x01930f3c_6e42_7d81_8c6b_708192a3b4c5))
}

pub(in crate::api) fn time() -> Time {
    Time::of(datetime!(2026-11-24 13:10 UTC))
}

pub(in crate::api) fn position() -> Position {
    Position(1042)
}

pub(in crate::api) fn title() -> Title {
    Title::try_from(TITLE.to_owned()).expect("the title is one visible line")
}

pub(in crate::api) fn text() -> Text {
    Text::try_from(TEXT.to_owned()).expect("the text is visible")
}

pub(in crate::api) fn key() -> ClientId {
    ClientId::try_from(KEY.to_owned()).expect("the key is of the characters of a key")
}

pub(in crate::api) fn webhook() -> WebhookId {
    WebhookId::known(Uuid::from_u128(0x01930f3c_7a53_7e92_8d7c_8192a3b4c5d6))
}

pub(in crate::api) fn replay() -> ReplayId {
    ReplayId::known(Uuid::from_u128(0x01930f3c_8b64_7fa3_8e8d_92a3b4c5d6e7))
}
