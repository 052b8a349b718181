//! Cutting off logins that have ended, and telling other nodes of changes.

use std::time::Duration;

use tokio::time::timeout;

use super::needs::Access;
use crate::{commands::Unavailable, domain::LoginId};

/// How long telling the other nodes may take. A node that hears nothing reads the database when it is back.
const NODES_WITHIN: Duration = Duration::from_secs(1);

impl Access {
    /// Makes this node and all others refuse logins that the database has revoked.
    pub(super) async fn cut_off(&self, logins: &[LoginId]) {
        // The login is refused first and its followers are cut second. In the other order, a follower that returns
        // at once would be accepted again.
        for login in logins {
            self.revoked.insert(*login);
        }
        self.followers.cut(|login| self.revoked.contains(login));
        tell("revoked logins", self.commands.revoked(logins)).await;
    }
}

/// Tells the other nodes of a change. The change counts, whether or not they hear of it.
pub(super) async fn tell(change: &'static str, telling: impl Future<Output = Result<(), Unavailable>>) {
    match timeout(NODES_WITHIN, telling).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, change, "could not tell other nodes of a change"),
        Err(_) => tracing::warn!(change, "could not tell other nodes of a change in time"),
    }
}
