//! Registering.

use poem_openapi::{Object, OpenApi, types::Example};
use serde::{Deserialize, Serialize};

use crate::{
    accounts,
    api::{
        Below, Body, Claimed, Created, Tag, given,
        http::{examples, typed::at},
    },
    credentials::{DisplayName, Password, Username},
    domain::{Time, UserId},
};

/// A wish for an account
#[derive(Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(example)]
struct RegisterRequest {
    /// The name by which the account is found: letters and digits of one script, with `_`, `.` and
    /// `-` between them, kept in lower case
    #[oai(validator(min_length = 1, max_length = 64))]
    username: String,
    /// Any characters, but none of the most used passwords; at most 512 bytes
    #[oai(validator(min_length = 8, max_length = 128))]
    password: String,
    /// How the person likes to be called: one line of at most 128 bytes of UTF-8, kept as typed; the user name
    /// as typed, if absent
    #[serde(default, deserialize_with = "given")]
    #[oai(validator(min_length = 1, max_length = 128))]
    display_name: Option<String>,
}

impl Example for RegisterRequest {
    fn example() -> Self {
        Self {
            username: "ana".into(),
            password: "correct horse battery".into(),
            display_name: Some("Ana María".into()),
        }
    }
}

/// An account, for the person whose it is
#[derive(Serialize, Object)]
#[oai(example)]
pub(in crate::api) struct Account {
    /// Its id
    id: UserId,
    /// The name by which it is found
    username: String,
    /// How the person likes to be called
    display_name: String,
    /// When it was registered
    created_at: Time,
}

impl From<accounts::Account> for Account {
    fn from(account: accounts::Account) -> Self {
        Self {
            id: account.id,
            username: account.username.to_string(),
            display_name: account.display_name.to_string(),
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
            created_at: examples::time(),
        }
    }
}

pub(in crate::api) struct Accounts(pub(in crate::api) Below);

#[OpenApi(tag = "Tag::Accounts")]
impl Accounts {
    /// Register
    ///
    /// Makes an account. A name that somebody has, or that looks like it, is `username_taken`.
    #[oai(path = "/accounts", method = "post", operation_id = "register")]
    async fn register(&self, body: Body<RegisterRequest>) -> Result<Created<Account>, Claimed> {
        let RegisterRequest { username: typed, password, display_name } = body.0;
        let username = at("/username", Username::parse(&typed))?;
        let password = at("/password", Password::choose(password, &username))?;
        let name = at("/display_name", DisplayName::parse(display_name.as_deref().unwrap_or(&typed)))?;

        let Below { pool, hasher, clock, .. } = &self.0;
        let hash = hasher.hash(&password).await?;
        let id = clock.id(UserId::known);
        let account = accounts::register(pool, id, &username, &name, &hash, clock.now()).await?;
        Ok(Created { location: format!("/v1/users/{id}"), body: account.into() })
    }
}
