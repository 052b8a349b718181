//! Cutting off logins that have ended, and telling other nodes of changes.

use std::time::Duration;

use tokio::time::timeout;

use super::needs::Access;
use crate::{commands::Unavailable, domain::LoginId};

/// How long telling the other nodes may take. A node that was cut off reads the changes from the
/// database once it is connected again.
const NODES_WITHIN: Duration = Duration::from_secs(1);

impl Access {
    /// Makes this node and all others refuse logins that the database has revoked.
    pub(super) async fn cut_off(&self, logins: &[LoginId]) {
        // The logins are refused first, and their followers are cut second. In the other order, a follower
        // that returns at once would be accepted again.
        for login in logins {
            self.revoked.insert(*login);
        }
        self.followers.cut(|login| self.revoked.contains(login));
        tell("revoked logins", self.commands.revoked(logins)).await;
    }
}

/// Tells the other nodes of a change. The change stands even if the other nodes do not hear of it in time: a
/// failure is only logged.
pub(super) async fn tell(change: &'static str, telling: impl Future<Output = Result<(), Unavailable>>) {
    match timeout(NODES_WITHIN, telling).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, change, "could not tell other nodes of a change"),
        Err(_) => tracing::warn!(change, "could not tell other nodes of a change in time"),
    }
}
