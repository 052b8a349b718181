//! Tells sockets that a user has another name or another picture.
//!
//! A change arrives as a signal without the new name. A node reads the account after the signal, one change at a time,
//! so the last frame about a user has the latest name, whatever the order of the signals. If a user changes the name in
//! a loop, sockets get a few frames per second.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, task::yield_now, time::sleep};

use crate::{
    credentials::AvatarUrl,
    domain::UserId,
    gateway::{frames::server::ServerFrame, hub::listeners::Listeners},
    live::{Blocked, Blocklist, Conversations, is_blocked},
    log::Unavailable,
    presence::{ChangedUser, Presence},
};

/// The pause before changes are sent. Further changes of the same user during the pause cost nothing.
const PAUSE: Duration = Duration::from_millis(250);
/// The most users whose changes are sent after one pause.
const AT_ONCE: usize = 64;
/// The most users who wait. A user beyond that gets no frame; clients find the name in their next read.
const WAITING: usize = 4_096;

/// The users about whom this node has to notify sockets, each once.
#[derive(Default)]
pub struct ChangedUsers {
    waiting: Mutex<(VecDeque<UserId>, HashSet<UserId>)>,
    has_some: Notify,
}

impl ChangedUsers {
    /// Notes a user who has changed.
    pub(in crate::gateway) fn add(&self, user: UserId) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let (order, users) = &mut *waiting;
        if users.contains(&user) {
            return;
        }
        if users.len() == WAITING {
            tracing::warn!(%user, "too many users changed at once; did not notify sockets about one of them");
            return;
        }
        users.insert(user);
        order.push_back(user);
        self.has_some.notify_one();
    }

    /// Takes the users who have waited longest. A change after this call makes its user wait again.
    fn take(&self) -> Vec<UserId> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let (order, users) = &mut *waiting;
        let most = order.len().min(AT_ONCE);
        let taken: Vec<UserId> = order.drain(..most).collect();
        for user in &taken {
            users.remove(user);
        }
        if !order.is_empty() {
            self.has_some.notify_one();
        }
        taken
    }
}

/// Everything that is needed to notify sockets about changed users.
pub(in crate::gateway) struct Telling {
    pub(in crate::gateway) changed: Arc<ChangedUsers>,
    pub(in crate::gateway) presence: Presence,
    pub(in crate::gateway) conversations: Conversations,
    pub(in crate::gateway) blocked: Arc<Blocked>,
    pub(in crate::gateway) listeners: Arc<Listeners>,
}

impl Telling {
    /// Notifies the sockets of this node about changed users until the process exits.
    pub(in crate::gateway) async fn run(self) {
        loop {
            self.changed.has_some.notified().await;
            sleep(PAUSE).await;
            if let Err(error) = self.tell().await {
                tracing::warn!(%error, "could not notify sockets about changed users");
            }
        }
    }

    async fn tell(&self) -> Result<(), Unavailable> {
        // The accounts are read after their users are taken, so a user who changes after this read waits again.
        let users = self.changed.take();
        let heard = self.conversations.positions();
        let changed = self.presence.changed(&users, &heard).await.map_err(Unavailable::because)?;
        let lists = self.blocked.lists(&users).await.map_err(Unavailable::because)?;
        for user in changed {
            if let Some(hidden_from) = lists.get(&user.account.id) {
                self.tell_of(&user, hidden_from).await;
            }
        }
        Ok(())
    }

    /// Notifies the user, and each member of the conversations who is not on the user's block list. The rosters of all
    /// conversations in which a socket of this node listens are in memory.
    async fn tell_of(&self, ChangedUser { account, conversations }: &ChangedUser, hidden_from: &Blocklist) {
        let frame = ServerFrame::User {
            id: account.id,
            display_name: account.display_name.as_str(),
            avatar_url: account.avatar_url.as_ref().map(AvatarUrl::as_str),
            kind: account.kind,
        };
        let frame = frame.encode();
        let mut told = HashSet::new();
        let mut tell = |member: UserId| {
            if told.insert(member)
                && !is_blocked(hidden_from, member)
                && let Some(listener) = self.listeners.get(member)
            {
                listener.offer(&frame);
            }
        };
        tell(account.id);
        for id in conversations {
            let Some(roster) = self.conversations.at_hand(*id).map(|tracked| tracked.conversation()) else {
                continue;
            };
            if roster.membership(account.id).is_some() {
                roster.members().for_each(|(member, _)| tell(member));
            }
            // A user may have many conversations with many members.
            yield_now().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn user(number: usize) -> UserId {
        UserId::known(Uuid::from_u128(number as u128))
    }

    #[test]
    fn a_user_waits_once_and_the_first_ones_come_first() {
        let changed = ChangedUsers::default();
        for number in (0..100).chain(0..100) {
            changed.add(user(number));
        }
        assert_eq!(changed.take(), (0..64).map(user).collect::<Vec<_>>());
        changed.add(user(0));
        let rest: Vec<UserId> = (64..100).chain([0]).map(user).collect();
        assert_eq!((changed.take(), changed.take()), (rest, Vec::new()));
    }

    #[test]
    fn only_so_many_users_wait() {
        let changed = ChangedUsers::default();
        (0..WAITING + 10).for_each(|number| changed.add(user(number)));
        let mut taken = 0;
        while let Some(some) = Some(changed.take().len()).filter(|some| *some > 0) {
            taken += some;
        }
        assert_eq!(taken, WAITING);
    }
}
