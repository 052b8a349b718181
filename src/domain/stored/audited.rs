//! Audit events record who has access, with which rights, and how that changed. They hold only ids, fixed words, counts
//! and hashes, never a name, an address or a text, so that none of them ever has to be erased.
//!
//! Like the events of conversations, they are a long-term contract: types and optional fields may be added, and a
//! reader ignores anything that it does not know. Enum values are published as plain strings, so that a new value
//! breaks no reader.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use crate::domain::{
    LoginId, Position, Time, UserId, WebhookId,
    stored::{
        audited_erasures::{
            ErasureAsked, ErasureCancelled, ErasureDone, ErasurePositions, ExportRequested, HoldLifted,
            HoldPlaced,
        },
        audited_readers::{
            ConsumerAdded, ConsumerRemoved, ConsumerReplayed, ConsumerRotated, WebhookAdded, WebhookChanged,
            WebhookDisabled, WebhookEnabled, WebhookRemoved, WebhookRotated,
        },
    },
    words::schema::schema_of_written,
};

/// The subject of an audit event: an id, or a hash where there is no id. It is one token of a NATS subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditSubject(String);

impl AuditSubject {
    /// A number of at most 128 bits, for a thing without an id in Verbatim: a hash, or the epoch of a log. The hash of
    /// a name must be keyed: otherwise a reader could guess the name.
    pub fn hash(hash: u128) -> Self {
        Self(format!("{hash:032x}"))
    }

    /// The token.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

macro_rules! by_id {
    ($($id:ty),+) => {$(
        impl From<$id> for AuditSubject {
            fn from(id: $id) -> Self {
                Self(Uuid::from(id).hyphenated().to_string())
            }
        }
    )+};
}

by_id!(UserId, LoginId, Uuid);

impl From<WebhookId> for AuditSubject {
    fn from(id: WebhookId) -> Self {
        Self(id.to_string())
    }
}

/// How an account was created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A person registered it.
    Registered,
    /// A host application provisioned it.
    Provisioned,
    /// It belongs to the user of an external issuer.
    External,
    /// It is the account of a program.
    Service,
}

/// A field of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountField {
    /// The unique name.
    Username,
    /// The name to show.
    DisplayName,
    /// The URL of the picture.
    AvatarUrl,
    /// The metadata of the host application.
    Metadata,
    /// The roles that the host application or an issuer gives.
    Roles,
    /// The scopes of a service account.
    Scopes,
    /// The limits of a service account.
    Limits,
    /// The password.
    Password,
}

/// Why logins ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RevokedBy {
    /// The owner ended a login in the list of logins.
    Owner,
    /// A refresh token was used a second time: it may have been stolen.
    Reuse,
    /// An operator ended the logins that began before a time.
    Operator,
    /// The host application or the issuer ended them.
    Host,
}

/// Examples that the attributes name by path: for an array within an attribute, the derive would need a larger parser.
const SCOPES: [&str; 1] = ["users:read"];
const CHANGED: [&str; 1] = ["display_name"];

/// An account was created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AccountCreated {
    /// How the account was created: `registered`, `provisioned`, `external` or `service`.
    #[schemars(with = "String", example = &"registered")]
    pub origin: Origin,
    /// A keyed hash of issuer and subject, for the account of the user of an external issuer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"vT3x0kXb1q8cE5fHj2mN4pQr")]
    pub origin_hash: Option<String>,
    /// The invitation code with which a person registered.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<LoginId>")]
    pub invite_id: Option<Uuid>,
    /// The scopes of a service account.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(example = SCOPES)]
    pub scopes: Vec<String>,
}

impl AccountCreated {
    /// An account whose origin needs no further details.
    pub fn of(origin: Origin) -> Self {
        Self { origin, origin_hash: None, invite_id: None, scopes: Vec::new() }
    }
}

/// An account was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AccountUpdated {
    /// The changed fields: `username`, `display_name`, `avatar_url`, `metadata`, `roles`, `scopes`, `limits` or
    /// `password`. The event does not have their values: read the account.
    #[schemars(with = "Vec<String>", example = CHANGED)]
    pub changed: Vec<AccountField>,
    /// The number of logins that the change of the password ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = 2)]
    pub logins_revoked: Option<u32>,
}

/// An account was deactivated: it stays a member of conversations, and cannot act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AccountSuspended {}

/// An account was erased: nothing shows any longer whose it was. It can never act again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AccountErased {}

/// A deactivated account was reactivated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AccountRestored {}

/// Logins of an account ended early. Logins that were logged out, or that a change of the password ended, have no
/// such event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LoginRevoked {
    /// The logins.
    pub logins: Vec<LoginId>,
    /// The reason: `owner`, `reuse` (a refresh token was used again), `operator` or `host`.
    #[schemars(with = "String", example = &"owner")]
    pub by: RevokedBy,
}

/// Wrong passwords were tried for a name. There is an event for the fifth attempt, and then each time that their
/// number has doubled. The id in the subject is the account; for a name without an account it is a keyed hash of the
/// name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LoginFailed {
    /// The number of failures since the last correct password, within a day at most.
    #[schemars(example = 10)]
    pub failures: u32,
    /// Whether the number counts the failures of all groups of addresses, at most five of each; otherwise it counts
    /// those of one group.
    #[schemars(example = false)]
    pub is_from_everywhere: bool,
}

/// A recovery token was created, with which the owner of the account can set a new password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RecoveryIssued {
    /// When the token expires.
    pub expires_at: Time,
}

/// An invitation code was created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct InviteCreated {
    /// How many accounts can be registered with the code.
    #[schemars(example = 25)]
    pub uses: u32,
    /// When the code expires.
    pub expires_at: Time,
}

/// An invitation code was revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct InviteRevoked {}

/// A key of a service account was created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct KeyCreated {
    /// The service account.
    pub account_id: UserId,
    /// The scopes of the key.
    #[schemars(example = SCOPES)]
    pub scopes: Vec<String>,
    /// When the key expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    /// Whether the key can be used only from some networks.
    #[schemars(example = false)]
    pub is_limited_to_networks: bool,
}

/// A key of a service account was replaced, and expires after the overlap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct KeyRotated {
    /// The service account.
    pub account_id: UserId,
    /// The new key.
    #[schemars(with = "LoginId")]
    pub new_key_id: Uuid,
    /// When the old key expires.
    pub expires_at: Time,
}

/// A key of a service account was revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct KeyRevoked {
    /// The service account.
    pub account_id: UserId,
}

/// An external issuer was added to the settings. The id in the subject is a hash of the issuer's URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct IssuerAdded {}

/// An external issuer was removed from the settings. The id in the subject is a hash of the issuer's URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct IssuerRemoved {}

/// The log was restored from an archive: the same positions, in a new epoch. A program that keeps what it read from
/// the log drops everything above `lost_after`. The id in the subject is the new epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LogRestored {
    /// The epoch of the archive.
    #[schemars(example = &"01a22031a3c170e69b32c0662dee119f")]
    pub old_epoch: String,
    /// The epoch that has begun.
    #[schemars(example = &"01a22031a3c170e69b32c0662dee11a0")]
    pub new_epoch: String,
    /// The end of each stream.
    #[schemars(with = "BTreeMap<String, u64>", example = one_position())]
    pub positions: BTreeMap<String, Position>,
    /// The last position of each stream of conversations that came from the archive: events after it are lost.
    #[schemars(with = "BTreeMap<String, u64>", example = one_position())]
    pub lost_after: BTreeMap<String, Position>,
}

fn one_position() -> BTreeMap<String, u64> {
    BTreeMap::from([("CHAT_0".to_owned(), 4_711)])
}

/// The published description of a type of audit events.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditType {
    /// The name of the type, for example `account.created`. The word before the dot is the area.
    pub word: &'static str,
    /// The JSON Schema of the data of such an event, with an example.
    pub schema: serde_json::Value,
}

macro_rules! audited {
    ($($(#[$doc:meta])* $variant:ident $word:literal;)+) => {
        /// One audit event: its subject, and its data.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Audited {
            $($(#[$doc])* $variant(AuditSubject, $variant),)+
        }

        impl Audited {
            /// The types of all audit events.
            pub fn types() -> Vec<AuditType> {
                vec![$(AuditType { word: $word, schema: schema_of_written::<$variant>() }),+]
            }

            /// The areas of all audit events, in order: the first words of the types.
            pub fn areas() -> BTreeSet<&'static str> {
                [$($word),+].into_iter().filter_map(|word| word.split_once('.')).map(|(area, _)| area).collect()
            }

            /// The type of the event.
            pub fn word(&self) -> &'static str {
                match self { $(Self::$variant(..) => $word),+ }
            }

            /// The subject of the event.
            pub fn subject(&self) -> &AuditSubject {
                match self { $(Self::$variant(subject, _) => subject),+ }
            }

            /// The data of the event as JSON text.
            pub fn data(&self) -> serde_json::Result<String> {
                match self { $(Self::$variant(_, data) => serde_json::to_string(data)),+ }
            }
        }
    };
}

audited! {
    /// About the account.
    AccountCreated "account.created";
    /// About the account.
    AccountUpdated "account.updated";
    /// About the account.
    AccountSuspended "account.suspended";
    /// About the account.
    AccountErased "account.erased";
    /// About the account.
    AccountRestored "account.restored";
    /// About the key.
    KeyCreated "key.created";
    /// About the old key.
    KeyRotated "key.rotated";
    /// About the key.
    KeyRevoked "key.revoked";
    /// About the issuer, by the hash of its URL.
    IssuerAdded "issuer.added";
    /// About the issuer, by the hash of its URL.
    IssuerRemoved "issuer.removed";
    /// About the account.
    LoginRevoked "login.revoked";
    /// About the account, or a keyed hash of the name.
    LoginFailed "login.failed";
    /// About the account.
    RecoveryIssued "recovery.issued";
    /// About the consumer.
    ConsumerAdded "consumer.added";
    /// About the consumer.
    ConsumerRotated "consumer.rotated";
    /// About the consumer.
    ConsumerRemoved "consumer.removed";
    /// About the consumer.
    ConsumerReplayed "consumer.replayed";
    /// About the code.
    InviteCreated "invite.created";
    /// About the code.
    InviteRevoked "invite.revoked";
    /// About the webhook.
    WebhookAdded "webhook.added";
    /// About the webhook.
    WebhookChanged "webhook.changed";
    /// About the webhook.
    WebhookRotated "webhook.rotated";
    /// About the webhook.
    WebhookDisabled "webhook.disabled";
    /// About the webhook.
    WebhookEnabled "webhook.enabled";
    /// About the webhook.
    WebhookRemoved "webhook.removed";
    /// About the erasure.
    ErasureAsked "erasure.asked";
    /// About the erasure.
    ErasureCancelled "erasure.cancelled";
    /// About the erasure.
    ErasureDone "erasure.done";
    /// About the erasure.
    ErasurePositions "erasure.positions";
    /// About the hold.
    HoldPlaced "hold.placed";
    /// About the hold.
    HoldLifted "hold.lifted";
    /// About the export.
    ExportRequested "export.requested";
    /// About the new epoch.
    LogRestored "log.restored";
}
