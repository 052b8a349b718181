//! The account of the caller.

use std::sync::Arc;

use poem_openapi::{Object, OpenApi, types::Example};
use serde::Deserialize;

use crate::{
    access::{Access, AccountChanges},
    api::{
        Body, Caller, Confirmed, Done, Reply, SignedIn, given,
        http::{examples, or_null::OrNull, typed::at},
        operations::{accounts::Account, tag::Tag},
    },
    credentials::{AvatarUrl, DisplayName, Password},
    listen::ClientAddress,
};

/// The fields to change; an absent field keeps its value
#[derive(Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(example)]
struct AccountUpdate {
    /// The name that other users see: one line of at most 128 bytes of UTF-8, kept as typed
    #[serde(default, deserialize_with = "given")]
    #[oai(validator(min_length = 1, max_length = 128))]
    display_name: Option<String>,
    /// The https URL of a picture, at most 2048 bytes, without a user name or password. `null` removes the picture
    #[serde(default, deserialize_with = "given")]
    #[oai(validator(max_length = 2048))]
    avatar_url: Option<OrNull<String>>,
}

impl Example for AccountUpdate {
    fn example() -> Self {
        Self { display_name: Some("Ana María".into()), avatar_url: Some(examples::avatar()) }
    }
}

/// The new password, and the current one as proof
#[derive(Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(example)]
struct PasswordChange {
    /// The current password, at most 512 bytes
    #[oai(validator(max_length = 512))]
    current_password: String,
    /// The new password: any visible characters, spaces and U+0000, at most 512 bytes, prepared by `OpaqueString` of
    /// RFC 8265. The server rejects the most common passwords
    #[oai(validator(min_length = 8, max_length = 128))]
    new_password: String,
}

impl Example for PasswordChange {
    fn example() -> Self {
        Self { current_password: "correct horse battery".into(), new_password: "staple, but longer".into() }
    }
}

pub(in crate::api) struct Me {
    pub(in crate::api) access: Arc<Access>,
}

#[OpenApi(tag = "Tag::Accounts")]
impl Me {
    /// Get my account
    ///
    /// Returns the account of the caller.
    #[oai(path = "/me", method = "get", operation_id = "get_me")]
    async fn get(&self, caller: Caller) -> Result<Reply<Account>, SignedIn> {
        Ok(Reply(self.access.account(caller.user).await?.into()))
    }

    /// Change my account
    ///
    /// Changes the display name or the picture of the caller.
    #[oai(path = "/me", method = "patch", operation_id = "update_me")]
    async fn update(&self, caller: Caller, body: Body<AccountUpdate>) -> Result<Reply<Account>, SignedIn> {
        let AccountUpdate { display_name, avatar_url } = body.0;
        let name = display_name.map(|typed| at("/display_name", DisplayName::parse(&typed))).transpose()?;
        let parse = |url: String| at("/avatar_url", AvatarUrl::parse(&url));
        let avatar_url = avatar_url.map(|OrNull(url)| url.map(parse).transpose()).transpose()?;
        let changes = AccountChanges { display_name: name, avatar_url };
        Ok(Reply(self.access.change(caller.user, caller.by(), &changes).await?.into()))
    }

    /// Change my password
    ///
    /// Changes the password and ends all other logins of the caller. A wrong current password is refused with
    /// `wrong_password`, and counts like a wrong password at login. The account of a user from a host application or an
    /// external issuer has no password (409 `no_password`). A repeated request is answered like the first one: send it
    /// again if the response was lost.
    #[oai(path = "/me/password", method = "put", operation_id = "change_password")]
    async fn change_password(
        &self,
        caller: Caller,
        from: ClientAddress,
        body: Body<PasswordChange>,
    ) -> Result<Done, Confirmed> {
        let current = at("/current_password", Password::present(body.0.current_password))?;
        let new = body.0.new_password;
        self.access.change_password(caller.user, caller.login, &current, new, from.0).await?;
        Ok(Done)
    }
}
