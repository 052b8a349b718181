//! Cutting off proofs that have ended, and telling other nodes of changes.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;

use crate::{
    commands::{Commands, Unavailable},
    domain::{LoginId, UserId},
    live::{Followers, Revoked},
};

/// How long telling the other nodes may take. A node that was cut off reads the changes from the
/// database once it is connected again.
const NODES_WITHIN: Duration = Duration::from_secs(1);

/// The parts that make this node and all others refuse proofs. Cheap to clone.
#[derive(Clone)]
pub struct Revoking {
    /// The revoked logins that this node has to refuse.
    pub revoked: Arc<Revoked>,
    /// The requests that follow events without a socket.
    pub followers: Arc<Followers>,
    /// The commands, which tell the other nodes of changes.
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

    /// The same for an account that the database has deactivated, with its logins.
    pub(super) async fn suspend(&self, user: UserId, logins: &[LoginId]) {
        self.revoked.suspend(user);
        self.refuse(logins);
        tell("a deactivated account", self.commands.suspended(user, logins)).await;
    }

    /// Makes all nodes take new tokens of an account again.
    pub(super) async fn restore(&self, user: UserId) {
        self.revoked.restore(user);
        tell("a reactivated account", self.commands.restored(user)).await;
    }

    /// The logins are refused first, and their followers are cut second. In the other order, a follower that returns at once
    /// would be accepted again.
    fn refuse(&self, logins: &[LoginId]) {
        for login in logins {
            self.revoked.insert(*login);
        }
        self.followers.cut(|caller| self.revoked.why(caller).is_some());
    }
}

/// Tells the other nodes of a change. The change stands even if the other nodes do not hear of it in time: a
/// failure is only logged.
pub(super) async fn tell(change: &'static str, telling: impl Future<Output = Result<(), Unavailable>>) {
    match timeout(NODES_WITHIN, telling).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, change, "could not notify other nodes of a change"),
        Err(_) => tracing::warn!(change, "could not notify other nodes of a change in time"),
    }
}
