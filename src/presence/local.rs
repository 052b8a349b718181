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

    /// Whether something has to be written, now or when a grace has passed.
    pub(super) fn has_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    /// What has to be written now. A user who left waits for the grace to pass.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Write> {
        let (users, grace) = (&self.users, self.grace);
        let mut writes = Vec::new();
        self.changed.retain(|user| {
            let Some(sessions) = users.get(user) else { return false };
            let status = sessions.status();
            let is_due = sessions.left.is_none_or(|left| now >= left + grace);
            let is_new = sessions.written != Some(status);
            if is_due && is_new {
                writes.push(Write { user: *user, status });
            }
            is_new
        });
        writes
    }

    /// It has been written.
    pub(super) fn wrote(&mut self, write: Write) {
        let Some(sessions) = self.users.get_mut(&write.user) else { return };
        sessions.written = Some(write.status);
        if write.status == Status::Offline && sessions.open.is_empty() {
            self.users.remove(&write.user);
        }
    }

    /// What was written of a user is gone.
    pub(super) fn write_again(&mut self, user: UserId) {
        if let Some(sessions) = self.users.get_mut(&user) {
            sessions.written = None;
            self.changed.insert(user);
        }
    }

    /// What was written may be gone.
    pub(super) fn write_all_again(&mut self) {
        for (user, sessions) in &mut self.users {
            sessions.written = None;
            self.changed.insert(*user);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(10);

    fn ana() -> UserId {
        "01930f3c-5a7b-7c3d-8e4f-0123456789ab".parse().expect("id")
    }

    /// Writes what is due and tells which status it was.
    fn written(local: &mut Local, now: Instant) -> Option<Status> {
        let due = local.due(now);
        for write in &due {
            local.wrote(*write);
        }
        due.first().map(|write| write.status)
    }

    #[test]
    fn several_sessions_count_as_one() {
        let (mut local, now) = (Local::new(GRACE), Instant::now());
        let (phone, laptop) = (Session::from_u128(1), Session::from_u128(2));
        local.session(ana(), phone, Status::Online, now);
        assert_eq!(written(&mut local, now), Some(Status::Online));
        local.session(ana(), laptop, Status::Away, now);
        local.session(ana(), laptop, Status::Offline, now);
        assert_eq!(written(&mut local, now + GRACE * 2), None);
        local.session(ana(), phone, Status::Away, now);
        assert_eq!(written(&mut local, now), Some(Status::Away));
    }

    #[test]
    fn who_comes_back_within_the_grace_was_never_away() {
        let (mut local, now) = (Local::new(GRACE), Instant::now());
        local.session(ana(), Session::from_u128(1), Status::Online, now);
        written(&mut local, now);
        local.session(ana(), Session::from_u128(1), Status::Offline, now);
        assert_eq!(written(&mut local, now + GRACE / 2), None);
        local.session(ana(), Session::from_u128(2), Status::Online, now + GRACE / 2);
        assert_eq!(written(&mut local, now + GRACE * 2), None);
    }

    #[test]
    fn who_stays_away_is_offline_after_the_grace_and_forgotten() {
        let (mut local, now) = (Local::new(GRACE), Instant::now());
        local.session(ana(), Session::from_u128(1), Status::Online, now);
        written(&mut local, now);
        local.session(ana(), Session::from_u128(1), Status::Offline, now);
        assert_eq!(written(&mut local, now + GRACE), Some(Status::Offline));
        assert!(local.users.is_empty() && local.due(now + GRACE).is_empty() && !local.has_changed());
    }

    #[test]
    fn who_was_written_off_is_written_again_while_they_are_here() {
        let (mut local, now) = (Local::new(GRACE), Instant::now());
        local.session(ana(), Session::from_u128(1), Status::Online, now);
        written(&mut local, now);
        local.write_again(ana());
        assert_eq!(written(&mut local, now), Some(Status::Online));
        local.session(ana(), Session::from_u128(1), Status::Offline, now);
        written(&mut local, now + GRACE);
        local.write_again(ana());
        assert_eq!(written(&mut local, now + GRACE), None);
    }

    #[test]
    fn after_an_outage_everything_is_written_again() {
        let (mut local, now) = (Local::new(GRACE), Instant::now());
        local.session(ana(), Session::from_u128(1), Status::Online, now);
        written(&mut local, now);
        local.write_all_again();
        assert_eq!(written(&mut local, now), Some(Status::Online));
    }
}
