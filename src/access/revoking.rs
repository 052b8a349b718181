//! Making all nodes refuse logins that have ended.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;

use crate::{
    commands::Commands,
    domain::LoginId,
    live::{Followers, Revoked},
};

/// How long the other nodes are told. A node that hears nothing now reads the database again when it is back.
const PATIENCE: Duration = Duration::from_secs(1);

/// What it takes to cut off a login. Cheap to clone.
#[derive(Clone)]
pub struct Revoking {
    /// Telling the other nodes.
    pub commands: Commands,
    /// The logins that count no more.
    pub revoked: Arc<Revoked>,
    /// Those who follow without a socket.
    pub followers: Arc<Followers>,
}

impl Revoking {
    /// Makes this node and all others refuse logins that the database has revoked.
    pub async fn cut_off(&self, logins: &[LoginId]) {
        // Refused first and cut then: a follower that comes back at once must find its login revoked.
        for login in logins {
            self.revoked.insert(*login);
        }
        self.followers.cut(|login| self.revoked.contains(login));
        match timeout(PATIENCE, self.commands.revoked(logins)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "could not tell other nodes of revoked logins"),
            Err(_) => tracing::warn!("could not tell other nodes of revoked logins in time"),
        }
    }
}
