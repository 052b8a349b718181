//! Authentication: the one function that all edges ask, whatever the form of the proof.

use std::{net::IpAddr, sync::Arc};

use sqlx::PgPool;

use super::external::External;
use crate::{
    clock::Clock,
    credentials::{BadToken, Identity, PresentedKey, Tokens},
    issuers::NotProven,
    limits::{Exceeded, RateLimits},
    live::{ApiKeys, Revoked},
    shares::NoPlace,
};

/// The parts that judge bearer texts. Cheap to clone.
#[derive(Clone)]
pub struct Bearers {
    /// The keys that check our access tokens.
    pub tokens: Arc<Tokens>,
    /// The API keys that were used lately.
    pub keys: Arc<ApiKeys>,
    /// The users of external issuers, if there are any issuers.
    pub external: Option<External>,
    /// The logins and keys that have ended.
    pub revoked: Arc<Revoked>,
    /// The rate limits, here on look-ups of keys.
    pub limits: Arc<RateLimits>,
    /// The database, which is told of the use of keys.
    pub pool: PgPool,
    /// The time, by which proofs expire.
    pub clock: Clock,
}

/// Why a bearer text is refused.
#[derive(Debug, thiserror::Error)]
pub enum NotAuthenticated {
    /// The text is not an access token that is valid now.
    #[error(transparent)]
    Token(#[from] BadToken),
    /// The text is no token of ours, and the token of an external issuer does not count.
    #[error(transparent)]
    External(#[from] NotProven),
    /// The user has too many logins that begin.
    #[error("too many logins begin at this moment: try again")]
    NoPlace(NoPlace),
    /// The login of the token has ended.
    #[error("this login has been revoked: log in again")]
    Revoked,
    /// The text is not an API key, or the key was revoked.
    #[error("the API key is not valid: use another key")]
    InvalidKey,
    /// The time of the key is over.
    #[error("the API key has expired: use another key")]
    KeyExpired,
    /// The key may not be used from this address.
    #[error("the API key may not be used from this address: use it from one of its networks")]
    ForeignAddress,
    /// The account is deactivated.
    #[error("this account is deactivated: ask the operator")]
    Suspended,
    /// There were too many guesses from this address.
    #[error(transparent)]
    RateLimited(#[from] Exceeded),
    /// The database did not answer.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

impl NotAuthenticated {
    /// The code for programs, the same at every edge.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Token(BadToken::Invalid) | Self::External(NotProven::Invalid) => "invalid_token",
            Self::Token(BadToken::Expired) | Self::External(NotProven::Expired) => "token_expired",
            Self::External(NotProven::UnknownIssuer) => "unknown_issuer",
            Self::External(NotProven::Unavailable) | Self::Database(_) => "unavailable",
            Self::NoPlace(_) => "too_many_at_once",
            Self::Revoked => "login_revoked",
            Self::InvalidKey => "invalid_key",
            Self::KeyExpired => "key_expired",
            Self::ForeignAddress => "forbidden",
            Self::Suspended => "suspended",
            Self::RateLimited(_) => "rate_limited",
        }
    }

    /// Whether nobody has judged the proof, so that it may be good.
    pub fn is_unjudged(&self) -> bool {
        use NotAuthenticated::*;
        matches!(self, External(NotProven::Unavailable) | NoPlace(_) | RateLimited(_) | Database(_))
    }
}

impl Bearers {
    /// Knows no API key yet, and no external issuer.
    pub fn new(
        pool: &PgPool,
        tokens: &Arc<Tokens>,
        revoked: &Arc<Revoked>,
        limits: &Arc<RateLimits>,
        clock: &Clock,
    ) -> Self {
        Self {
            tokens: tokens.clone(),
            keys: ApiKeys::new(pool.clone()).into(),
            external: None,
            revoked: revoked.clone(),
            limits: limits.clone(),
            pool: pool.clone(),
            clock: clock.clone(),
        }
    }

    /// Authenticates a bearer text that came from an address: of a request, of the handshake of a socket, or of a frame
    /// `authenticate`. The form of the text tells its kind. A new kind of proof gets its arm here, and no edge changes.
    ///
    /// The deny set is asked last: a proof that ends meanwhile is in the deny set before any session is cut, so no
    /// session begins with it unseen.
    pub async fn authenticate(
        &self,
        bearer: &str,
        from: Option<IpAddr>,
    ) -> Result<Identity, NotAuthenticated> {
        let (identity, ended) = if PresentedKey::is_meant_by(bearer) {
            (self.by_key(bearer, from).await?, NotAuthenticated::InvalidKey)
        } else {
            let identity = match (self.tokens.verify(bearer, self.clock.now()), &self.external) {
                (Err(BadToken::Invalid), Some(external)) => external.authenticate(bearer).await?,
                (verified, _) => verified?,
            };
            (identity, NotAuthenticated::Revoked)
        };
        match self.revoked.contains(identity.login) {
            false => Ok(identity),
            true => Err(ended),
        }
    }
}

#[cfg(test)]
impl Bearers {
    /// Judges tokens only: no token needs the database, so nothing connects.
    pub(crate) fn of_tokens(tokens: Tokens, limits: &Arc<RateLimits>, clock: Clock) -> Self {
        let pool = PgPool::connect_lazy("postgres://127.0.0.1:1/nothing").expect("a URL");
        Self::new(&pool, &tokens.into(), &Arc::default(), limits, &clock)
    }
}
