//! Access tokens: JWTs of RFC 9068, signed by Ed25519, good for ten minutes.

use std::time::Duration;

use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use jsonwebtoken::{Algorithm, Header, Validation};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use time::OffsetDateTime;

use crate::{
    cache::Cache,
    credentials::Keys,
    domain::{LoginId, Time, UserId},
};

/// How long an access token is good.
pub(crate) const ACCESS_LIFE: Duration = Duration::from_secs(600);

/// How far the clocks of two nodes may differ.
pub(crate) const LEEWAY: Duration = Duration::from_secs(30);

const MOST_BYTES: usize = 4096;
/// The most tokens that are kept, about 2 MB.
const MOST_KNOWN: usize = 16_384;
const TYPE: &str = "at+jwt";

/// The user and login of a valid token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The account.
    pub user: UserId,
    /// The login by which the token was given out; look whether it is in [`crate::live::Revoked`].
    pub login: LoginId,
    /// The end of the token, without leeway.
    pub expires_at: Time,
}

/// Why a token is refused. More is not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BadToken {
    /// Not a token of ours.
    #[error("the access token is not valid: log in")]
    Invalid,
    /// A token of ours whose time is over.
    #[error("the access token has expired: refresh it")]
    Expired,
}

/// Issues and checks access tokens.
#[derive(Debug)]
pub struct Tokens {
    keys: Keys,
    issuer: String,
    audience: String,
    /// Tokens that were found good lately, by their hash. To check a signature costs a hundred times as much as a
    /// look here. What is kept of a token never changes; whether its login was revoked is no part of it.
    known: Cache<[u8; 32], Signed>,
}

/// The claims under a good signature; only the time has to be checked again.
#[derive(Debug, Clone, Copy)]
struct Signed {
    user: UserId,
    login: LoginId,
    /// The later one of `iat` and `nbf`.
    begin: i64,
    end: Time,
}

/// Nothing but these three may be in a header. So `crit`, `b64`, `jku`, `jwk`, `x5u` and all that
/// will be invented are refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StrictHeader {
    typ: String,
    alg: String,
    kid: String,
}

/// Every claim is required and of one type; others are ignored.
#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: UserId,
    login_id: LoginId,
    jti: String,
    iat: i64,
    nbf: i64,
    exp: i64,
}

impl Tokens {
    /// Tokens of this issuer for this audience; `verbatim` is the usual name of both.
    pub fn new(keys: Keys, issuer: impl Into<String>, audience: impl Into<String>) -> Self {
        Self { keys, issuer: issuer.into(), audience: audience.into(), known: Cache::new(MOST_KNOWN) }
    }

    /// The keys that sign.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Gives out a token for [`ACCESS_LIFE`] from `now`. The same arguments make the same token.
    pub fn issue(&self, user: UserId, login: LoginId, now: Time, jti: String) -> String {
        let iat = now.unix_seconds();
        let claims = Claims {
            iss: self.issuer.clone(),
            aud: self.audience.clone(),
            sub: user,
            login_id: login,
            jti,
            iat,
            nbf: iat,
            exp: iat + LIFE_SECONDS,
        };
        let key = self.keys.current();
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(TYPE.to_owned());
        header.kid = Some(key.id.clone());
        jsonwebtoken::encode(&header, &claims, &key.signs).expect("an Ed25519 key that was parsed signs")
    }

    /// Reads a token and checks all of it but whether its login was revoked.
    pub fn verify(&self, token: &str, now: Time) -> Result<Identity, BadToken> {
        let Signed { user, login, begin, end } = self.signed(token).ok_or(BadToken::Invalid)?;
        let now = now.unix_seconds();
        if begin > now.saturating_add(LEEWAY_SECONDS) {
            return Err(BadToken::Invalid);
        }
        if now > end.unix_seconds().saturating_add(LEEWAY_SECONDS) {
            return Err(BadToken::Expired);
        }
        Ok(Identity { user, login, expires_at: end })
    }

    /// Reads a token with a good signature, expired or not.
    fn signed(&self, token: &str) -> Option<Signed> {
        if token.len() > MOST_BYTES {
            return None;
        }
        let hash = sha256(token.as_bytes());
        if let Some(signed) = self.known.get(&hash) {
            return Some(signed);
        }
        let claims = self.claims(token)?;
        let for_us = claims.iss == self.issuer && claims.aud == self.audience && !claims.jti.is_empty();
        // A longer life would outlast the memory of what was revoked.
        let lives_as_ours = (0..=LIFE_SECONDS).contains(&claims.exp.saturating_sub(claims.iat));
        let end = OffsetDateTime::from_unix_timestamp(claims.exp).ok().map(Time::of)?;
        let Claims { sub: user, login_id: login, iat, nbf, .. } = claims;
        let signed = (for_us && lives_as_ours).then_some(Signed { user, login, begin: iat.max(nbf), end })?;
        self.known.insert(hash, signed);
        Some(signed)
    }

    /// The claims of a token that one of our keys signed.
    fn claims(&self, token: &str) -> Option<Claims> {
        let header = BASE64URL.decode(token.split('.').next()?).ok()?;
        let header: StrictHeader = serde_json::from_slice(&header).ok()?;
        let key = self.keys.named(&header.kid)?;
        if header.typ != TYPE || header.alg != "EdDSA" {
            return None;
        }
        jsonwebtoken::decode(token, &key.verifies, &signature_only()).ok().map(|token| token.claims)
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

const LIFE_SECONDS: i64 = ACCESS_LIFE.as_secs().cast_signed();
const LEEWAY_SECONDS: i64 = LEEWAY.as_secs().cast_signed();

/// Claims are judged by [`Tokens::verify`]: the crate would take the time from the system, and
/// count a claim of a wrong type as absent.
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
