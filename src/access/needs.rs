//! The parts of the node that the use cases of access need.

use std::{sync::Arc, time::Duration};

use sqlx::PgPool;
use tokio::sync::Semaphore;

use super::{external::External, revoking::Revoking};
use crate::{
    clock::Clock,
    commands::Commands,
    credentials::{Hasher, Registration, Tokens},
    domain::{LoginId, UserId},
    limits::RateLimits,
    shares::{Shares, Sizes},
};

/// The limits on provisioning. Requests about one user wait for each other in the database, so without a limit the
/// requests of one service account could hold all connections to it.
pub(crate) const PROVISIONING: Sizes = Sizes {
    of_node: Semaphore::MAX_PERMITS,
    of_one: 4,
    waiting_of_one: 252,
    waiting: Semaphore::MAX_PERMITS,
    patience: Duration::from_secs(10),
    longest_rest: Duration::ZERO,
};

/// Registering, logging in, and ending access. Cheap to clone.
#[derive(Clone)]
pub struct Access {
    /// The database of accounts.
    pub pool: PgPool,
    /// The hasher, which gives out turns to hash and check passwords.
    pub hasher: Hasher,
    /// The rate limits, here on logins and registrations.
    pub limits: Arc<RateLimits>,
    /// Issues access tokens, and has the keys of refresh tokens.
    pub tokens: Arc<Tokens>,
    /// The users of external issuers, if there are any issuers.
    pub external: Option<External>,
    /// The parts that end logins on all nodes.
    pub revoking: Revoking,
    /// The commands, which notify the other nodes of changes.
    pub commands: Commands,
    /// The setting that says who may register.
    pub registration: Registration,
    /// The provisioning requests in progress, by service account.
    pub provisioning: Shares<UserId>,
    /// The source of times and ids.
    pub clock: Clock,
}

impl Access {
    /// Makes this node and all others refuse logins that the database has revoked.
    pub(super) async fn cut_off(&self, logins: &[LoginId]) {
        self.revoking.cut_off(logins).await;
    }
}
