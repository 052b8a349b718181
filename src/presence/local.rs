//! The sessions of this node: several of one user count as one, and a short absence as none.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use tokio::time::Instant;

use super::Session;
use crate::domain::{Status, UserId};

/// The users with sessions on this node.
#[derive(Debug)]
pub(super) struct Local {
    grace: Duration,
    users: HashMap<UserId, Sessions>,
    changed: HashSet<UserId>,
}

#[derive(Debug, Default)]
struct Sessions {
    open: HashMap<Session, Status>,
    /// What has been written of this user.
    written: Option<Status>,
    /// When the last session ended.
    left: Option<Instant>,
}

/// An entry that has to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Write {
    pub(super) user: UserId,
    pub(super) status: Status,
}

impl Sessions {
    fn status(&self) -> Status {
        self.open.values().copied().max().unwrap_or(Status::Offline)
    }
}

impl Local {
    pub(super) fn new(grace: Duration) -> Self {
        Self { grace, users: HashMap::new(), changed: HashSet::new() }
    }

    /// A session begins, changes or ends.
    pub(super) fn session(&mut self, user: UserId, session: Session, status: Status, now: Instant) {
        let sessions = self.users.entry(user).or_default();
        if status == Status::Offline {
            sessions.open.remove(&session);
        } else {
            sessions.open.insert(session, status);
        }
        sessions.left = sessions.open.is_empty().then_some(now);
        self.changed.insert(user);
    }

    /// What has to be written now. A user who left waits for the grace to pass.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Write> {
        let mut writes = Vec::new();
        let (users, grace) = (&mut self.users, self.grace);
        self.changed.retain(|user| {
            let Some(sessions) = users.get_mut(user) else { return false };
            if sessions.left.is_some_and(|left| now < left + grace) {
                return true;
            }
            let status = sessions.status();
            if sessions.written != Some(status) && (status, sessions.written) != (Status::Offline, None) {
                writes.push(Write { user: *user, status });
            }
            sessions.written = Some(status);
            if status == Status::Offline {
                users.remove(user);
            }
            false
        });
        writes
    }

    /// A write did not succeed.
    pub(super) fn write_again(&mut self, user: UserId) {
        let sessions = self.users.entry(user).or_insert_with(|| Sessions { left: None, ..Sessions::default() });
        sessions.written = sessions.written.map(|_| Status::Offline).filter(|_| sessions.open.is_empty());
        self.changed.insert(user);
    }

    /// What was written may be gone.
    pub(super) fn write_all_again(&mut self) {
        for (user, sessions) in &mut self.users {
            sessions.written = None;
            self.changed.insert(*user);
        }
    }
}
