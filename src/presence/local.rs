//! The sessions of this node. Several sessions of a user count as one, and a short absence does not count.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::Duration,
};

use tokio::time::Instant;

use crate::domain::{Status, UserId};

/// One session, as presence knows it.
pub(crate) type SessionId = uuid::Uuid;

/// The shortest time between two entries of one user. The later entry has the state at that time.
pub(super) const PACE: Duration = Duration::from_secs(1);

/// The users with sessions on this node, and the users who still have an entry in the bucket. Every session changes
/// this state directly. There is no list of changes, which could overflow, so an end is never forgotten, however late
/// it is written.
#[derive(Debug)]
pub(super) struct Local {
    grace: Duration,
    pace: Duration,
    users: HashMap<UserId, Sessions>,
    /// The users whose entry may have to be written, each once, in the order of their turns.
    changed: VecDeque<UserId>,
    is_in_changed: HashSet<UserId>,
}

#[derive(Debug)]
struct Sessions {
    open: HashMap<SessionId, Status>,
    written: Written,
    /// Whether an entry is in flight. Another one has to wait, or the older entry might arrive last.
    is_on_its_way: bool,
    /// When the last session ended.
    left: Option<Instant>,
    /// When the last write of an entry began.
    wrote: Option<Instant>,
}

/// The user's entry in the bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    /// There is no entry. A user who leaves before the first entry needs none.
    Nothing,
    /// The entry has this status.
    As(Status),
    /// Unknown, because the result of a write is in doubt.
    Unknown,
}

/// An entry that has to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Write {
    pub(super) user: UserId,
    pub(super) status: Status,
}

impl Default for Sessions {
    fn default() -> Self {
        Self {
            open: HashMap::new(),
            written: Written::Nothing,
            is_on_its_way: false,
            left: None,
            wrote: None,
        }
    }
}

impl Sessions {
    fn status(&self) -> Status {
        self.open.values().copied().max().unwrap_or(Status::Offline)
    }

    /// Whether the bucket has another entry, or may end up with another one.
    fn has_to_be_written(&self) -> bool {
        self.is_on_its_way || self.written != Written::As(self.status())
    }
}

impl Local {
    pub(super) fn new(grace: Duration, pace: Duration) -> Self {
        Self { grace, pace, users: HashMap::new(), changed: VecDeque::new(), is_in_changed: HashSet::new() }
    }

    /// Notes that a session begins, changes or ends.
    pub(super) fn session(&mut self, user: UserId, session: SessionId, status: Status, now: Instant) {
        let sessions = self.users.entry(user).or_default();
        if status == Status::Offline {
            sessions.open.remove(&session);
        } else {
            sessions.open.insert(session, status);
        }
        if sessions.open.is_empty() && sessions.written == Written::Nothing {
            self.users.remove(&user);
            return;
        }
        sessions.left = sessions.open.is_empty().then_some(now);
        self.look_at(user);
    }

    fn look_at(&mut self, user: UserId) {
        if self.is_in_changed.insert(user) {
            self.changed.push_back(user);
        }
    }

    /// The users with sessions, and those who have just left, each with the time since then. In the order of their ids,
    /// so that nodes that store all of them at once wait for one another in one order.
    pub(super) fn seen(&self, now: Instant) -> Vec<(UserId, Duration)> {
        let since = |left: Option<Instant>| left.map_or(Duration::ZERO, |left| now - left);
        let seen = self.users.iter().map(|(user, sessions)| (*user, since(sessions.left)));
        let mut seen: Vec<_> = seen.collect();
        seen.sort_unstable();
        seen
    }

    /// Whether an entry has to be written, now or after the grace period.
    pub(super) fn has_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    /// The entries that have to be written now, up to `most`. An entry is in flight until [`Local::wrote`] or
    /// [`Local::could_not_write`]. For a user who has left, the grace period passes first.
    pub(super) fn due(&mut self, now: Instant, most: usize) -> Vec<Write> {
        let mut writes = Vec::new();
        for _ in 0..self.changed.len() {
            if writes.len() == most {
                break;
            }
            let Some(user) = self.changed.pop_front() else { break };
            let sessions = self.users.get_mut(&user);
            let Some(sessions) = sessions.filter(|sessions| sessions.has_to_be_written()) else {
                self.is_in_changed.remove(&user);
                continue;
            };
            self.changed.push_back(user);
            let has_left = sessions.left.is_none_or(|left| now >= left + self.grace);
            let is_its_turn = sessions.wrote.is_none_or(|wrote| now >= wrote + self.pace);
            if has_left && is_its_turn && !sessions.is_on_its_way {
                let status = sessions.status();
                sessions.is_on_its_way = true;
                sessions.wrote = Some(now);
                sessions.written = Written::As(status);
                writes.push(Write { user, status });
            }
        }
        writes
    }

    /// Notes that an entry has been written.
    pub(super) fn wrote(&mut self, write: Write) {
        let Some(sessions) = self.users.get_mut(&write.user) else { return };
        sessions.is_on_its_way = false;
        // A write with an uncertain result is repeated.
        let is_so = sessions.written == Written::As(Status::Offline);
        if is_so && write.status == Status::Offline && sessions.open.is_empty() {
            self.users.remove(&write.user);
        }
    }

    /// Notes that a write has failed, so it is unknown whether the entry has been written.
    pub(super) fn could_not_write(&mut self, write: Write) {
        if let Some(sessions) = self.users.get_mut(&write.user) {
            sessions.is_on_its_way = false;
        }
        self.write_again(write.user);
    }

    /// Notes that the written entry of a user is gone.
    pub(super) fn write_again(&mut self, user: UserId) {
        if let Some(sessions) = self.users.get_mut(&user) {
            sessions.written = Written::Unknown;
            self.look_at(user);
        }
    }

    /// Notes that written entries may be gone.
    pub(super) fn write_all_again(&mut self) {
        for (user, sessions) in &mut self.users {
            if sessions.written != Written::Nothing {
                sessions.written = Written::Unknown;
            }
            if self.is_in_changed.insert(*user) {
                self.changed.push_back(*user);
            }
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

    /// Writes the due entry and returns its status.
    fn written(local: &mut Local, now: Instant) -> Option<Status> {
        let due = local.due(now, 10);
        for write in &due {
            local.wrote(*write);
        }
        due.first().map(|write| write.status)
    }

    #[test]
    fn several_sessions_count_as_one() {
        let (mut local, now) = (Local::new(GRACE, Duration::ZERO), Instant::now());
        let (phone, laptop) = (SessionId::from_u128(1), SessionId::from_u128(2));
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
        let (mut local, now) = (Local::new(GRACE, Duration::ZERO), Instant::now());
        local.session(ana(), SessionId::from_u128(1), Status::Online, now);
        written(&mut local, now);
        local.session(ana(), SessionId::from_u128(1), Status::Offline, now);
        assert_eq!(written(&mut local, now + GRACE / 2), None);
        local.session(ana(), SessionId::from_u128(2), Status::Online, now + GRACE / 2);
        assert_eq!(written(&mut local, now + GRACE * 2), None);
    }

    #[test]
    fn who_stays_away_is_offline_after_the_grace_and_forgotten() {
        let (mut local, now) = (Local::new(GRACE, Duration::ZERO), Instant::now());
        local.session(ana(), SessionId::from_u128(1), Status::Online, now);
        written(&mut local, now);
        local.session(ana(), SessionId::from_u128(1), Status::Offline, now);
        assert_eq!(written(&mut local, now + GRACE), Some(Status::Offline));
        assert!(local.users.is_empty() && local.due(now + GRACE, 10).is_empty() && !local.has_changed());
    }

    #[test]
    fn who_was_written_off_is_written_again_while_they_are_here() {
        let (mut local, now) = (Local::new(GRACE, Duration::ZERO), Instant::now());
        local.session(ana(), SessionId::from_u128(1), Status::Online, now);
        written(&mut local, now);
        local.write_again(ana());
        assert_eq!(written(&mut local, now), Some(Status::Online));
        local.session(ana(), SessionId::from_u128(1), Status::Offline, now);
        written(&mut local, now + GRACE);
        local.write_again(ana());
        assert_eq!(written(&mut local, now + GRACE), None);
    }

    #[test]
    fn after_an_outage_everything_is_written_again_and_so_is_an_end() {
        let (mut local, now) = (Local::new(GRACE, Duration::ZERO), Instant::now());
        local.session(ana(), SessionId::from_u128(1), Status::Online, now);
        written(&mut local, now);
        local.write_all_again();
        assert_eq!(written(&mut local, now), Some(Status::Online));
        local.session(ana(), SessionId::from_u128(1), Status::Offline, now);
        local.write_all_again();
        assert_eq!(written(&mut local, now + GRACE), Some(Status::Offline), "the bucket may still have them");
        assert!(local.users.is_empty());
    }

    #[test]
    fn who_is_here_is_seen_now_and_who_has_left_was_seen_then() {
        let (mut local, now) = (Local::new(GRACE, Duration::ZERO), Instant::now());
        let ben = UserId::known(SessionId::from_u128(1));
        for user in [ana(), ben] {
            local.session(user, SessionId::from_u128(1), Status::Online, now);
        }
        for write in local.due(now, 10) {
            local.wrote(write);
        }
        local.session(ana(), SessionId::from_u128(1), Status::Offline, now);
        let later = now + GRACE / 2;
        assert_eq!(local.seen(later), [(ben, Duration::ZERO), (ana(), GRACE / 2)]);
    }

    #[test]
    fn who_goes_before_anything_was_written_leaves_nothing() {
        let (mut local, now) = (Local::new(GRACE, Duration::ZERO), Instant::now());
        for session in 0..1_000 {
            local.session(ana(), SessionId::from_u128(session), Status::Online, now);
            local.session(ana(), SessionId::from_u128(session), Status::Offline, now);
        }
        assert!(local.users.is_empty() && local.changed.len() <= 1);
        assert!(local.due(now, 10).is_empty() && !local.has_changed());
    }

    #[test]
    fn an_end_is_written_after_what_is_on_its_way() {
        let (mut local, now) = (Local::new(Duration::ZERO, Duration::ZERO), Instant::now());
        local.session(ana(), SessionId::from_u128(1), Status::Online, now);
        let online = local.due(now, 10);
        local.session(ana(), SessionId::from_u128(1), Status::Offline, now);
        assert_eq!(local.due(now, 10), [], "the one might arrive after the other");
        local.wrote(online[0]);
        assert_eq!(written(&mut local, now), Some(Status::Offline));
        assert!(local.users.is_empty());
    }

    #[test]
    fn what_could_not_be_written_and_what_was_doubted_meanwhile_is_written_once_more() {
        let (mut local, now) = (Local::new(Duration::ZERO, Duration::ZERO), Instant::now());
        local.session(ana(), SessionId::from_u128(1), Status::Online, now);
        let first = local.due(now, 10);
        local.could_not_write(first[0]);
        let second = local.due(now, 10);
        assert_eq!(second, first);
        local.session(ana(), SessionId::from_u128(1), Status::Offline, now);
        local.wrote(second[0]);
        let end = local.due(now, 10);
        local.write_all_again();
        local.wrote(end[0]);
        assert_eq!(written(&mut local, now), Some(Status::Offline), "the connection was lost on its way");
        assert!(local.users.is_empty());
    }

    #[test]
    fn no_more_is_due_at_once_than_was_asked_for() {
        let (mut local, now) = (Local::new(GRACE, Duration::ZERO), Instant::now());
        for number in 0..100 {
            let user = UserId::known(SessionId::from_u128(number));
            local.session(user, SessionId::from_u128(number), Status::Online, now);
        }
        assert_eq!([0; 4].map(|_| local.due(now, 40).len()), [40, 40, 20, 0]);
    }

    #[test]
    fn however_often_somebody_changes_it_is_written_once_in_a_while_and_the_last_one_is() {
        let (mut local, session, begin) = (Local::new(GRACE, PACE), crate::clock::name(), Instant::now());
        let mut writes = Vec::new();
        for tick in 0..30 {
            for status in [Status::Away, Status::Online, Status::Away, Status::Online].repeat(50) {
                local.session(ana(), session, status, begin);
            }
            local.session(ana(), session, if tick % 2 == 0 { Status::Online } else { Status::Away }, begin);
            writes.extend(written(&mut local, begin + Duration::from_millis(100 * tick)));
        }
        assert!((2..=3).contains(&writes.len()), "{writes:?}");
        assert_eq!(written(&mut local, begin + 2 * GRACE), Some(Status::Away), "the last one");
        local.session(ana(), session, Status::Offline, begin);
        assert_eq!(written(&mut local, begin + 4 * GRACE), Some(Status::Offline));
    }
}
