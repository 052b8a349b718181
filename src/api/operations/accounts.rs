//! The registration of accounts.

use std::sync::Arc;

use poem_openapi::{Object, OpenApi, types::Example};
use serde::{Deserialize, Serialize};

use crate::{
    access::{self, Access},
    api::{
        Body, Claimed, Created, given,
        http::{examples, or_null::OrNull, typed::at},
        operations::tag::Tag,
    },
    credentials::{DisplayName, Password, Username},
    domain::{Time, UserId, UserKind},
    listen::ClientAddress,
};

/// The data of a new account
#[derive(Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(example)]
struct RegisterRequest {
    /// The name by which other users find the account: letters and digits of one script, with `_`, `.` and `-`
    /// between them, prepared by `UsernameCaseMapped` of RFC 8265. The server keeps it in lower case
    #[oai(validator(min_length = 1, max_length = 64))]
    username: String,
    /// The password: any visible characters, spaces and U+0000, at most 512 bytes, prepared by `OpaqueString` of RFC
    /// 8265. The server rejects the most common passwords
    #[oai(validator(min_length = 8, max_length = 128))]
    password: String,
    /// The name that other users see: one line of at most 128 bytes of UTF-8, kept as typed. The default is the
    /// user name as typed, cut to 128 bytes
    #[serde(default, deserialize_with = "given")]
    #[oai(validator(min_length = 1, max_length = 128))]
    display_name: Option<String>,
    /// The invitation code, if the server requires one (`registration` of `GET /v1/info`)
    #[serde(default, deserialize_with = "given")]
    #[oai(validator(min_length = 1, max_length = 128))]
    invite: Option<String>,
}

impl Example for RegisterRequest {
    fn example() -> Self {
        Self {
            username: "ana".into(),
            password: "correct horse battery".into(),
            display_name: Some("Ana María".into()),
            invite: None,
        }
    }
}

/// The account of the caller
#[derive(Serialize, Object)]
#[oai(example)]
pub(in crate::api) struct Account {
    /// The id of the user
    id: UserId,
    /// The name by which other users find the account
    username: String,
    /// The name that other users see
    display_name: String,
    /// The https URL of a picture of the user; null if there is none
    avatar_url: OrNull<String>,
    /// Whether the user is a person or a program
    kind: UserKind,
    /// When the account was created
    created_at: Time,
}

impl From<access::Account> for Account {
    fn from(account: access::Account) -> Self {
        Self {
            id: account.id,
            username: account.username.to_string(),
            display_name: account.display_name.to_string(),
            avatar_url: OrNull(account.avatar_url.map(|url| url.to_string())),
            kind: account.kind,
            created_at: account.created_at,
        }
    }
}

impl Example for Account {
    fn example() -> Self {
        Self {
            id: examples::ana(),
            username: "ana".into(),
            display_name: "Ana María".into(),
            avatar_url: examples::avatar(),
            kind: UserKind::User,
            created_at: examples::time(),
        }
    }
}

pub(in crate::api) struct Accounts {
    pub(in crate::api) access: Arc<Access>,
}

#[OpenApi(tag = "Tag::Accounts")]
impl Accounts {
    /// Register
    ///
    /// Creates an account. A user name that is taken, or too similar to one that is taken, is refused with
    /// `username_taken`. The server may require an invitation code (`invalid_invite`) or may not accept registrations
    /// at all (`registration_closed`): see `registration` of `GET /v1/info`.
    #[oai(path = "/accounts", method = "post", operation_id = "register")]
    async fn register(
        &self,
        from: ClientAddress,
        body: Body<RegisterRequest>,
    ) -> Result<Created<Account>, Claimed> {
        let RegisterRequest { username: typed, password, display_name, invite } = body.0;
        let username = at("/username", Username::parse(&typed))?;
        let password = at("/password", Password::choose(password, &username))?;
        let name = match display_name {
            Some(name) => at("/display_name", DisplayName::parse(&name))?,
            None => at("/username", DisplayName::of_username(&typed))?,
        };
        let account = self.access.register(&username, &name, &password, invite.as_deref(), from.0).await?;
        Ok(Created { location: format!("/v1/users/{}", account.id), body: account.into() })
    }
}
