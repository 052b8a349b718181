//! Access tokens: JWTs of RFC 9068, signed with Ed25519, valid for ten minutes, or for the lifetime that a host
//! application requests.

use std::{
    fmt::Display,
    str::FromStr,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use jsonwebtoken::{Algorithm, Header, Validation};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use thiserror::Error;
use time::OffsetDateTime;

use crate::{
    cache::Cache,
    credentials::{Identity, Keys, Proof, Scopes, sha256::sha256},
    domain::{LoginId, Time, UserId},
};

/// How long an access token is valid.
pub(crate) const ACCESS_LIFE: Duration = Duration::from_secs(600);

/// The longest lifetime of an access token that a host application can request.
pub(crate) const HOST_LIFE: Duration = Duration::from_secs(3_600);

/// The shortest lifetime of an access token that a host application can request.
pub(crate) const SHORTEST_HOST_LIFE: Duration = Duration::from_secs(60);

/// How far the clocks of two nodes may differ.
pub(crate) const LEEWAY: Duration = Duration::from_secs(30);

/// The default issuer name and audience of Verbatim's tokens.
pub(crate) const OURS: &str = "verbatim";

const MOST_BYTES: usize = 4096;
/// The maximum number of checked tokens in memory, about 2 MB.
const MOST_KNOWN: usize = 16_384;
const TYPE: &str = "at+jwt";

/// Why a token is rejected. A client learns no further details.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BadToken {
    /// The text is not a token of Verbatim.
    #[error("the access token is not valid: log in")]
    Invalid,
    /// The token is one of Verbatim's and has expired.
    #[error("the access token has expired: refresh it")]
    Expired,
}

/// The effect of new keys.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NewKeys {
    /// The keys are the current ones.
    Same,
    /// The tokens of the key that has signed until now are still accepted.
    Rotated,
    /// The key that has signed until now is gone, and all logins have ended with it. These are the logins whose tokens
    /// were checked lately.
    Replaced(Vec<LoginId>),
}

/// The terms of the access tokens of a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Terms {
    /// How long each token is valid.
    pub life: Duration,
    /// The service account that asked for the login. Only its tokens may live longer than [`ACCESS_LIFE`].
    pub via: Option<UserId>,
}

/// The terms of a login that began with a password.
impl Default for Terms {
    fn default() -> Self {
        Self { life: ACCESS_LIFE, via: None }
    }
}

impl Terms {
    /// The terms from their columns.
    pub(crate) fn stored(via: Option<UserId>, seconds: Option<i32>) -> Self {
        let life = seconds.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs);
        Self { life: life.unwrap_or(ACCESS_LIFE), via }
    }

    /// The lifetime as a column.
    pub(crate) fn life_in_seconds(self) -> i32 {
        i32::try_from(self.life.as_secs()).unwrap_or(i32::MAX)
    }
}

/// Issues and checks access tokens.
#[derive(Debug)]
pub struct Tokens {
    issuer: String,
    audience: String,
    state: RwLock<Arc<State>>,
}

/// The keys, and the tokens that they have checked. Both are replaced together, so that the tokens of a removed key are
/// forgotten.
#[derive(Debug)]
struct State {
    keys: Arc<Keys>,
    /// The claims of recently checked tokens with a valid signature, by the hash of the token. Checking a signature
    /// costs a hundred times as much as a lookup here. Entries never become stale: the claims of a token never change,
    /// and whether its login was revoked is checked elsewhere.
    known: Cache<[u8; 32], Signed>,
}

/// The claims of a token with a valid signature. Only their times must be checked at each use.
#[derive(Debug, Clone, Copy)]
struct Signed {
    user: UserId,
    login: LoginId,
    /// The time from which the token is valid: the later of `iat` and `nbf`.
    begin: i64,
    end: Time,
    via: Option<UserId>,
}

/// A header with exactly these three members. So `crit`, `b64`, `jku`, `jwk`, `x5u` and all future members are refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StrictHeader {
    typ: String,
    alg: String,
    kid: String,
}

/// The claims of Verbatim's tokens. All except `via` are required, and each has one type; other claims are ignored.
#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    #[serde(deserialize_with = "as_issued")]
    sub: UserId,
    #[serde(deserialize_with = "as_issued")]
    login_id: LoginId,
    jti: String,
    iat: i64,
    nbf: i64,
    exp: i64,
    /// The service account that asked for the login. It is absent from the tokens of all other logins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    via: Option<UserId>,
}

/// An id in the spelling of [`Tokens::issue_on`]: a token with another spelling was not issued by Verbatim.
fn as_issued<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: FromStr<Err: Display> + Display,
    D: Deserializer<'de>,
{
    let text = String::deserialize(deserializer)?;
    let id: T = text.parse().map_err(D::Error::custom)?;
    if id.to_string() == text { Ok(id) } else { Err(D::Error::custom("not in lower case")) }
}

impl Tokens {
    /// An issuer with this name, for this audience; the default of both is `verbatim`.
    pub fn new(keys: Keys, issuer: impl Into<String>, audience: impl Into<String>) -> Self {
        Self { issuer: issuer.into(), audience: audience.into(), state: RwLock::new(State::new(keys)) }
    }

    /// The name of this issuer in its tokens.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The keys of this issuer.
    pub fn keys(&self) -> Arc<Keys> {
        self.state().keys.clone()
    }

    /// Signs and checks with these keys from now on.
    pub(crate) fn replace_keys(&self, keys: Keys) -> NewKeys {
        let before = self.state();
        if keys.ids().eq(before.keys.ids()) {
            return NewKeys::Same;
        }
        let still_has_signer = keys.named(&before.keys.current().id).is_some();
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = State::new(keys);
        if still_has_signer {
            return NewKeys::Rotated;
        }
        NewKeys::Replaced(before.known.map_all(|signed| signed.login))
    }

    fn state(&self) -> Arc<State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Issues a token that is valid for ten minutes from `now`. The same arguments produce the same token.
    pub fn issue(&self, user: UserId, login: LoginId, now: Time, jti: String) -> String {
        self.issue_on(Terms::default(), user, login, now, jti)
    }

    /// Issues a token for a login with terms of its own.
    pub(crate) fn issue_on(
        &self,
        terms: Terms,
        user: UserId,
        login: LoginId,
        now: Time,
        jti: String,
    ) -> String {
        let iat = now.unix_seconds();
        let claims = Claims {
            iss: self.issuer.clone(),
            aud: self.audience.clone(),
            sub: user,
            login_id: login,
            jti,
            iat,
            nbf: iat,
            exp: iat + seconds(terms.life),
            via: terms.via,
        };
        let keys = self.keys();
        let key = keys.current();
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(TYPE.to_owned());
        header.kid = Some(key.id.clone());
        jsonwebtoken::encode(&header, &claims, &key.signs).expect("an Ed25519 key that was parsed signs")
    }

    /// Checks a token completely, except whether its login was revoked.
    pub fn verify(&self, token: &str, now: Time) -> Result<Identity, BadToken> {
        let signed = self.signed(token).ok_or(BadToken::Invalid)?;
        let now = now.unix_seconds();
        if signed.begin > now.saturating_add(LEEWAY_SECONDS) {
            return Err(BadToken::Invalid);
        }
        if now > signed.end.unix_seconds().saturating_add(LEEWAY_SECONDS) {
            return Err(BadToken::Expired);
        }
        Ok(signed.identity())
    }

    /// The identity in a token that Verbatim has issued, even if the token has expired.
    pub(crate) fn issued(&self, token: &str) -> Option<Identity> {
        self.signed(token).map(Signed::identity)
    }

    /// The claims of a token with a valid signature and Verbatim's issuer and audience, expired or not.
    fn signed(&self, token: &str) -> Option<Signed> {
        if token.len() > MOST_BYTES {
            return None;
        }
        let hash = sha256(token);
        // A token that is checked during a replacement of the keys is cached with the old keys, and forgotten with
        // them.
        let state = self.state();
        if let Some(signed) = state.known.get(&hash) {
            return Some(signed);
        }
        let claims = claims(&state.keys, token)?;
        let for_us = claims.iss == self.issuer && claims.aud == self.audience && !claims.jti.is_empty();
        // A token with a longer lifetime would outlive the deny set's entry for its login, and be accepted again.
        let longest = if claims.via.is_some() { HOST_LIFE } else { ACCESS_LIFE };
        let lives_as_ours = (0..=seconds(longest)).contains(&claims.exp.saturating_sub(claims.iat));
        let end = OffsetDateTime::from_unix_timestamp(claims.exp).ok().map(Time::of)?;
        let Claims { sub: user, login_id: login, iat, nbf, via, .. } = claims;
        let signed =
            (for_us && lives_as_ours).then_some(Signed { user, login, begin: iat.max(nbf), end, via })?;
        state.known.insert(hash, signed);
        Some(signed)
    }
}

impl Signed {
    fn identity(self) -> Identity {
        let Self { user, login, end, via, .. } = self;
        Identity { user, login, proof: Proof::Login, expires_at: end, via, scopes: Scopes::PERSON }
    }
}

impl State {
    fn new(keys: Keys) -> Arc<Self> {
        Arc::new(Self { keys: Arc::new(keys), known: Cache::new("access_tokens", MOST_KNOWN) })
    }
}

/// The claims of a token that one of the keys signed.
fn claims(keys: &Keys, token: &str) -> Option<Claims> {
    let header = BASE64URL.decode(token.split('.').next()?).ok()?;
    let header: StrictHeader = serde_json::from_slice(&header).ok()?;
    let key = keys.named(&header.kid)?;
    if header.typ != TYPE || header.alg != "EdDSA" {
        return None;
    }
    jsonwebtoken::decode(token, &key.verifies, &signature_only()).ok().map(|token| token.claims)
}

const fn seconds(life: Duration) -> i64 {
    life.as_secs().cast_signed()
}

const LEEWAY_SECONDS: i64 = seconds(LEEWAY);

/// Checks only the signature. [`Tokens::verify`] checks the claims itself, because the crate would use the system time,
/// and would treat a claim of a wrong type as absent.
fn signature_only() -> Validation {
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation
}

#[cfg(test)]
#[path = "tokens_tests.rs"]
mod tests;
