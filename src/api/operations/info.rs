//! What this server tells about itself.

use poem_openapi::{Object, OpenApi, types::Example};
use serde::{Deserialize, Serialize};

use crate::{
    accounts::MAX_LOGINS,
    api::{
        Limit, Public, Reply, Tag,
        http::{body, document, values::words},
        operations::start,
    },
    commands,
    domain::{Epoch, MAX_MEMBERS, MAX_PINS, MAX_REACTIONS, Metadata, Text, Title},
};

/// What clients can count on, beyond the operations of the document.
const FEATURES: [&str; 16] = [
    "direct_conversations",
    "group_conversations",
    "history_since_join",
    "edits",
    "deletions",
    "reactions",
    "replies",
    "mentions",
    "pins",
    "receipts",
    "presence",
    "typing",
    "mute_and_archive",
    "blocking",
    "as_of",
    "search",
];

/// This server
#[derive(Debug, Clone, Serialize, Object)]
#[oai(example)]
pub struct Info {
    /// The name of the program
    name: String,
    /// Its version
    version: String,
    /// The life of the log: positions and cursors of another one mean nothing here
    epoch: String,
    /// What an acknowledgement is worth
    durability: Durability,
    /// How many streams the log has
    streams: usize,
    /// How many copies of each there are
    replicas: usize,
    /// How much of the contract of the log it knows
    contract: Contract,
    /// What it can do
    features: Vec<String>,
    /// What it accepts at most
    limits: Limits,
}

/// How much of the contract of the log a server knows
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Object)]
struct Contract {
    /// The highest level that it reads
    reads: u32,
    /// The level that it writes
    writes: u32,
}

/// When the log syncs to disk what it acknowledges
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Object)]
struct Durability {
    /// How
    sync: Sync,
    /// The seconds between two syncs, if it is an interval
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Sync {
    Always,
    Interval,
    Unknown,
}

words! {
    /// `always`: before every acknowledgement, so that a power failure loses nothing acknowledged
    Sync as "SyncMode": "always" "interval" "unknown";
}

/// What this server accepts at most
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Object)]
struct Limits {
    /// Bytes of the body of a request
    body_bytes: usize,
    /// Bytes of the text of a message
    text_bytes: usize,
    /// Bytes of what programs add to a message, as JSON
    metadata_bytes: usize,
    /// Bytes of a title
    title_bytes: usize,
    /// Different reactions of one member to one message
    reactions: usize,
    /// Pinned messages of a conversation
    pins: u64,
    /// Members of a conversation
    members: usize,
    /// Users whom a new group begins with, besides its owner
    members_at_start: usize,
    /// Things on a page
    page: u16,
    /// Logins of an account that live at the same time
    logins: i64,
    /// Frames that a client may send over one socket a second in the long run
    frames_per_second: u32,
    /// Frames that it may send over one socket at once after a silence
    frames_at_once: u32,
}

/// How many frames a client may send over one socket.
#[derive(Debug, Clone, Copy)]
pub struct Frames {
    /// In the long run.
    pub per_second: u32,
    /// After a silence.
    pub at_once: u32,
}

impl Info {
    /// Of a server whose log is like this.
    pub fn new(
        epoch: &Epoch,
        durability: &commands::Durability,
        layout: commands::Layout,
        frames: Frames,
    ) -> Self {
        Self {
            name: "verbatim".into(),
            version: document::VERSION.into(),
            epoch: epoch.to_string(),
            durability: durability.into(),
            streams: layout.streams,
            replicas: layout.replicas,
            contract: Contract { reads: commands::CONTRACT.reads, writes: commands::CONTRACT.writes },
            features: FEATURES.map(str::to_owned).into(),
            limits: Limits {
                body_bytes: body::LIMIT,
                text_bytes: Text::LIMIT,
                metadata_bytes: Metadata::LIMIT,
                title_bytes: Title::LIMIT,
                reactions: MAX_REACTIONS,
                pins: MAX_PINS,
                members: MAX_MEMBERS,
                members_at_start: start::MOST,
                page: Limit::MAX,
                logins: MAX_LOGINS,
                frames_per_second: frames.per_second,
                frames_at_once: frames.at_once,
            },
        }
    }
}

impl From<&commands::Durability> for Durability {
    fn from(durability: &commands::Durability) -> Self {
        let (sync, seconds) = match durability {
            commands::Durability::Always => (Sync::Always, None),
            commands::Durability::Interval { seconds } => (Sync::Interval, Some(*seconds)),
            commands::Durability::Unknown => (Sync::Unknown, None),
        };
        Self { sync, seconds }
    }
}

impl Example for Info {
    fn example() -> Self {
        let layout = commands::Layout { streams: 1, replicas: 1 };
        let frames = Frames { per_second: 200, at_once: 2_000 };
        Self::new(&Epoch("6f1c2d3e4b5a".into()), &commands::Durability::Always, layout, frames)
    }
}

pub(in crate::api) struct About(pub(in crate::api) Info);

#[OpenApi(tag = "Tag::Server")]
impl About {
    /// Get what this server is
    ///
    /// Its version, the life of its log, what its acknowledgements are worth, and its limits.
    #[oai(path = "/info", method = "get", operation_id = "get_info")]
    async fn get(&self) -> Result<Reply<Info>, Public> {
        Ok(Reply(self.0.clone()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn durability_is_told_as_the_log_tells_it() {
        for durability in [
            commands::Durability::Always,
            commands::Durability::Interval { seconds: 120 },
            commands::Durability::Unknown,
        ] {
            assert_eq!(json!(Durability::from(&durability)), json!(durability));
        }
    }
}
