//! The server: its version, its log and its limits.

use std::time::Duration;

use poem_openapi::{Object, OpenApi, types::Example};
use serde::{Deserialize, Serialize};

use crate::{
    access::MAX_LOGINS,
    api::{
        Limit, Public, Reply,
        http::{document, values::words},
        operations::{host_conversations, host_user, host_users, start, tag::Tag, users::UserIds},
    },
    commands,
    credentials::{HOST_LIFE, Registration, SHORTEST_HOST_LIFE},
    domain::{
        Epoch, ExternalId, MAX_MEMBERS, MAX_PINS, MAX_REACTIONS, Metadata, RetentionRules, Text, Title,
    },
    erasures, exports,
    limits::{self, Policy, Rates},
    listen,
    reading::MOST_NAMES,
    webhooks,
};

/// The features of the server, beyond the operations of the document.
const FEATURES: [&str; 34] = [
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
    "external_issuers",
    "avatars",
    "names",
    "first_screen",
    "audit",
    "invites",
    "recovery",
    "service_accounts",
    "provisioning",
    "on_behalf_of",
    "commands",
    "consumers",
    "webhooks",
    "export",
    "erasure",
    "holds",
    "held_export",
    "retention",
];

/// The server: its version, its log and its limits
#[derive(Debug, Clone, Serialize, Object)]
#[oai(example)]
pub struct Info {
    /// The name of the program
    name: String,
    /// The version of the program
    version: String,
    /// The id of the log. Positions and cursors of another epoch are not valid here
    epoch: String,
    /// How durable an acknowledged message is
    durability: Durability,
    /// The number of streams of the log
    streams: usize,
    /// The number of copies of each stream
    replicas: usize,
    /// The levels of the log contract that this server supports
    contract: Contract,
    /// Who may register: `open`, `invite` (people with an invitation code) or `closed`
    registration: String,
    /// The features of this server
    features: Vec<String>,
    /// The limits of this server
    limits: Limits,
}

/// The levels of the log contract that a server supports
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Object)]
struct Contract {
    /// The highest level that the server reads
    reads: u32,
    /// The level that the server writes
    writes: u32,
}

/// When the log syncs acknowledged messages to disk
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Object)]
struct Durability {
    /// The sync mode of the log
    sync: Sync,
    /// The seconds between two syncs, if the mode is `interval`
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
    /// The sync mode of the log. With `always` the log syncs before every acknowledgement, so that a power failure
    /// loses no acknowledged message
    Sync as "SyncMode": "always" "interval" "unknown";
}

/// The limits of this server
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Object)]
struct Limits {
    /// Bytes of a request body
    body_bytes: usize,
    /// Bytes of the text of a message
    text_bytes: usize,
    /// Bytes of the metadata of a message, as JSON
    metadata_bytes: usize,
    /// Bytes of a title
    title_bytes: usize,
    /// Different reactions of one member to one message
    reactions: usize,
    /// Pinned messages of a conversation
    pins: u64,
    /// Members of a conversation
    members: usize,
    /// Users with whom a new group can start, besides its owner
    members_at_start: usize,
    /// Items on a page
    page: u16,
    /// Users whose names one response can include
    names: usize,
    /// Users that one request can look up by id
    user_ids: usize,
    /// Active logins of an account
    logins: i64,
    /// Characters of an external id
    external_id_chars: usize,
    /// Users that one request can provision
    provision_users: usize,
    /// Members of a provisioned conversation
    provision_members: usize,
    /// Bytes of the metadata of a provisioned user, as JSON
    provision_metadata_bytes: usize,
    /// Words in `roles` of a provisioned user
    provision_roles: usize,
    /// The shortest lifetime of an access token that a host application may request, in seconds
    host_token_seconds_min: u64,
    /// The longest lifetime of an access token that a host application may request, in seconds
    host_token_seconds_max: u64,
    /// The seconds for which an export can be downloaded
    export_seconds: u64,
    /// The seconds within which the download of an export has to finish
    export_download_seconds: u64,
    /// The download speed of an export, in bytes per second before compression
    export_bytes_per_second: u64,
    /// Active legal holds
    holds: i64,
    /// Users or conversations of a legal hold
    hold_subjects: usize,
    /// The shortest retention that an owner can set for a conversation, in seconds
    retention_seconds_min: u64,
    /// The longest retention that an owner can set for a conversation, in seconds
    retention_seconds_max: u64,
    /// The retention of a conversation without one of its own, in seconds; absent if its messages are kept forever
    #[serde(skip_serializing_if = "Option::is_none")]
    retention_seconds_default: Option<u64>,
    /// Webhooks
    webhooks: i64,
    /// Custom headers of a webhook
    webhook_headers: usize,
    /// Replays in progress for one webhook
    webhook_replays: i64,
    /// The longest time for which the previous secret of a webhook keeps signing after a rotation, in seconds
    webhook_overlap_seconds_max: u64,
    /// Frames per second that a client may send over one socket in the long run
    frames_per_second: u32,
    /// Frames that a client may send over one socket in a burst
    frames_at_once: u32,
    /// The rate limits. A limit that is off is absent
    rate: Vec<RateLimit>,
}

/// A rate limit: `q` units per `w` seconds in the long run, and up to `burst` units at once
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Object)]
struct RateLimit {
    /// The name of the limit, as in the header `RateLimit-Policy`
    policy: String,
    /// What the limit counts per: an `account`, an `address`, a `conversation` or a `socket`
    key: String,
    /// The units per window
    q: u32,
    /// The length of the window, in seconds
    w: u32,
    /// The units that can be used at once
    burst: u32,
}

impl RateLimit {
    fn of(policy: Policy, rates: &Rates) -> Option<Self> {
        let limits::Rate { quota, seconds, burst } = rates.of(policy)?;
        Some(Self { policy: policy.word().into(), key: policy.key().into(), q: quota, w: seconds, burst })
    }
}

/// The frame rate of one socket.
#[derive(Debug, Clone, Copy)]
pub struct Frames {
    /// The frames per second in the long run.
    pub per_second: u32,
    /// The frames that may come in a burst after a quiet period.
    pub at_once: u32,
}

/// The operator's settings that the response reports.
#[derive(Debug, Clone, Copy)]
pub struct Chosen {
    /// Who may register.
    pub registration: Registration,
    /// The time within which the download of an export has to finish.
    pub export_deadline: Duration,
    /// The rules for how long messages are kept.
    pub retention: RetentionRules,
}

impl Info {
    /// The response of a server with this log.
    pub fn new(
        epoch: &Epoch,
        durability: &commands::Durability,
        layout: commands::Layout,
        frames: Frames,
        rates: &Rates,
        Chosen { registration, export_deadline, retention }: Chosen,
    ) -> Self {
        Self {
            name: "verbatim".into(),
            version: document::VERSION.into(),
            epoch: epoch.to_string(),
            durability: durability.into(),
            streams: layout.streams,
            replicas: layout.replicas,
            contract: Contract { reads: commands::CONTRACT.reads, writes: commands::CONTRACT.writes },
            registration: registration.word().into(),
            features: FEATURES.map(str::to_owned).into(),
            limits: Limits {
                body_bytes: listen::BODY,
                text_bytes: Text::LIMIT,
                metadata_bytes: Metadata::LIMIT,
                title_bytes: Title::LIMIT,
                reactions: MAX_REACTIONS,
                pins: MAX_PINS,
                members: MAX_MEMBERS,
                members_at_start: start::MOST,
                page: Limit::MAX,
                names: MOST_NAMES,
                user_ids: UserIds::MAX,
                logins: MAX_LOGINS,
                external_id_chars: ExternalId::LIMIT,
                provision_users: host_users::MOST,
                provision_members: host_conversations::MOST,
                provision_metadata_bytes: Metadata::LIMIT,
                provision_roles: host_user::MOST_ROLES,
                host_token_seconds_min: SHORTEST_HOST_LIFE.as_secs(),
                host_token_seconds_max: HOST_LIFE.as_secs(),
                export_seconds: exports::LIFE.as_secs(),
                export_download_seconds: export_deadline.as_secs(),
                export_bytes_per_second: exports::BYTES_PER_SECOND,
                holds: erasures::MOST_HOLDS,
                hold_subjects: erasures::MOST_SUBJECTS,
                retention_seconds_min: retention.least,
                retention_seconds_max: retention.longest(),
                retention_seconds_default: retention.of(None),
                webhooks: webhooks::MAX_ENDPOINTS,
                webhook_headers: webhooks::MAX_HEADERS,
                webhook_replays: webhooks::MAX_REPLAYS,
                webhook_overlap_seconds_max: webhooks::MAX_ROTATION.as_secs(),
                frames_per_second: frames.per_second,
                frames_at_once: frames.at_once,
                rate: Policy::ALL.into_iter().filter_map(|policy| RateLimit::of(policy, rates)).collect(),
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
        let frames = Frames { per_second: 12, at_once: 60 };
        let rates = Rates::default();
        Self::new(
            &Epoch("6f1c2d3e4b5a".into()),
            &commands::Durability::Always,
            layout,
            frames,
            &rates,
            Chosen {
                registration: Registration::Open,
                export_deadline: Duration::from_secs(900),
                retention: RetentionRules { default: None, least: 3_600, most: None },
            },
        )
    }
}

pub(in crate::api) struct About(pub(in crate::api) Info);

#[OpenApi(tag = "Tag::Server")]
impl About {
    /// Get server information
    ///
    /// Returns the version, the epoch, the durability and the limits of the server.
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
