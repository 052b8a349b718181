//! Why a bearer text is refused.

use crate::{
    credentials::{BadToken, Proof},
    issuers::NotProven,
    limits::Exceeded,
    live::Ended,
    shares::NoPlace,
};

/// Why a bearer text is refused.
#[derive(Debug, thiserror::Error)]
pub enum NotAuthenticated {
    /// The text is not a currently valid access token.
    #[error(transparent)]
    Token(#[from] BadToken),
    /// The text is not a token of Verbatim, and as a token of an external issuer it is not accepted.
    #[error(transparent)]
    External(#[from] NotProven),
    /// The user of an external issuer has no account, and the rules of the issuer create none.
    #[error("this server has no account for the user of the token: ask the operator for one")]
    NotAdmitted,
    /// Too many logins of the user are beginning.
    #[error("too many logins are in progress: try again in a moment")]
    NoPlace(NoPlace),
    /// The login of the token has ended.
    #[error("the login has been revoked: log in again")]
    Revoked,
    /// The text is not an API key, or the key was revoked.
    #[error("the API key is not valid: use another key")]
    InvalidKey,
    /// The NATS name is not bound to a service account.
    #[error("the NATS name is not bound to a service account: bind it with `verbatim consumers add --bot`")]
    UnboundName,
    /// The key has expired.
    #[error("the API key has expired: use another key")]
    KeyExpired,
    /// The key may not be used from this address.
    #[error("the API key may not be used from this address: use it from one of its networks")]
    ForeignAddress,
    /// The account is deactivated.
    #[error("the account is suspended: ask the operator")]
    Suspended,
    /// There were too many guesses from this address.
    #[error(transparent)]
    RateLimited(#[from] Exceeded),
    /// The database did not answer.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

impl From<Ended> for NotAuthenticated {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Revoked => Self::Revoked,
            Ended::KeyRevoked => Self::InvalidKey,
            Ended::Suspended => Self::Suspended,
        }
    }
}

impl NotAuthenticated {
    /// That a proof of this kind has expired.
    pub fn expired(proof: Proof) -> Self {
        match proof {
            Proof::Key => Self::KeyExpired,
            Proof::Login | Proof::Issuer => BadToken::Expired.into(),
        }
    }

    /// The code for programs, the same at every edge.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Token(BadToken::Invalid) | Self::External(NotProven::Invalid) | Self::NotAdmitted => {
                "invalid_token"
            }
            Self::Token(BadToken::Expired) | Self::External(NotProven::Expired) => "token_expired",
            Self::External(NotProven::UnknownIssuer) => "unknown_issuer",
            Self::External(NotProven::Unavailable) | Self::Database(_) => "unavailable",
            Self::NoPlace(_) => "too_many_at_once",
            Self::Revoked => "login_revoked",
            Self::InvalidKey | Self::UnboundName => "invalid_key",
            Self::KeyExpired => "key_expired",
            Self::ForeignAddress => "forbidden",
            Self::Suspended => "suspended",
            Self::RateLimited(_) => "rate_limited",
        }
    }

    /// Whether the proof is a token that was valid until it expired.
    pub fn is_expired(&self) -> bool {
        matches!(self, Self::Token(BadToken::Expired) | Self::External(NotProven::Expired))
    }

    /// Whether the proof was not checked at all, so that it may still be valid.
    pub fn is_unjudged(&self) -> bool {
        use NotAuthenticated::*;
        matches!(self, External(NotProven::Unavailable) | NoPlace(_) | RateLimited(_) | Database(_))
    }
}
