//! Tokens that a host application makes for its users.

use std::{sync::Arc, time::Duration};

use poem_openapi::{Object, OpenApi, param::Path, types::Example};
use serde::{Deserialize, Serialize};

use crate::{
    access::{Access, HostLogin},
    api::{
        BodyIfAny, Caller, Created, Problem, Ruled, given,
        http::{examples, scopes::Need, typed::at},
        operations::{host_user::HostUserRequest, logins::TokenType, tag::Tag},
    },
    credentials::{ACCESS_LIFE, DeviceName, HOST_LIFE, SHORTEST_HOST_LIFE, Scope},
    domain::{ExternalId, LoginId, UserId},
};

/// The login to create for a user of the host application
#[derive(Default, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(example)]
struct HostTokenRequest {
    /// The lifetime of each access token, in seconds: 60 to 3600. The default is 600
    #[serde(default, deserialize_with = "given")]
    #[oai(validator(minimum(value = "60"), maximum(value = "3600")))]
    expires_in: Option<u64>,
    /// The name of the device, in the user's list of logins: one line of at most 128 bytes of UTF-8
    #[serde(default, deserialize_with = "given")]
    #[oai(validator(min_length = 1, max_length = 128))]
    device: Option<String>,
    /// Whether to return a refresh token. Without one, the login ends with its access token
    #[serde(default, deserialize_with = "given")]
    refresh: Option<bool>,
    /// The user to provision first, as `PUT` does. Needs the scope `users:write`
    #[serde(default, deserialize_with = "given")]
    upsert: Option<HostUserRequest>,
}

impl Example for HostTokenRequest {
    fn example() -> Self {
        Self { expires_in: Some(600), device: Some("Ana's laptop".into()), refresh: None, upsert: None }
    }
}

/// The tokens of a login that a host application created
#[derive(Serialize, Object)]
#[oai(example)]
struct HostTokens {
    /// The id of the login. The user can list the login, and revoke it
    login_id: LoginId,
    /// The user of the login
    user_id: UserId,
    /// The access token for requests and sockets. Its claim `via` is the id of the service account
    access_token: String,
    /// The scheme of the access token
    token_type: TokenType,
    /// The seconds until the access token expires
    expires_in: u64,
    /// The refresh token for the next pair of tokens. It can be used once
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
}

impl Example for HostTokens {
    fn example() -> Self {
        Self {
            login_id: examples::login(),
            user_id: examples::ana(),
            access_token: "eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJFZERTQSIsImtpZCI6IjEifQ.e30.c2lnbmF0dXJl".into(),
            token_type: TokenType::Bearer,
            expires_in: 600,
            refresh_token: None,
        }
    }
}

pub(in crate::api) struct HostTokenOperations {
    pub(in crate::api) access: Arc<Access>,
}

#[OpenApi(tag = "Tag::Provisioning")]
impl HostTokenOperations {
    /// Create tokens for a user
    ///
    /// Creates a login for a user of the host application. The user can list and revoke the login, and its tokens
    /// open sockets like those of any login. A deactivated user is refused with `suspended`.
    #[oai(path = "/provision/users/:external_id/tokens", method = "post", operation_id = "make_user_tokens")]
    async fn post(
        &self,
        caller: Caller,
        external_id: Path<ExternalId>,
        body: BodyIfAny<HostTokenRequest>,
    ) -> Result<Created<HostTokens>, Ruled> {
        let HostTokenRequest { expires_in, device, refresh, upsert } = body.0.unwrap_or_default();
        let device = device.map(|typed| DeviceName::parse(&typed)).transpose();
        let wanted = HostLogin {
            via: caller.user,
            life: life(expires_in)?,
            device: at("/device", device)?,
            refreshes: refresh.unwrap_or(false),
        };
        if let Some(user) = upsert {
            Need::Scope(Scope::UsersWrite).of(&caller)?;
            self.access.provision(caller.user, &user.parse(external_id.0.clone(), "/upsert")?).await?;
        }
        let grant = self.access.log_in_for_host(&external_id.0, &wanted).await?;
        let body = HostTokens {
            login_id: grant.login,
            user_id: grant.user,
            access_token: grant.access_token,
            token_type: TokenType::Bearer,
            expires_in: grant.expires_in.as_secs(),
            refresh_token: wanted.refreshes.then_some(grant.refresh_token),
        };
        Ok(Created { location: format!("/v1/logins/{}", grant.login), body })
    }
}

fn life(seconds: Option<u64>) -> Result<Duration, Problem> {
    let life = seconds.map_or(ACCESS_LIFE, Duration::from_secs);
    if (SHORTEST_HOST_LIFE..=HOST_LIFE).contains(&life) {
        return Ok(life);
    }
    let (least, most) = (SHORTEST_HOST_LIFE.as_secs(), HOST_LIFE.as_secs());
    let detail = format!("must be {least} to {most} seconds");
    Err(Problem::invalid("/expires_in", "out_of_range", detail))
}
