//! Ids and positions. Every id is a UUIDv7, generated outside this folder, read in either case and written in lower
//! case (RFC 9562, section 4).

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::words::host::ExternalId;

/// Why a text is not an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotAnId {
    /// It is not a UUIDv7 with hyphens.
    NotAUuid,
    /// Its time is after the year 9999.
    TooLate,
}

impl fmt::Display for NotAnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAUuid => "not an id: it must be a UUID of version 7 with hyphens",
            Self::TooLate => "not an id: its time must be before the year 10000",
        })
    }
}

impl std::error::Error for NotAnId {}

/// The only parser of ids. It accepts only `xxxxxxxx-xxxx-7xxx-[89ab]xxx-xxxxxxxxxxxx` in either case, with a time
/// before the year 10000.
fn parse(text: &str) -> Result<Uuid, NotAnId> {
    const YEAR_10000_MS: u64 = 253_402_300_800_000;
    let id = Uuid::try_parse(text).map_err(|_| NotAnId::NotAUuid)?;
    let hyphenated = id.hyphenated().encode_lower(&mut Uuid::encode_buffer()).eq_ignore_ascii_case(text);
    let is_v7 = id.get_version_num() == 7 && id.get_variant() == uuid::Variant::RFC4122;
    if !(hyphenated && is_v7) {
        return Err(NotAnId::NotAUuid);
    }
    let in_time = (id.as_u128() >> 80) < u128::from(YEAR_10000_MS);
    in_time.then_some(id).ok_or(NotAnId::TooLate)
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(into = "Uuid", try_from = "String")]
        pub struct $name(Uuid);

        impl $name {
            /// The id itself, as Postgres keeps it.
            pub fn uuid(self) -> Uuid {
                self.0
            }

            /// An id that was parsed before, as Postgres returns it.
            pub const fn known(id: Uuid) -> Self {
                Self(id)
            }
        }

        impl From<$name> for Uuid {
            fn from(id: $name) -> Uuid {
                id.0
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;
            fn from_str(text: &str) -> Result<Self, NotAnId> {
                parse(text).map(Self)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NotAnId;
            fn try_from(text: String) -> Result<Self, NotAnId> {
                text.parse()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.0.hyphenated().encode_lower(&mut Uuid::encode_buffer()))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )+};
}

ids! {
    /// A person or a program with an account.
    UserId;
    /// A conversation, direct or group.
    ConversationId;
    /// A message within a conversation.
    MessageId;
    /// One event of the log (`ce-id`).
    EventId;
    /// A login or an API key.
    LoginId;
    /// A request of a user for an export of their own data.
    ExportId;
    /// A request for an erasure.
    ErasureId;
    /// A legal hold.
    HoldId;
}

/// The namespace of derived ids.
const NAMESPACE: Uuid = Uuid::from_u128(0x019a_e2d4_7c00_7f5e_9d1b_5a0c_3e7f_4b21);

impl ConversationId {
    /// The id of the direct conversation of two users, the same for both of them. The time in the id is the
    /// time of the younger account, and the random bits are a hash of the pair.
    pub fn direct(one: UserId, other: UserId) -> Self {
        let (low, high) = (one.0.min(other.0), one.0.max(other.0));
        Self::derived(high, &[low.as_bytes(), high.as_bytes()])
    }

    /// The id of the group that `creator` starts with an idempotency key: the same at every retry.
    pub fn keyed(creator: UserId, key: &str) -> Self {
        Self::derived(creator.0, &[creator.0.as_bytes(), key.as_bytes()])
    }

    /// The id of the conversation that a host application names. It is the same for all programs of the host, so that
    /// two programs that create the conversation at the same time create the same one. The hashed bytes cannot equal
    /// those of the other derivations, because these begin with a user's id, and so with a time.
    pub fn provisioned(tenant: &str, id: &ExternalId) -> Self {
        let parts = [b"provisioned\0", tenant.as_bytes(), b"\0", id.as_str().as_bytes()];
        Self::derived(NAMESPACE, &parts)
    }

    fn derived(time: Uuid, parts: &[&[u8]]) -> Self {
        const RANDOM: u128 = 0x0fff_3fff_ffff_ffff_ffff;
        let hash = Uuid::new_v5(&NAMESPACE, &parts.concat()).as_u128();
        let kept = time.as_u128() >> 80 << 80;
        Self(Uuid::from_u128(kept | 0x7000_8000_0000_0000_0000 | (hash & RANDOM)))
    }

    /// The shard of the conversation, one of 256: the last two hex digits of the id, so every program can compute it.
    pub fn shard(self) -> u8 {
        self.0.as_bytes()[15]
    }
}

/// The position of an event in the log. It is copied from the log, never computed, and compared only within one
/// conversation. 0 is before the first event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64")]
pub struct Position(pub u64);

/// The number is too large to be exact in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAPosition;

impl fmt::Display for NotAPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a position: it must be a whole number up to {}", Position::MAX)
    }
}

impl TryFrom<u64> for Position {
    type Error = NotAPosition;
    fn try_from(number: u64) -> Result<Self, NotAPosition> {
        (number <= Self::MAX.0).then_some(Self(number)).ok_or(NotAPosition)
    }
}

impl Position {
    /// The position before the first event.
    pub const START: Self = Self(0);
    /// The last position: JSON numbers are exact up to 2^53 - 1.
    pub const MAX: Self = Self((1 << 53) - 1);
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A position of a stream together with the id of the event there. A log that was restored from an older copy reuses
/// the positions after that copy for other events. The id distinguishes the old event at a position from the new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Point {
    /// The position of the event.
    pub position: Position,
    /// The id of the event; nil before the first event, and for an event whose id cannot be read.
    pub event: EventId,
}

impl Point {
    /// The point before the first event.
    pub const START: Self = Self { position: Position::START, event: EventId::known(Uuid::nil()) };

    /// The positions of the points.
    pub fn positions(points: &[Self]) -> Vec<Position> {
        points.iter().map(|point| point.position).collect()
    }
}

/// The identity of a log: a random id, created together with the streams. Positions of different epochs are unrelated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub String);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANA: &str = "01930f3c-5a7b-7c3d-8e4f-0123456789ab";
    const BEN: &str = "01930f3c-5a7b-7c3d-9e4f-ba9876543210";

    #[test]
    fn only_version_7_with_hyphens_passes_and_is_written_in_lower_case() {
        for typed in [ANA, &ANA.to_uppercase(), "01930f3C-5a7B-7C3d-8e4f-0123456789aB"] {
            assert_eq!(typed.parse::<UserId>().map(|id| id.to_string()), Ok(ANA.into()), "{typed}");
        }
        for wrong in [
            "",
            "1",
            "abc",
            "*",
            ">",
            "a.b",
            "$JS",
            "..",
            "00000000-0000-0000-0000-000000000000",
            "{01930f3c-5a7b-7c3d-8e4f-0123456789ab}",
            "01930f3c5a7b7c3d8e4f0123456789ab",
            "01930f3c-5a7b-4c3d-8e4f-0123456789ab",
            "01930f3c-5a7b-7c3d-ce4f-0123456789ab",
            "ffffffff-ffff-7fff-cfff-ffffffffffff",
            "01930f3c-5a7b-7c3d-8e4f-0123456789ab\r\n",
        ] {
            assert_eq!(wrong.parse::<UserId>(), Err(NotAnId::NotAUuid), "{wrong:?}");
        }
        for late in ["ffffffff-ffff-7fff-8fff-ffffffffffff", "e677d21f-dc00-7000-8000-000000000000"] {
            assert_eq!(late.parse::<UserId>(), Err(NotAnId::TooLate), "{late:?}");
        }
        assert!("e677d21f-dbff-7000-8000-000000000000".parse::<UserId>().is_ok());
    }

    #[test]
    fn a_position_is_a_number_that_json_keeps_exactly() {
        assert_eq!(serde_json::from_str::<Position>("9007199254740991").ok(), Some(Position::MAX));
        assert_eq!(serde_json::to_string(&Position(7)).ok().as_deref(), Some("7"));
        for wrong in ["9007199254740992", "18446744073709551616", "-1", "1.0", "\"1\"", "null"] {
            assert!(serde_json::from_str::<Position>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_pair_has_one_direct_conversation_whoever_starts() {
        let (ana, ben): (UserId, UserId) = (ANA.parse().expect("id"), BEN.parse().expect("id"));
        let id = ConversationId::direct(ana, ben);
        assert_eq!(id, ConversationId::direct(ben, ana));
        assert_eq!(id.to_string().parse(), Ok(id), "it is a proper id");
        assert_ne!(id, ConversationId::keyed(ana, BEN));
    }

    #[test]
    fn a_host_application_has_one_conversation_for_each_of_its_ids() {
        let id = |tenant, id: &str| ConversationId::provisioned(tenant, &id.parse().expect("an id"));
        assert_eq!(id("default", "team-1"), id("default", "team-1"));
        assert_eq!(
            id("default", "team-1").to_string().parse(),
            Ok(id("default", "team-1")),
            "it is a proper id"
        );
        assert_ne!(id("default", "team-1"), id("default", "team-2"));
        assert_ne!(id("a", "b"), id("b", "a"));
    }
}
