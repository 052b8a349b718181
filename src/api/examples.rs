//! The people and things of the document's examples: the same ones everywhere.

use time::macros::datetime;
use uuid::Uuid;

use crate::domain::{
    ClientId, ConversationId, EventId, LoginId, MessageId, Position, Text, Time, Title, UserId,
};

/// What is said.
pub(super) const TEXT: &str = "Is supper at eight?";
/// What the group is called.
pub(super) const TITLE: &str = "Supper on Friday";
/// A reaction.
pub(super) const EMOJI: &str = "👍";
/// An idempotency key.
pub(super) const KEY: &str = "b7c1e0d2-supper";

pub(super) fn ana() -> UserId {
    UserId::known(Uuid::from_u128(0x01930f3c_5a7b_7c3d_8e4f_0123456789ab))
}

pub(super) fn ben() -> UserId {
    UserId::known(Uuid::from_u128(0x01930f3c_5b8c_7d4e_9f50_ba9876543210))
}

pub(super) fn conversation() -> ConversationId {
    ConversationId::known(Uuid::from_u128(0x01930f3d_0c11_7a52_9b3e_4d5f60718293))
}

pub(super) fn message() -> MessageId {
    MessageId::known(Uuid::from_u128(0x01930f3d_1f20_7b61_8a4f_5e6f708192a3))
}

pub(super) fn event() -> EventId {
    EventId::known(Uuid::from_u128(0x01930f3d_2a31_7c72_8b50_6f708192a3b4))
}

pub(super) fn login() -> LoginId {
    LoginId::known(Uuid::from_u128(0x01930f3c_6e42_7d81_8c6b_708192a3b4c5))
}

pub(super) fn time() -> Time {
    Time::of(datetime!(2026-11-24 13:10 UTC))
}

pub(super) fn position() -> Position {
    Position(1042)
}

pub(super) fn title() -> Title {
    Title::try_from(TITLE.to_owned()).expect("the title is one visible line")
}

pub(super) fn text() -> Text {
    Text::try_from(TEXT.to_owned()).expect("the text is visible")
}

pub(super) fn key() -> ClientId {
    ClientId::try_from(KEY.to_owned()).expect("the key is of the characters of a key")
}
