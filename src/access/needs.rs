//! The parts of the node that the use cases of access need.

use std::sync::Arc;

use sqlx::PgPool;

use crate::{
    clock::Clock,
    commands::Commands,
    credentials::{Hasher, Registration, Tokens},
    issuers::Issuers,
    limits::RateLimits,
    live::{Followers, Revoked},
    shares::Shares,
};

/// Registering, logging in, and ending access. Cheap to clone.
#[derive(Clone)]
pub struct Access {
    /// The database of accounts.
    pub pool: PgPool,
    /// The hasher, which gives out turns to hash and check passwords.
    pub hasher: Hasher,
    /// The rate limits, here on log-ins and registrations.
    pub limits: Arc<RateLimits>,
    /// The issuer of access tokens, with the keys of refresh tokens.
    pub tokens: Arc<Tokens>,
    /// The external issuers, if there are any.
    pub issuers: Option<Arc<Issuers>>,
    /// The places of exchanges, by user.
    pub exchanges: Shares<u64>,
    /// The key of hashes that stand for the users of issuers in the audit.
    pub pepper: [u8; 32],
    /// The revoked logins that this node has to refuse.
    pub revoked: Arc<Revoked>,
    /// The requests that follow events without a socket.
    pub followers: Arc<Followers>,
    /// The commands, which tell the other nodes of changes.
    pub commands: Commands,
    /// Who may register.
    pub registration: Registration,
    /// The source of times and ids.
    pub clock: Clock,
}
