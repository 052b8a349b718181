//! One's own account.

use poem_openapi::{Object, OpenApi, types::Example};
use serde::Deserialize;

use sqlx::PgPool;

use crate::{
    access::Revoking,
    accounts,
    api::operations::tag::Tag,
    api::{
        Body, Caller, Done, Problem, Proven, Reply, SignedIn, http::typed::at, operations::accounts::Account,
    },
    clock::Clock,
    credentials::Hasher,
    credentials::{DisplayName, Password},
};

/// The fields to change
#[derive(Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(example)]
struct AccountUpdate {
    /// The name that other users see: one line of at most 128 bytes of UTF-8, kept as typed
    #[oai(validator(min_length = 1, max_length = 128))]
    display_name: String,
}

impl Example for AccountUpdate {
    fn example() -> Self {
        Self { display_name: "Ana María".into() }
    }
}

/// The new password, and the present one as proof
#[derive(Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(example)]
struct PasswordChange {
    /// The present password, at most 512 bytes
    #[oai(validator(max_length = 512))]
    current_password: String,
    /// The new password: any characters, at most 512 bytes. The server refuses the most used passwords
    #[oai(validator(min_length = 8, max_length = 128))]
    new_password: String,
}

impl Example for PasswordChange {
    fn example() -> Self {
        Self { current_password: "correct horse battery".into(), new_password: "staple, but longer".into() }
    }
}

pub(in crate::api) struct Me {
    pub(in crate::api) pool: PgPool,
    pub(in crate::api) hasher: Hasher,
    pub(in crate::api) clock: Clock,
    pub(in crate::api) revoking: Revoking,
}

#[OpenApi(tag = "Tag::Accounts")]
impl Me {
    /// Get my account
    ///
    /// Returns the account of the caller.
    #[oai(path = "/me", method = "get", operation_id = "get_me")]
    async fn get(&self, caller: Caller) -> Result<Reply<Account>, SignedIn> {
        let account = accounts::find(&self.pool, caller.user).await?.ok_or_else(gone)?;
        Ok(Reply(account.into()))
    }

    /// Change my account
    ///
    /// Changes the display name of the caller.
    #[oai(path = "/me", method = "patch", operation_id = "update_me")]
    async fn update(&self, caller: Caller, body: Body<AccountUpdate>) -> Result<Reply<Account>, SignedIn> {
        let name = at("/display_name", DisplayName::parse(&body.0.display_name))?;
        let account = accounts::rename(&self.pool, caller.user, &name).await?.ok_or_else(gone)?;
        Ok(Reply(account.into()))
    }

    /// Change my password
    ///
    /// Changes the password and ends all other logins of the caller. A wrong present password gets
    /// `wrong_password`.
    #[oai(path = "/me/password", method = "put", operation_id = "change_password")]
    async fn change_password(&self, caller: Caller, body: Body<PasswordChange>) -> Result<Done, Proven> {
        let Self { pool, hasher, clock, .. } = self;
        let current = at("/current_password", Password::present(body.0.current_password))?;
        let username = accounts::find(pool, caller.user).await?.ok_or_else(gone)?.username;
        let new = at("/new_password", Password::choose(body.0.new_password, &username))?;
        let ended =
            accounts::change_password(pool, hasher, caller.user, caller.login, &current, &new, clock.now())
                .await?;
        self.revoking.cut_off(&ended).await;
        Ok(Done)
    }
}

/// A token can outlive its account by minutes.
fn gone() -> Problem {
    Problem::unauthorized("invalid_token", "This account is no more.")
}
