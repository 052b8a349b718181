//! The board: presence, merged over all nodes. This is plain bookkeeping, in an order that is the same on all nodes.

use std::collections::{BTreeMap, HashMap};

use crate::{
    domain::{Status, Time, UserId},
    log::{Here, LeaseChange, NodeId},
};

/// The entries of all nodes for each present user, and for users who have just left.
#[derive(Debug, Default)]
pub(super) struct Board {
    users: HashMap<UserId, BTreeMap<NodeId, Here>>,
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
        let nodes = self.users.get(&user);
        nodes.and_then(|nodes| nodes.values().map(|here| here.status).max()).unwrap_or(Status::Offline)
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
        self.users.entry(user).or_default().insert(node, here);
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
            .flat_map(|(user, nodes)| nodes.iter().map(move |(node, here)| (*user, node, here)))
            .filter(move |(_, node, here)| here.status > Status::Offline && dead(node))
            .map(|(user, node, _)| (user, node))
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
}
