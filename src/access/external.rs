//! The users of external issuers, by the tokens of their issuers.

use std::{fmt, sync::Arc, time::Duration};

use sqlx::PgPool;
use tokio::time::Instant;

use super::{
    newcomers,
    not_authenticated::NotAuthenticated,
    revoking::{Revoking, tell},
};
use crate::{
    accounts::{
        By, Stamp,
        external::{self, Creation, Newcomer},
        external_logins::{self, Beginning},
        external_logouts::{IssuerProof, Subject, TokenRefusal},
    },
    cache::Cache,
    clock::Clock,
    credentials::{Identity, Proof, Scopes},
    domain::{LoginId, UserId},
    issuers::{Issuer, Issuers, Proven},
    shares::{NoPlace, Place, Shares, Sizes},
};

/// The limits on logins that begin concurrently. The logins of one account lock its row, so one user could otherwise
/// hold all connections to the database.
const BEGINNINGS: Sizes = Sizes {
    of_node: 8,
    of_one: 2,
    waiting_of_one: 62,
    waiting: 512,
    patience: Duration::from_secs(5),
    longest_rest: Duration::ZERO,
};

/// How long a login is used without another database query. A login that ends stays in the deny set for longer, so its
/// end takes effect at once. A change of the account makes a node query earlier.
const KNOWN_FOR: Duration = Duration::from_secs(60);
/// The maximum number of cached logins.
const MOST_KNOWN: usize = 16_384;

/// Authenticates the users of external issuers. Cheap to clone.
#[derive(Clone)]
pub struct External(Arc<Inner>);

struct Inner {
    issuers: Arc<Issuers>,
    pool: PgPool,
    clock: Clock,
    pepper: [u8; 32],
    revoking: Revoking,
    /// The accounts of direct logins. The id of a login is derived from the user's name at the issuer too, so a login
    /// never changes its account.
    known: Cache<LoginId, Known>,
    places: Shares<u128>,
}

#[derive(Clone, Copy)]
struct Known {
    user: UserId,
    since: Instant,
}

/// The account of the user of a valid token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// The user has this account.
    Is(UserId),
    /// The user has no account and gets none.
    NoAccount,
    /// The user has no account, and the token counts no more.
    Over,
}

impl fmt::Debug for External {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("External")
    }
}

impl External {
    /// The users of these issuers. `pepper` is the key of the hashes that represent users in the audit trail.
    pub(crate) fn new(
        issuers: Arc<Issuers>,
        pool: PgPool,
        clock: Clock,
        pepper: [u8; 32],
        revoking: Revoking,
    ) -> Self {
        Self(Arc::new(Inner {
            issuers,
            pool,
            clock,
            pepper,
            revoking,
            known: Cache::new("external_tokens", MOST_KNOWN),
            places: Shares::new(BEGINNINGS),
        }))
    }

    /// The issuers.
    pub(super) fn issuers(&self) -> &Issuers {
        &self.0.issuers
    }

    /// Takes a place to begin a login of a user.
    pub(super) async fn place(&self, proven: &Proven) -> Result<Place<u128>, NoPlace> {
        self.0.places.take(proven.holder()).await
    }

    /// Authenticates an issuer's token that is used directly.
    pub(super) async fn authenticate(&self, token: &str) -> Result<Identity, NotAuthenticated> {
        let Inner { pool, clock, known, revoking, .. } = &*self.0;
        let revoked = &revoking.revoked;
        let (proven, issuer) = self.issuers().prove_direct(token, clock.now()).await?;
        let login = proven.login;
        let recent = known.get(&login).filter(|known| {
            known.since.elapsed() < KNOWN_FOR
                && revoked.news_of(known.user).is_none_or(|at| known.since >= at)
        });
        let user = match recent {
            Some(known) => known.user,
            None => {
                let _place = self.place(&proven).await.map_err(NotAuthenticated::NoPlace)?;
                let (question, since) = (known.ask(), Instant::now());
                let user = match self.account_of(&proven, &issuer).await? {
                    Admission::Is(user) => user,
                    Admission::NoAccount => return Err(NotAuthenticated::NotAdmitted),
                    Admission::Over => return Err(NotAuthenticated::Revoked),
                };
                let by = proof(&proven);
                let begun =
                    external_logins::use_directly(pool, login, user, &by, proven.expires_at, clock.now())
                        .await?;
                // The deny set is checked after this, and refuses a deactivated account. So such a token is cached too,
                // and does not cost a query each time.
                revoked.learn(user, begun == Beginning::Refused(TokenRefusal::Suspended), since);
                match begun {
                    Beginning::Begun(displaced) => revoking.cut_off(&displaced).await,
                    Beginning::Refused(TokenRefusal::Suspended) => {}
                    Beginning::Refused(TokenRefusal::Over) => return Err(NotAuthenticated::Revoked),
                }
                known.answer(question, login, Known { user, since });
                user
            }
        };
        Ok(identity(&proven, user))
    }

    /// The identity of a token whose login has ended, for logging out again; `None` for any other text.
    pub(super) async fn late(&self, token: &str) -> Result<Option<Identity>, sqlx::Error> {
        let Inner { pool, clock, .. } = &*self.0;
        let Ok((proven, _)) = self.issuers().prove_direct(token, clock.now()).await else { return Ok(None) };
        let known = external::find(pool, proof(&proven).of).await?;
        Ok(known.map(|known| identity(&proven, known.user)))
    }

    /// The account of a user, after copying the user's data from the issuer where its rules say so.
    pub(super) async fn account_of(
        &self,
        proven: &Proven,
        issuer: &Issuer,
    ) -> Result<Admission, sqlx::Error> {
        let Inner { pool, clock, pepper, revoking, .. } = &*self.0;
        let (name, by) = (newcomers::display_name(proven), proof(proven));
        if let Some(known) = external::find(pool, by.of).await? {
            let other = name.as_ref().filter(|name| issuer.sync && **name != known.display_name);
            if other.is_some() || proven.roles != known.roles {
                let stamp = Stamp::now(clock, By::account(known.user));
                if external::update(pool, &by, known.user, other, &proven.roles, stamp).await? {
                    tell("a changed account", revoking.commands.user_changed(known.user)).await;
                }
            }
            return Ok(Admission::Is(known.user));
        }
        if !issuer.jit {
            return Ok(Admission::NoAccount);
        }
        let id = clock.id(UserId::known);
        let usernames = newcomers::usernames(proven, id);
        let origin_hash = &proven.origin_hash(pepper);
        let (display_name, roles) = (name.as_ref(), &*proven.roles);
        let newcomer = Newcomer { id, usernames: &usernames, display_name, roles, origin_hash };
        let stamp = Stamp::now(clock, By::account(id));
        Ok(match external::create(pool, &by, &newcomer, stamp).await? {
            Creation::Is(user) => Admission::Is(user),
            Creation::NamesTaken => Admission::NoAccount,
            Creation::Over => Admission::Over,
        })
    }
}

/// The identity of an issuer's token that is used directly.
fn identity(proven: &Proven, user: UserId) -> Identity {
    Identity {
        user,
        login: proven.login,
        proof: Proof::Issuer,
        expires_at: proven.expires_at,
        via: None,
        scopes: Scopes::PERSON,
    }
}

/// The facts in a user's token about its login.
pub(super) fn proof(proven: &Proven) -> IssuerProof<'_> {
    let of = Subject { issuer: &proven.iss, subject: &proven.subject };
    IssuerProof { of, session: proven.session.as_deref(), issued_at: proven.issued_at }
}
