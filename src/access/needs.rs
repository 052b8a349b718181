//! The values that the use cases of access take.

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
    /// Hashing and checking passwords.
    pub hasher: Hasher,
    /// How often passwords are tried and accounts are made.
    pub limits: Arc<RateLimits>,
    /// Issuing access tokens.
    pub tokens: Arc<Tokens>,
    /// The revoked logins that this node has to refuse.
    pub revoked: Arc<Revoked>,
    /// The requests that follow events without a socket.
    pub followers: Arc<Followers>,
    /// Telling the other nodes.
    pub commands: Commands,
    /// Time and ids.
    pub clock: Clock,
}
