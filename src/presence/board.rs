//! The board: presence, merged over all nodes. This is plain bookkeeping, in an order that is the same on all nodes.

use std::collections::{BTreeMap, HashMap};

use crate::{
    domain::{Status, Time, UserId},
    log::{Here, LeaseChange, NodeId},
};

/// The entries of all nodes for each present user, and for users who have just left.
#[derive(Debug, Default)]
pub(super) struct Board {
    users: HashMap<UserId, BTreeMap<NodeId, Heard>>,
}

/// An entry, as it was heard last.
#[derive(Debug)]
struct Heard {
    here: Here,
    /// Whether the watch has begun anew since then, so that the entry may have been removed.
    is_doubted: bool,
}

/// A change of a user's merged status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tipped {
    /// The user.
    pub(super) user: UserId,
    /// The new status.
    pub(super) status: Status,
    /// The time of the last change of status.
    pub at: Time,
    /// The node whose entry changed the status. That node notifies the conversations.
    pub(super) by: NodeId,
}

impl Board {
    /// The highest status that any node reports.
    pub(super) fn status(&self, user: UserId) -> Status {
        self.of(user).map(|here| here.status).max().unwrap_or(Status::Offline)
    }

    /// The time of the last news of a user, for a user who is present or has just left.
    pub(super) fn last_seen_at(&self, user: UserId) -> Option<Time> {
        self.of(user).map(|here| here.at).max()
    }

    fn of(&self, user: UserId) -> impl Iterator<Item = &Here> {
        self.users.get(&user).into_iter().flat_map(|nodes| nodes.values().map(|heard| &heard.here))
    }

    /// Applies a change, and returns the merged status if the change has affected it.
    pub(super) fn apply(&mut self, change: LeaseChange) -> Option<Tipped> {
        let LeaseChange { user, node, here, .. } = change;
        let before = self.status(user);
        let Some(here) = here else {
            self.forget(user, &node);
            return None;
        };
        let (at, by) = (here.at, here.by.clone());
        self.users.entry(user).or_default().insert(node, Heard { here, is_doubted: false });
        let status = self.status(user);
        (status != before).then_some(Tipped { user, status, at, by })
    }

    /// The users who are present according to the entries of a node, for use when the node is found dead.
    pub(super) fn of_nodes<'a>(
        &'a self,
        mut dead: impl FnMut(&NodeId) -> bool + 'a,
    ) -> impl Iterator<Item = (UserId, &'a NodeId)> + 'a {
        self.users
            .iter()
            .flat_map(|(user, nodes)| nodes.iter().map(move |(node, heard)| (*user, node, heard)))
            .filter(move |(_, node, heard)| heard.here.status > Status::Offline && dead(node))
            .map(|(user, node, _)| (user, node))
    }

    /// Doubts all entries, because the watch begins anew and tells those that exist. The board keeps them for now: they
    /// count until they are known to be gone, and an entry that is told again is no change.
    pub(super) fn doubt_all(&mut self) {
        self.users.retain(|_, nodes| {
            nodes.retain(|_, heard| heard.here.status > Status::Offline);
            nodes.values_mut().for_each(|heard| heard.is_doubted = true);
            !nodes.is_empty()
        });
    }

    /// The users who are present according to entries that have not been told again.
    pub(super) fn doubted(&self) -> impl Iterator<Item = (UserId, &NodeId)> {
        let entries = self.users.iter().flat_map(|(user, nodes)| nodes.iter().map(move |of| (*user, of)));
        entries.filter(|(_, (_, heard))| heard.is_doubted).map(|(user, (node, _))| (user, node))
    }

    fn forget(&mut self, user: UserId, node: &NodeId) {
        if let Some(nodes) = self.users.get_mut(&user) {
            nodes.remove(node);
            if nodes.is_empty() {
                self.users.remove(&user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANA: &str = "01930f3c-5a7b-7c3d-8e4f-0123456789ab";

    fn ana() -> UserId {
        ANA.parse().expect("id")
    }

    fn says(node: &NodeId, status: Status) -> LeaseChange {
        let at = "2026-11-24T13:10:00.000Z".parse().expect("time");
        let here = Some(Here { status, at, by: node.clone() });
        LeaseChange { user: ana(), node: node.clone(), here, revision: 1 }
    }

    #[test]
    fn several_nodes_count_as_one_and_the_last_to_go_tips() {
        let (mut board, one, two) = (Board::default(), NodeId::new(), NodeId::new());
        assert_eq!(board.apply(says(&one, Status::Online)).map(|t| t.status), Some(Status::Online));
        assert_eq!(board.apply(says(&two, Status::Away)), None);
        let tipped = board.apply(says(&one, Status::Offline)).expect("away is left");
        assert_eq!((tipped.status, tipped.by), (Status::Away, one));
        let tipped = board.apply(says(&two, Status::Offline)).expect("nobody is left");
        assert_eq!((tipped.status, tipped.by), (Status::Offline, two));
    }

    #[test]
    fn the_same_news_again_tips_nothing() {
        let (mut board, one) = (Board::default(), NodeId::new());
        assert!(board.apply(says(&one, Status::Online)).is_some());
        assert_eq!(board.apply(says(&one, Status::Online)), None);
    }

    #[test]
    fn a_dead_nodes_users_are_found_until_they_are_offline() {
        let (mut board, one, two) = (Board::default(), NodeId::new(), NodeId::new());
        board.apply(says(&one, Status::Online));
        assert_eq!(board.of_nodes(|node| *node == one).count(), 1);
        assert_eq!(board.of_nodes(|node| *node == two).count(), 0);
        board.apply(says(&one, Status::Offline));
        assert_eq!(board.of_nodes(|node| *node == one).count(), 0);
        board.apply(LeaseChange { user: ana(), node: one, here: None, revision: 2 });
        assert_eq!(board.status(ana()), Status::Offline);
    }

    #[test]
    fn an_entry_that_is_not_told_again_is_doubted_and_counts_until_it_is_over() {
        let (mut board, one, two, three) = (Board::default(), NodeId::new(), NodeId::new(), NodeId::new());
        board.apply(says(&one, Status::Online));
        board.apply(says(&two, Status::Away));
        board.apply(says(&three, Status::Offline));
        assert_eq!(board.doubted().count(), 0);
        board.doubt_all();
        assert_eq!(board.users[&ana()].len(), 2, "nobody asks whether an end is gone");
        assert_eq!(board.apply(says(&two, Status::Away)), None, "it was not away in between");
        assert_eq!(board.doubted().collect::<Vec<_>>(), [(ana(), &one)]);
        assert_eq!(board.status(ana()), Status::Online);
        let tipped = board.apply(says(&one, Status::Offline)).map(|tipped| tipped.status);
        assert_eq!((tipped, board.doubted().count()), (Some(Status::Away), 0));
    }

    #[test]
    fn who_is_on_several_nodes_was_last_seen_on_the_latest() {
        let (mut board, one, two) = (Board::default(), NodeId::new(), NodeId::new());
        assert_eq!(board.last_seen_at(ana()), None);
        board.apply(says(&one, Status::Online));
        let mut later = says(&two, Status::Away);
        let at = "2026-11-24T13:20:00.000Z".parse().expect("time");
        later.here.as_mut().expect("an entry").at = at;
        board.apply(later);
        assert_eq!((board.status(ana()), board.last_seen_at(ana())), (Status::Online, Some(at)));
    }
}
