//! The followers: clients that follow without a socket. An event in one of its user's conversations wakes a follower,
//! and a follower that may not go on is cut off. Until then, it costs one entry and no work.
//!
//! No follower sleeps through an event, because of the order of steps. A follower first reads the points up to which
//! this process has heard ([`Follower::look`]), and then queries the views for its conversations as of these points
//! ([`Follower::listens_to`]). [`Followers::hear`] gets every event after these points, under the same lock. If such an
//! event brings the user in, it adds the conversation. If it arrives before the answer of the views, the follower looks
//! again, because the points have moved. In the other order, an event between the answer and the points would be in
//! neither, and the follower would wait for an event that it has missed.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    credentials::Identity,
    domain::{ConversationId, Event, Point, Recorded, UserId},
    telemetry::METRICS,
};

/// The most followers at once.
#[derive(Debug, Clone, Copy)]
pub struct Most {
    /// Of one user on this node.
    pub of_user: usize,
    /// On this node.
    pub of_node: usize,
}

/// Why another follower is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// The user has too many.
    User,
    /// The node has too many.
    Node,
}

/// The followers of this node.
pub struct Followers {
    most: Most,
    known: Mutex<KnownFollowers>,
}

struct KnownFollowers {
    /// How far each stream has been heard.
    heard: Vec<Point>,
    users: HashMap<UserId, Following>,
    /// The users to wake, by conversation.
    topics: HashMap<ConversationId, HashSet<UserId>>,
    count: usize,
}

/// A user who has followers.
#[derive(Default)]
struct Following {
    bells: Vec<Arc<Bell>>,
    conversations: HashSet<ConversationId>,
}

/// Wakes one follower.
struct Bell {
    caller: Identity,
    /// Whether an event has arrived since the follower last looked. Written under the lock of [`KnownFollowers`].
    rung: AtomicBool,
    wake: Notify,
    cut: CancellationToken,
}

/// The place of a follower. Dropping it frees the place.
pub struct Follower {
    followers: Arc<Followers>,
    user: UserId,
    bell: Arc<Bell>,
}

/// The parts of an event that decide which followers are woken.
pub struct News {
    conversation: ConversationId,
    brings_in: Vec<UserId>,
    sends_away: Option<UserId>,
}

impl News {
    /// The news of an event.
    pub fn of(recorded: &Recorded) -> Self {
        let sends_away = match &recorded.event {
            Some(Event::MemberRemoved(removed)) => Some(removed.user_id),
            _ => None,
        };
        let brings_in = recorded.event.as_ref().map(Event::brings_in).unwrap_or_default();
        Self { conversation: recorded.conversation, brings_in, sends_away }
    }
}

impl Bell {
    fn ring(&self) {
        self.rung.store(true, Relaxed);
        self.wake.notify_one();
    }
}

impl Followers {
    /// Starts without followers, with each stream heard up to the given point.
    pub fn new(heard: Vec<Point>, most: Most) -> Arc<Self> {
        let known = KnownFollowers { heard, users: HashMap::new(), topics: HashMap::new(), count: 0 };
        Arc::new(Self { most, known: Mutex::new(known) })
    }

    fn known(&self) -> MutexGuard<'_, KnownFollowers> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a follower. The follower then looks ([`Follower::look`]) and names its conversations
    /// ([`Follower::listens_to`]).
    pub fn enter(self: &Arc<Self>, caller: &Identity) -> Result<Follower, Full> {
        let user = caller.user;
        let mut known = self.known();
        if known.count >= self.most.of_node {
            return Err(Full::Node);
        }
        let of_user = known.users.get(&user).map_or(0, |following| following.bells.len());
        if of_user >= self.most.of_user {
            return Err(Full::User);
        }
        let (rung, wake, cut) = (AtomicBool::new(true), Notify::new(), CancellationToken::new());
        let bell = Arc::new(Bell { caller: *caller, rung, wake, cut });
        known.users.entry(user).or_default().bells.push(bell.clone());
        known.count += 1;
        METRICS.followers.inc();
        Ok(Follower { followers: self.clone(), user, bell })
    }

    /// Hears the events of a stream up to a point. The task of the stream calls this in the order of the stream, once
    /// the feed has these events: a follower that was woken earlier would find nothing and keep sleeping.
    pub(super) fn hear(&self, stream: usize, upto: Point, news: &[News]) {
        let mut known = self.known();
        known.heard[stream] = upto;
        if known.count > 0 {
            news.iter().for_each(|news| known.tell(news));
        }
    }

    /// Cuts off the followers that may not go on. Each follower determines the reason by itself.
    pub fn cut(&self, may_not_go_on: impl Fn(&Identity) -> bool) {
        for bell in self.known().users.values().flat_map(|following| &following.bells) {
            if may_not_go_on(&bell.caller) {
                bell.cut.cancel();
            }
        }
    }
}

impl KnownFollowers {
    fn tell(&mut self, news: &News) {
        for user in &news.brings_in {
            self.add(*user, news.conversation);
        }
        let Some(users) = self.topics.get(&news.conversation) else { return };
        for following in users.iter().filter_map(|user| self.users.get(user)) {
            following.bells.iter().for_each(|bell| bell.ring());
        }
        if let Some(user) = news.sends_away {
            if let Some(following) = self.users.get_mut(&user) {
                following.conversations.remove(&news.conversation);
            }
            self.forget(user, news.conversation);
        }
    }

    fn add(&mut self, user: UserId, conversation: ConversationId) {
        if let Some(following) = self.users.get_mut(&user)
            && following.conversations.insert(conversation)
        {
            self.topics.entry(conversation).or_default().insert(user);
        }
    }

    fn forget(&mut self, user: UserId, conversation: ConversationId) {
        if let Some(users) = self.topics.get_mut(&conversation) {
            users.remove(&user);
            if users.is_empty() {
                self.topics.remove(&conversation);
            }
        }
    }
}

impl Follower {
    /// The points up to which each stream has been heard. The follower reads the events before these points, and is
    /// woken for each event after them.
    pub fn look(&self) -> Vec<Point> {
        let known = self.followers.known();
        self.bell.rung.store(false, Relaxed);
        known.heard.clone()
    }

    /// Names the conversations of the user, as of points that [`look`](Self::look) returned.
    pub fn listens_to(&self, conversations: impl IntoIterator<Item = ConversationId>, as_of: &[Point]) {
        let mut known = self.followers.known();
        for conversation in conversations {
            known.add(self.user, conversation);
        }
        if known.heard != as_of {
            self.bell.ring();
        }
    }

    /// The points up to which there is nothing to read; `None` if there is something.
    pub fn quiet(&self) -> Option<Vec<Point>> {
        let known = self.followers.known();
        (!self.bell.rung.load(Relaxed)).then(|| known.heard.clone())
    }

    /// Waits until there may be something to read.
    pub async fn woken(&self) {
        self.bell.wake.notified().await;
    }

    /// Waits until the follower is cut off.
    pub async fn is_cut(&self) {
        self.bell.cut.cancelled().await;
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        METRICS.followers.dec();
        let mut known = self.followers.known();
        known.count -= 1;
        let Some(following) = known.users.get_mut(&self.user) else { return };
        following.bells.retain(|bell| !Arc::ptr_eq(bell, &self.bell));
        if following.bells.is_empty() {
            let gone = known.users.remove(&self.user).unwrap_or_default();
            for conversation in gone.conversations {
                known.forget(self.user, conversation);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use uuid::Uuid;

    use super::*;
    use crate::{
        credentials::{Proof, Scopes},
        domain::{EventId, LoginId, Position},
    };

    fn user(n: u128) -> UserId {
        UserId::known(Uuid::from_u128(n))
    }

    fn caller(n: u128) -> Identity {
        let (user, login) = (user(n), LoginId::known(Uuid::from_u128(n)));
        let expires_at = "2026-11-24T12:00:00Z".parse().expect("time");
        Identity { user, login, proof: Proof::Login, expires_at, via: None, scopes: Scopes::PERSON }
    }

    fn conversation(n: u128) -> ConversationId {
        ConversationId::known(Uuid::from_u128(n))
    }

    fn point(position: u64) -> Point {
        Point { position: Position(position), event: EventId::known(Uuid::from_u128(position.into())) }
    }

    fn followers() -> Arc<Followers> {
        Followers::new(vec![point(0)], Most { of_user: 2, of_node: 3 })
    }

    fn said_in(n: u128) -> News {
        News { conversation: conversation(n), brings_in: Vec::new(), sends_away: None }
    }

    /// A follower that has looked and has named these conversations.
    fn settled(followers: &Arc<Followers>, of: u128, in_: &[u128]) -> Follower {
        let follower = followers.enter(&caller(of)).expect("a place");
        let at = follower.look();
        follower.listens_to(in_.iter().copied().map(conversation), &at);
        follower
    }

    #[test]
    fn a_follower_is_woken_by_its_own_conversations_alone() {
        let followers = followers();
        let (ana, ben) = (settled(&followers, 1, &[7]), settled(&followers, 2, &[8]));
        followers.hear(0, point(1), &[said_in(7)]);
        assert!(ana.woken().now_or_never().is_some() && ana.quiet().is_none());
        assert!(ben.woken().now_or_never().is_none());
        assert_eq!(ben.quiet(), Some(vec![point(1)]), "what is none of its business takes it along");
        assert_eq!(ana.look(), [point(1)]);
        assert_eq!(ana.quiet(), Some(vec![point(1)]));
    }

    #[test]
    fn membership_changes_while_one_follows() {
        let followers = followers();
        let ana = settled(&followers, 1, &[]);
        let comes = News { brings_in: vec![user(1), user(9)], ..said_in(7) };
        followers.hear(0, point(1), &[comes]);
        assert!(ana.quiet().is_none(), "the event that brings somebody in is for them");
        ana.look();
        followers.hear(0, point(2), &[said_in(7)]);
        assert!(ana.quiet().is_none());
        ana.look();
        followers.hear(0, point(3), &[News { sends_away: Some(user(1)), ..said_in(7) }]);
        assert!(ana.quiet().is_none(), "and the one that sends them away");
        ana.look();
        followers.hear(0, point(4), &[said_in(7)]);
        assert!(ana.quiet().is_some());
    }

    #[test]
    fn what_happens_before_the_views_have_answered_is_looked_at() {
        let followers = followers();
        let ana = followers.enter(&caller(1)).expect("a place");
        let at = ana.look();
        followers.hear(0, point(1), &[said_in(7)]);
        ana.listens_to([conversation(7)], &at);
        assert!(ana.quiet().is_none() && ana.woken().now_or_never().is_some());
    }

    #[test]
    fn places_are_bounded_and_come_back_and_nothing_is_left_behind() {
        let followers = followers();
        let enter = |of| followers.enter(&caller(of));
        let (one, other) = (settled(&followers, 1, &[7]), settled(&followers, 1, &[7]));
        assert_eq!(enter(1).err(), Some(Full::User));
        let third = enter(2).expect("a place");
        assert_eq!(enter(3).err(), Some(Full::Node));
        drop(one);
        followers.hear(0, point(1), &[said_in(7)]);
        assert!(other.quiet().is_none(), "those who stay are still woken");
        drop((other, third));
        let known = followers.known();
        assert!(known.users.is_empty() && known.topics.is_empty() && known.count == 0);
    }

    #[test]
    fn those_are_cut_off_who_may_not_go_on() {
        let followers = followers();
        let (ana, ben) = (settled(&followers, 1, &[]), settled(&followers, 2, &[]));
        followers.cut(|of| of.user == user(1));
        assert!(ana.is_cut().now_or_never().is_some());
        assert!(ben.is_cut().now_or_never().is_none());
    }
}
