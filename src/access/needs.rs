//! The parts of the node that the use cases of access need.

use std::sync::Arc;

use sqlx::PgPool;

use crate::{
    clock::Clock,
    commands::Commands,
    credentials::{Hasher, Tokens},
    limits::RateLimits,
    live::{Followers, Revoked},
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
    /// The revoked logins that this node has to refuse.
    pub revoked: Arc<Revoked>,
    /// The requests that follow events without a socket.
    pub followers: Arc<Followers>,
    /// The commands, which tell the other nodes of changes.
    pub commands: Commands,
    /// The source of times and ids.
    pub clock: Clock,
}
