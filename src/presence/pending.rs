//! The changes that have to be announced: the latest change of each user, and one change of a user at a time.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::{domain::UserId, log::NodeId, presence::board::Tipped};

/// The waiting changes, at most one for each user, because a newer change replaces one that has not been announced. So
/// the list is bounded, and no change has to be dropped.
#[derive(Debug, Default)]
pub(super) struct Pending {
    waiting: HashMap<UserId, News>,
    /// The users in `waiting` for whom no task is announcing a change, oldest first.
    order: VecDeque<UserId>,
    /// The users for whom a task is announcing a change. If two changes of a user were announced at once, their order
    /// could be wrong, and a user who has left would stay present.
    busy: HashSet<UserId>,
}

/// The changes of a user that have yet to be announced.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct News {
    /// The new merged status, if it has changed.
    pub(super) tipped: Option<Tipped>,
    /// Entries of nodes that are over and can be deleted, with their revisions.
    pub(super) over: Vec<(NodeId, u64)>,
}

impl Pending {
    /// Notes that a merged status has changed.
    pub(super) fn tip(&mut self, tipped: Tipped) {
        let user = tipped.user;
        self.of(user).tipped = Some(tipped);
    }

    /// Notes that an entry is over.
    pub(super) fn is_over(&mut self, user: UserId, node: NodeId, revision: u64) {
        let over = &mut self.of(user).over;
        over.retain(|(other, _)| *other != node);
        over.push((node, revision));
    }

    fn of(&mut self, user: UserId) -> &mut News {
        let is_new = !self.waiting.contains_key(&user);
        if is_new && !self.busy.contains(&user) {
            self.order.push_back(user);
        }
        self.waiting.entry(user).or_default()
    }

    /// The next change. The task that takes it calls [`Pending::done`] afterwards.
    pub(super) fn next(&mut self) -> Option<(UserId, News)> {
        let user = self.order.pop_front()?;
        self.busy.insert(user);
        Some((user, self.waiting.remove(&user).unwrap_or_default()))
    }

    /// Whether there is a change for another task.
    pub(super) fn has_next(&self) -> bool {
        !self.order.is_empty()
    }

    /// Notes that the change of a user has been announced, or given up. Returns whether there is a newer one.
    pub(super) fn done(&mut self, user: UserId) -> bool {
        self.busy.remove(&user);
        let has_more = self.waiting.contains_key(&user);
        if has_more {
            self.order.push_back(user);
        }
        has_more
    }

    /// Whether another change of this user is already waiting.
    pub(super) fn is_overtaken(&self, user: UserId) -> bool {
        self.waiting.get(&user).is_some_and(|news| news.tipped.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Status;

    fn user(number: u128) -> UserId {
        UserId::known(uuid::Uuid::from_u128(number))
    }

    fn tipped(number: u128, status: Status) -> Tipped {
        let at = "2026-11-24T13:10:00.000Z".parse().expect("time");
        Tipped { user: user(number), status, at, by: NodeId::new() }
    }

    fn next(pending: &mut Pending) -> Option<(UserId, Option<Status>)> {
        pending.next().map(|(user, news)| (user, news.tipped.map(|tipped| tipped.status)))
    }

    #[test]
    fn the_latest_of_each_is_told_and_nothing_is_lost() {
        let mut pending = Pending::default();
        for _ in 0..100_000 {
            pending.tip(tipped(1, Status::Online));
            pending.tip(tipped(2, Status::Away));
            pending.tip(tipped(1, Status::Offline));
        }
        assert_eq!(next(&mut pending), Some((user(1), Some(Status::Offline))));
        assert_eq!(next(&mut pending), Some((user(2), Some(Status::Away))));
        assert_eq!(next(&mut pending), None);
    }

    #[test]
    fn two_things_of_one_user_are_told_one_after_the_other() {
        let mut pending = Pending::default();
        pending.tip(tipped(1, Status::Online));
        assert!(next(&mut pending).is_some() && !pending.is_overtaken(user(1)));
        pending.tip(tipped(1, Status::Offline));
        assert_eq!(next(&mut pending), None, "somebody is still telling that they came");
        assert!(pending.is_overtaken(user(1)) && pending.done(user(1)));
        assert_eq!(next(&mut pending), Some((user(1), Some(Status::Offline))));
        assert!(!pending.done(user(1)) && next(&mut pending).is_none());
    }

    #[test]
    fn what_is_over_is_cleared_with_its_last_revision() {
        let (mut pending, node) = (Pending::default(), NodeId::new());
        pending.is_over(user(1), node.clone(), 7);
        pending.is_over(user(1), node.clone(), 9);
        let over = pending.next().map(|(_, news)| news);
        assert_eq!(over, Some(News { tipped: None, over: vec![(node, 9)] }));
    }
}
