//! The shapes of a host application's users.

use poem_openapi::{Object, types::Example};
use serde::{Deserialize, Serialize};

use crate::{
    access::{HostUser, ProvisionedUser},
    api::{
        Few, Problem, given,
        http::{examples, or_null::OrNull, typed::at, values::words},
    },
    commands::Written,
    credentials::{AvatarUrl, DisplayName, Username},
    domain::{ExternalId, HostRole, Json, Metadata, Time, UserId, UserKind},
};

/// The maximum number of roles of a user.
pub(super) const MOST_ROLES: usize = 32;

/// What a request changed. `error` occurs only in a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::api) enum ProvisionResult {
    Created,
    Updated,
    Unchanged,
    Error,
}

words! {
    /// What a request changed. Only an item of a batch can be `error`
    ProvisionResult as "ProvisionResult": "created" "updated" "unchanged" "error";
}

impl From<Written> for ProvisionResult {
    fn from(written: Written) -> Self {
        match written {
            Written::Created => Self::Created,
            Written::Updated => Self::Updated,
            Written::Unchanged => Self::Unchanged,
        }
    }
}

/// A user of the host application. The request replaces all fields: an absent `avatar_url`, `metadata` or `roles` is
/// removed
#[derive(Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(example)]
pub(in crate::api) struct HostUserRequest {
    /// The name that other users see: one line of at most 128 bytes of UTF-8
    #[oai(validator(min_length = 1, max_length = 128))]
    display_name: String,
    /// The name by which other users find the account. Without it, a new account gets a name derived from
    /// `display_name`, and an existing account keeps its name
    #[serde(default, deserialize_with = "given")]
    #[oai(validator(min_length = 1, max_length = 64))]
    username: Option<String>,
    /// The https URL of a picture of the user
    #[serde(default, deserialize_with = "given")]
    avatar_url: Option<OrNull<String>>,
    /// JSON that the host application stores with the user: an object of at most 4 KiB, which no other user sees
    #[serde(default, deserialize_with = "given")]
    metadata: Option<OrNull<Metadata>>,
    /// The roles of the user in the host application. They do not affect roles in conversations
    #[serde(default, deserialize_with = "given")]
    roles: Option<Few<HostRole, MOST_ROLES>>,
}

impl Example for HostUserRequest {
    fn example() -> Self {
        Self {
            display_name: "Ana María".into(),
            username: Some("ana".into()),
            avatar_url: Some(examples::avatar()),
            metadata: None,
            roles: Some([examples::host_role()].into_iter().collect()),
        }
    }
}

impl HostUserRequest {
    /// The user, or an error that points at the wrong field below `pointer`.
    pub(in crate::api) fn parse(self, external_id: ExternalId, pointer: &str) -> Result<HostUser, Problem> {
        let at_name = format!("{pointer}/display_name");
        let username = self.username.map(|typed| Username::parse(&typed)).transpose();
        let avatar_url = self.avatar_url.and_then(|OrNull(url)| url).map(|url| AvatarUrl::parse(&url));
        let mut roles = self.roles.map(Few::into_vec).unwrap_or_default();
        roles.sort();
        roles.dedup();
        Ok(HostUser {
            external_id,
            display_name: at(&at_name, DisplayName::parse(&self.display_name))?,
            username: at(&format!("{pointer}/username"), username)?,
            avatar_url: at(&format!("{pointer}/avatar_url"), avatar_url.transpose())?,
            metadata: self.metadata.and_then(|OrNull(metadata)| metadata),
            roles,
        })
    }
}

/// A user of a batch
#[derive(Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(example)]
pub(in crate::api) struct HostUserItem {
    /// The id in the host application
    pub(in crate::api) external_id: ExternalId,
    /// The name that other users see: one line of at most 128 bytes of UTF-8
    #[oai(validator(min_length = 1, max_length = 128))]
    display_name: String,
    /// The name by which other users find the account
    #[serde(default, deserialize_with = "given")]
    #[oai(validator(min_length = 1, max_length = 64))]
    username: Option<String>,
    /// The https URL of a picture of the user
    #[serde(default, deserialize_with = "given")]
    avatar_url: Option<OrNull<String>>,
    /// JSON that the host application stores with the user: an object of at most 4 KiB, which no other user sees
    #[serde(default, deserialize_with = "given")]
    metadata: Option<OrNull<Metadata>>,
    /// The roles of the user in the host application. They do not affect roles in conversations
    #[serde(default, deserialize_with = "given")]
    roles: Option<Few<HostRole, MOST_ROLES>>,
}

impl HostUserItem {
    pub(in crate::api) fn parse(self, pointer: &str) -> Result<HostUser, Problem> {
        let Self { external_id, display_name, username, avatar_url, metadata, roles } = self;
        HostUserRequest { display_name, username, avatar_url, metadata, roles }.parse(external_id, pointer)
    }
}

impl Example for HostUserItem {
    fn example() -> Self {
        let HostUserRequest { display_name, username, avatar_url, metadata, roles } =
            HostUserRequest::example();
        Self { external_id: examples::external_id(), display_name, username, avatar_url, metadata, roles }
    }
}

/// A user of the host application
#[derive(Serialize, Object)]
#[oai(example)]
pub(in crate::api) struct HostUserAnswer {
    /// The id of the user
    id: UserId,
    /// The id in the host application
    external_id: ExternalId,
    /// The name by which other users find the account
    username: String,
    /// The name that other users see
    display_name: String,
    /// The https URL of a picture of the user; null if there is none
    avatar_url: OrNull<String>,
    /// Whether the user is a person or a program
    kind: UserKind,
    /// The JSON that the host application stores with the user; null if there is none
    metadata: OrNull<Json>,
    /// The roles of the user in the host application
    roles: Vec<HostRole>,
    /// When the account was deactivated; null for an active account
    deactivated_at: OrNull<Time>,
    /// What the request changed; absent in the response to a read
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<ProvisionResult>,
}

impl HostUserAnswer {
    pub(in crate::api) fn of(user: ProvisionedUser, result: Option<Written>) -> Self {
        let ProvisionedUser { external_id, account, metadata, roles, deactivated_at } = user;
        Self {
            id: account.id,
            external_id,
            username: account.username.to_string(),
            display_name: account.display_name.to_string(),
            avatar_url: OrNull(account.avatar_url.map(|url| url.to_string())),
            kind: account.kind,
            metadata: OrNull(metadata),
            roles,
            deactivated_at: OrNull(deactivated_at),
            result: result.map(ProvisionResult::from),
        }
    }
}

impl Example for HostUserAnswer {
    fn example() -> Self {
        Self {
            id: examples::ana(),
            external_id: examples::external_id(),
            username: "ana".into(),
            display_name: "Ana María".into(),
            avatar_url: examples::avatar(),
            kind: UserKind::User,
            metadata: OrNull(Some(r#"{"crm":{"id":4711}}"#.parse().expect("JSON"))),
            roles: vec![examples::host_role()],
            deactivated_at: OrNull(Some(examples::time())),
            result: Some(ProvisionResult::Created),
        }
    }
}
