//! Logging in, staying logged in, logging out.

use std::{sync::Arc, time::Duration};

use poem_openapi::{
    Object, OpenApi,
    param::{Path, Query},
    types::Example,
};
use serde::{Deserialize, Serialize};

use crate::{
    access::{self, Access, Attempt, Exchange, Grant},
    api::{
        Body, BodyIfAny, Caller, Created, Cursor, Done, Found, Limit, Page, Proven, Reply, SignedIn, given,
        http::{examples, typed::at, values::words},
        operations::tag::Tag,
    },
    credentials::{DeviceName, Password},
    domain::{LoginId, Time, UserId, word},
    listen::ClientAddress,
};

/// The user name and password of an account
#[derive(Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(example)]
struct LoginRequest {
    /// The user name
    username: String,
    /// The password, at most 512 bytes
    #[oai(validator(max_length = 512))]
    password: String,
    /// The name of the device: one line of at most 128 bytes of UTF-8, kept as typed
    #[serde(default, deserialize_with = "given")]
    #[oai(validator(min_length = 1, max_length = 128))]
    device: Option<String>,
}

impl Example for LoginRequest {
    fn example() -> Self {
        Self {
            username: "ana".into(),
            password: "correct horse battery".into(),
            device: Some("Ana's laptop".into()),
        }
    }
}

/// The refresh token of a login
#[derive(Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(example)]
struct RefreshRequest {
    /// The `refresh_token` of the last response. It can be used once
    refresh_token: String,
}

impl Example for RefreshRequest {
    fn example() -> Self {
        Self { refresh_token: REFRESH_TOKEN.into() }
    }
}

/// The login to end, if it is not the login of the request
#[derive(Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(example)]
struct LogOutRequest {
    /// A refresh token of the login
    #[serde(default, deserialize_with = "given")]
    refresh_token: Option<String>,
}

impl Example for LogOutRequest {
    fn example() -> Self {
        Self { refresh_token: Some(REFRESH_TOKEN.into()) }
    }
}

/// The token of an external issuer, for a token exchange (RFC 8693)
#[derive(Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(example)]
struct ExchangeRequest {
    /// The grant type
    #[serde(deserialize_with = "word")]
    grant_type: GrantType,
    /// The access token of the issuer, a JWT of at most 4096 bytes
    subject_token: String,
    /// The type of the token
    #[serde(deserialize_with = "word")]
    subject_token_type: SubjectTokenType,
    /// The name of the device: one line of at most 128 bytes of UTF-8, kept as typed
    #[serde(default, deserialize_with = "given")]
    #[oai(validator(min_length = 1, max_length = 128))]
    device: Option<String>,
}

/// The kind of a token request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum GrantType {
    #[serde(rename = "urn:ietf:params:oauth:grant-type:token-exchange")]
    TokenExchange,
}

words! {
    /// The grant type
    GrantType as "GrantType": "urn:ietf:params:oauth:grant-type:token-exchange";
}

/// The kind of a token of an external issuer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum SubjectTokenType {
    #[serde(rename = "urn:ietf:params:oauth:token-type:access_token")]
    AccessToken,
    #[serde(rename = "urn:ietf:params:oauth:token-type:jwt")]
    Jwt,
}

words! {
    /// The type of the token
    SubjectTokenType as "SubjectTokenType":
        "urn:ietf:params:oauth:token-type:access_token" "urn:ietf:params:oauth:token-type:jwt";
}

impl Example for ExchangeRequest {
    fn example() -> Self {
        Self {
            grant_type: GrantType::TokenExchange,
            subject_token: "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6IjEifQ.e30.c2lnbmF0dXJl".into(),
            subject_token_type: SubjectTokenType::AccessToken,
            device: Some("Ana's laptop".into()),
        }
    }
}

const REFRESH_TOKEN: &str = "vr1.AZMPPG5CfYGMa3CBkqO0xQ.0.cLxM1rgJ9b6m";

/// How a token is presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::api) enum TokenType {
    Bearer,
}

words! {
    /// The scheme of the access token: `Authorization: Bearer <access_token>`
    TokenType as "TokenType": "Bearer";
}

/// The tokens of a login
#[derive(Serialize, Object)]
#[oai(example)]
struct Tokens {
    /// The id of the login
    login_id: LoginId,
    /// The user who logged in
    user_id: UserId,
    /// The access token for requests and sockets
    access_token: String,
    /// The scheme of the access token
    token_type: TokenType,
    /// The seconds until the access token expires
    expires_in: u64,
    /// The refresh token for the next pair of tokens. It can be used once
    refresh_token: String,
}

impl From<Grant> for Tokens {
    fn from(grant: Grant) -> Self {
        Self {
            login_id: grant.login,
            user_id: grant.user,
            access_token: grant.access_token,
            token_type: TokenType::Bearer,
            expires_in: grant.expires_in.as_secs(),
            refresh_token: grant.refresh_token,
        }
    }
}

impl Example for Tokens {
    fn example() -> Self {
        Self {
            login_id: examples::login(),
            user_id: examples::ana(),
            access_token: "eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJFZERTQSIsImtpZCI6IjEifQ.e30.c2lnbmF0dXJl".into(),
            token_type: TokenType::Bearer,
            expires_in: 600,
            refresh_token: REFRESH_TOKEN.into(),
        }
    }
}

/// A login of the caller
#[derive(Serialize, Object)]
#[oai(example)]
struct Login {
    /// The id of the login
    id: LoginId,
    /// The name of the device
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<String>,
    /// When the user logged in
    created_at: Time,
    /// When the login was last refreshed; for tokens of an external issuer, when one was last used, to the minute
    last_used_at: Time,
    /// When the login expires at the latest
    expires_at: Time,
    /// Whether this request uses the login
    current: bool,
}

impl Login {
    fn of(login: access::Login, current: LoginId) -> Self {
        Self {
            id: login.id,
            device: login.device.map(|device| device.to_string()),
            created_at: login.created_at,
            last_used_at: login.last_used_at,
            expires_at: login.expires_at,
            current: login.id == current,
        }
    }
}

impl Example for Login {
    fn example() -> Self {
        let at = examples::time();
        Self {
            id: examples::login(),
            device: Some("Ana's laptop".into()),
            created_at: at,
            last_used_at: at,
            expires_at: at.plus(Duration::from_secs(30 * 86_400)),
            current: true,
        }
    }
}

pub(in crate::api) struct Logins {
    pub(in crate::api) access: Arc<Access>,
}

#[OpenApi(tag = "Tag::Logins")]
impl Logins {
    /// Log in
    ///
    /// Checks the password and creates a login. An unknown user and a wrong password are both refused with
    /// `bad_credentials`. Wrong passwords have a rate limit per group of addresses (`login`). From the fifth wrong
    /// password for a user name on, each attempt has to wait longer, up to 15 minutes, and is refused with
    /// `rate_limited` until then. A login expires after 30 days, and after 7 days without a refresh. An account has
    /// at most 100 logins: another one ends the oldest.
    #[oai(path = "/logins", method = "post", operation_id = "log_in")]
    async fn log_in(
        &self,
        from: ClientAddress,
        body: Body<LoginRequest>,
    ) -> Result<Created<Tokens>, SignedIn> {
        let LoginRequest { username, password, device } = body.0;
        let device = device.map(|typed| at("/device", DeviceName::parse(&typed))).transpose()?;
        let password = at("/password", Password::present(password))?;
        let attempt = Attempt { username, password, device, from: from.0 };
        let grant = self.access.log_in(&attempt).await?;
        Ok(Created { location: format!("/v1/logins/{}", grant.login), body: grant.into() })
    }

    /// Exchange a token
    ///
    /// Logs in the user of an external issuer (RFC 8693). The operator configures the issuers. The first exchange of
    /// a user creates an account, if the rules of the issuer allow it. Later exchanges find the account by the issuer
    /// and its id for the user (`sub`), never by an e-mail address or a user name. A token of another issuer is
    /// refused with `unknown_issuer`.
    #[oai(path = "/logins/exchange", method = "post", operation_id = "exchange_token")]
    async fn exchange(
        &self,
        from: ClientAddress,
        body: Body<ExchangeRequest>,
    ) -> Result<Created<Tokens>, Proven> {
        let ExchangeRequest { subject_token: token, device, .. } = body.0;
        let device = device.map(|typed| at("/device", DeviceName::parse(&typed))).transpose()?;
        let grant = self.access.exchange(&Exchange { token, device, from: from.0 }).await?;
        Ok(Created { location: format!("/v1/logins/{}", grant.login), body: grant.into() })
    }

    /// Refresh tokens
    ///
    /// Returns the next pair of tokens. A refresh token can be used once. Within a grace period of 10 s a second use
    /// returns the latest pair again, because the first response may have been lost. A later use counts as theft and
    /// ends the login.
    #[oai(path = "/logins/refresh", method = "post", operation_id = "refresh_login")]
    async fn refresh(&self, body: Body<RefreshRequest>) -> Result<Reply<Tokens>, SignedIn> {
        Ok(Reply(self.access.refresh(&body.0.refresh_token).await?.into()))
    }

    /// List my logins
    ///
    /// Lists the active logins of the caller, newest first. A session that uses the tokens of an external issuer
    /// directly is a login without a device.
    #[oai(path = "/logins", method = "get", operation_id = "list_logins")]
    async fn list(
        &self,
        caller: Caller,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor<(Time, LoginId)>>>,
    ) -> Result<Reply<Page<Login>>, SignedIn> {
        let logins = self.access.logins(caller.user, cursor.0.map(|end| end.0)).await?;
        let page = Page::cut(logins, limit.0, |last| (last.created_at, last.id));
        Ok(Reply(page.map(|login| Login::of(login, caller.login))))
    }

    /// Log out
    ///
    /// Ends the login of this request, or that of a refresh token in the body. Its tokens are no longer valid, and the
    /// server closes its sockets. The response is the same if the login has already ended. An access token of this
    /// server is accepted here for 30 days after it has expired. The body is optional, and so is `refresh_token`: a
    /// refresh token that was used before names its login, too. One of another user is refused with `invalid_grant`.
    #[oai(path = "/logins/current", method = "delete", operation_id = "log_out")]
    async fn log_out(&self, caller: Caller, body: BodyIfAny<LogOutRequest>) -> Result<Done, SignedIn> {
        let refresh_token = body.0.and_then(|body| body.refresh_token);
        self.access.log_out(caller.user, caller.login, refresh_token.as_deref()).await?;
        Ok(Done)
    }

    /// Revoke a login
    ///
    /// Ends a login of the caller. Its tokens are no longer valid, and the server closes its sockets within a
    /// second.
    #[oai(path = "/logins/:id", method = "delete", operation_id = "revoke_login")]
    async fn revoke(&self, caller: Caller, id: Path<LoginId>) -> Result<Done, Found> {
        self.access.revoke(caller.user, id.0).await?;
        Ok(Done)
    }
}
