//! Authentication: the single function that all edges call, whatever the form of the proof.

use std::{net::IpAddr, sync::Arc};

use sqlx::PgPool;

use super::{external::External, not_authenticated::NotAuthenticated};
use crate::{
    accounts::refresh::WHOLE_LIFE,
    clock::Clock,
    credentials::{BadToken, Identity, NatsName, PresentedKey, Tokens},
    limits::RateLimits,
    live::{ApiKeys, Revoked},
};

/// The parts that judge bearer texts. Cheap to clone.
#[derive(Clone)]
pub struct Bearers {
    /// The keys that check Verbatim's access tokens.
    pub tokens: Arc<Tokens>,
    /// The recently used API keys.
    pub keys: Arc<ApiKeys>,
    /// The users of external issuers, if there are any issuers.
    pub external: Option<External>,
    /// The logins and keys that have ended.
    pub revoked: Arc<Revoked>,
    /// The rate limits, here on lookups of keys.
    pub limits: Arc<RateLimits>,
    /// The database, which stores the use of keys.
    pub pool: PgPool,
    /// The clock, which decides when proofs expire.
    pub clock: Clock,
}

impl Bearers {
    /// Starts without cached API keys and without external issuers.
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
    /// `authenticate`. The form of the text determines its kind. A new kind of proof gets its own arm here, without a
    /// change at any edge.
    ///
    /// The deny set is checked last. A proof that ends meanwhile enters the deny set before any session is cut off, so
    /// no session can begin with it unnoticed.
    pub async fn authenticate(
        &self,
        bearer: &str,
        from: Option<IpAddr>,
    ) -> Result<Identity, NotAuthenticated> {
        let identity = if PresentedKey::is_meant_by(bearer) {
            self.by_key(bearer, from).await?
        } else {
            match (self.tokens.verify(bearer, self.clock.now()), &self.external) {
                (Err(BadToken::Invalid), Some(external)) => external.authenticate(bearer).await?,
                (verified, _) => verified?,
            }
        };
        self.unless_ended(identity)
    }

    /// Authenticates the program for whose NATS name nats-server vouches.
    pub(crate) async fn authenticate_name(&self, vouched: &Vouched) -> Result<Identity, NotAuthenticated> {
        self.unless_ended(self.by_name(&vouched.0).await?)
    }

    /// The identity of an access token that was refused because it has expired or its login has ended, for logging out:
    /// a client may log out late or twice. A text that is no token has none, nor has one whose login is surely over.
    pub(crate) async fn late(
        &self,
        bearer: &str,
        refused: &NotAuthenticated,
    ) -> Result<Option<Identity>, sqlx::Error> {
        let is_revoked = matches!(refused, NotAuthenticated::Revoked);
        if !(is_revoked || matches!(refused, NotAuthenticated::Token(BadToken::Expired))) {
            return Ok(None);
        }
        match (self.tokens.issued(bearer), &self.external) {
            (None, Some(external)) if is_revoked => external.late(bearer).await,
            (issued, _) => {
                let now = self.clock.now();
                Ok(issued.filter(|identity| now.since(identity.expires_at) < WHOLE_LIFE))
            }
        }
    }

    fn unless_ended(&self, identity: Identity) -> Result<Identity, NotAuthenticated> {
        self.revoked.why(&identity).map_or(Ok(identity), |ended| Err(ended.into()))
    }
}

/// The NATS name of the program that sent a request. An edge puts it into the data of a request whose sender
/// nats-server has authenticated; it never comes from the request itself.
#[derive(Debug, Clone)]
pub(crate) struct Vouched(pub NatsName);

#[cfg(test)]
impl Bearers {
    /// Checks only tokens. Tokens need no database, so nothing connects.
    pub(crate) fn of_tokens(tokens: Tokens, limits: &Arc<RateLimits>, clock: Clock) -> Self {
        let pool = PgPool::connect_lazy("postgres://127.0.0.1:1/nothing").expect("a URL");
        Self::new(&pool, &tokens.into(), &Arc::default(), limits, &clock)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        credentials::{ACCESS_LIFE, Keys, LEEWAY},
        domain::{LoginId, Time, UserId},
        limits::Rates,
    };

    #[tokio::test]
    async fn a_late_token_is_enough_to_log_out_as_long_as_its_login_may_exist() {
        let now = Time::MAX;
        let keys = Keys::from_pem(&Keys::generate_pem(), None).expect("keys");
        let limits = Arc::new(RateLimits::new(Rates::default(), &[0; 32]));
        let tokens = Tokens::new(keys, "verbatim", "verbatim");
        let bearers = Bearers::of_tokens(tokens, &limits, Clock::new(move || now.datetime()));
        let (user, login) = (Clock::system().id(UserId::known), Clock::system().id(LoginId::known));
        let is_enough = async |age: Duration| {
            let token = bearers.tokens.issue(user, login, now.minus(age), "1".into());
            let refused = bearers.authenticate(&token, None).await.expect_err("it has expired");
            let late = bearers.late(&token, &refused).await.expect("no question");
            late.is_some_and(|late| late.login == login)
        };
        assert!(is_enough(ACCESS_LIFE + LEEWAY + Duration::from_secs(1)).await);
        assert!(is_enough(WHOLE_LIFE).await);
        assert!(!is_enough(ACCESS_LIFE + WHOLE_LIFE).await);
    }
}
