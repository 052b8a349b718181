//! Cutting off proofs that have ended, and notifying other nodes of changes.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;

use crate::{
    commands::{Commands, Unavailable},
    domain::{LoginId, UserId},
    live::{Followers, Revoked},
};

/// How long notifying the other nodes may take. A disconnected node reads the changes from the database once it is
/// connected again.
const NODES_WITHIN: Duration = Duration::from_secs(1);

/// Makes this node and all others refuse proofs. Cheap to clone.
#[derive(Clone)]
pub struct Revoking {
    /// The revoked logins that this node must refuse.
    pub revoked: Arc<Revoked>,
    /// The requests that follow events without a WebSocket.
    pub followers: Arc<Followers>,
    /// The commands, which notify the other nodes of changes.
    pub commands: Commands,
}

impl Revoking {
    /// Makes this node and all others refuse logins that the database has revoked.
    pub(super) async fn cut_off(&self, logins: &[LoginId]) {
        if logins.is_empty() {
            return;
        }
        self.refuse(logins);
        tell("revoked logins", self.commands.revoked(logins)).await;
    }

    /// Makes this node and all others refuse an account that the database has deactivated, with its logins.
    pub(super) async fn suspend(&self, user: UserId, logins: &[LoginId]) {
        self.revoked.suspend(user);
        self.refuse(logins);
        tell("a deactivated account", self.commands.suspended(user, logins)).await;
    }

    /// Makes all nodes accept new tokens of an account again.
    pub(super) async fn restore(&self, user: UserId) {
        self.revoked.restore(user);
        tell("a reactivated account", self.commands.restored(user)).await;
    }

    /// Refuses the logins first and cuts off their followers second. In the other order, a follower that reconnects at
    /// once would be accepted again.
    fn refuse(&self, logins: &[LoginId]) {
        for login in logins {
            self.revoked.insert(*login);
        }
        self.followers.cut(|caller| self.revoked.why(caller).is_some());
    }
}

/// Notifies the other nodes of a change. The change stands even if the notification fails or times out; a failure is
/// only logged.
pub(super) async fn tell(change: &'static str, telling: impl Future<Output = Result<(), Unavailable>>) {
    match timeout(NODES_WITHIN, telling).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, change, "could not notify other nodes of a change"),
        Err(_) => tracing::warn!(change, "could not notify other nodes of a change in time"),
    }
}
