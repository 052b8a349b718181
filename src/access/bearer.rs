//! Authentication: the one function that all edges ask, whatever the form of the proof.

use std::sync::Arc;

use crate::{
    clock::Clock,
    credentials::{BadToken, Identity, Tokens},
    live::Revoked,
};

/// The parts that judge bearer texts. Cheap to clone.
#[derive(Clone)]
pub struct Bearers {
    /// The keys that check our access tokens.
    pub tokens: Arc<Tokens>,
    /// The logins that have ended.
    pub revoked: Arc<Revoked>,
    /// The time, by which proofs expire.
    pub clock: Clock,
}

/// Why a bearer text is refused.
#[derive(Debug, thiserror::Error)]
pub enum NotAuthenticated {
    /// The text is not an access token that is valid now.
    #[error(transparent)]
    Token(#[from] BadToken),
    /// The login of the token has ended.
    #[error("this login has been revoked: log in again")]
    Revoked,
}

impl NotAuthenticated {
    /// The code for programs, the same at every edge.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Token(BadToken::Invalid) => "invalid_token",
            Self::Token(BadToken::Expired) => "token_expired",
            Self::Revoked => "login_revoked",
        }
    }
}

impl Bearers {
    /// Authenticates a bearer text: of a request, of the handshake of a socket, or of a frame `authenticate`. The form
    /// of the text tells its kind. A new kind of proof gets its arm here, and no edge changes.
    ///
    /// The deny set is asked last: a proof that ends meanwhile is in the deny set before any session is cut, so no
    /// session begins with it unseen.
    pub async fn authenticate(&self, bearer: &str) -> Result<Identity, NotAuthenticated> {
        let identity = self.tokens.verify(bearer, self.clock.now())?;
        match self.revoked.contains(identity.login) {
            false => Ok(identity),
            true => Err(NotAuthenticated::Revoked),
        }
    }
}
