//! The listeners of the conversations of one stream. This is plain bookkeeping that only the stream's task does:
//! joining, leaving and delivering happen in one order, the order of the log, without a lock.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::Instant;

use crate::{
    domain::{ConversationId, Event, Fold, Lane, Point, Position, PresenceChanged, Recorded, UserId},
    gateway::{
        frames::{
            close::Close,
            server::{Head, ServerFrame},
        },
        hub::{
            held::{GivenUp, Held},
            listeners::Listener,
            pending::PendingFrames,
        },
    },
    live::{Blocklist, Tracked, is_blocked},
    telemetry::METRICS,
};

/// The most conversations whose events are held at once.
const MOST_HELD: usize = 4_096;

/// The most listeners that get frames before other tasks get a turn.
const AT_ONCE: usize = 64;

/// The heads of the conversations that have moved, for each listener.
pub(in crate::gateway) type Heads = Vec<(Arc<Listener>, Vec<Head>)>;

/// The topics of one stream.
pub(in crate::gateway) struct Topics {
    stream: usize,
    all: HashMap<ConversationId, Topic>,
    /// The topics that got pending frames. A topic may be listed although its frames have already been sent.
    dirty: Vec<ConversationId>,
    /// The held events of conversations that are being read because a user was brought in. None of these conversations
    /// is a topic: with a listener here, the conversation would be known and would not have to be read.
    held: HashMap<ConversationId, Held>,
    /// The number of the last beat.
    beat: u64,
}

/// A conversation that a listener has joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway) struct Admission {
    pub(in crate::gateway) id: ConversationId,
    /// The event that made the user a member.
    pub(in crate::gateway) since: Position,
    /// The last event of the conversation. The listener gets all later events.
    pub(in crate::gateway) head: Position,
}

/// A conversation with listeners on this node.
struct Topic {
    tracked: Arc<Tracked>,
    listeners: Vec<Arc<Listener>>,
    /// Frames of the present batch that have not been sent yet.
    pending: PendingFrames,
    /// The number of listeners that have been sent the pending frames.
    sent_to: usize,
    moved: Moved,
}

/// Whether a beat has to name a topic. Beats keep naming a topic until a beat that named it is known to have been sent:
/// an answer may come too late for the sweep that asked for it, and its heads would never be sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Moved {
    No,
    SinceTheLastBeat,
    InBeat(u64),
}

impl Topics {
    pub(in crate::gateway) fn new(stream: usize) -> Self {
        Self { stream, all: HashMap::new(), dirty: Vec::new(), held: HashMap::new(), beat: 0 }
    }

    /// Shows an applied event to the members. A change of membership takes effect between two frames, in four steps:
    ///
    /// 1. Pending frames are sent to the listeners as they were before the change. Sent later, these frames would reach
    ///    a new member who had not joined yet, and would miss a member who has left.
    /// 2. New members are subscribed before the event, which is the first one of their chain.
    /// 3. The event is sent.
    /// 4. Members who have left are unsubscribed after the event, which is the last one of their chain and tells them
    ///    that they have left.
    pub(in crate::gateway) fn show(
        &mut self,
        recorded: &Recorded,
        previous: Position,
        tracked: &Arc<Tracked>,
        added: Vec<Arc<Listener>>,
    ) {
        let id = recorded.conversation;
        if recorded.lane != Lane::Roster {
            return self.queue(recorded, previous);
        }
        self.flush(id);
        for listener in added {
            self.subscribe(&listener, id, tracked);
        }
        self.queue(recorded, previous);
        self.flush(id);
        if let Some(Event::MemberRemoved(removed)) = &recorded.event {
            let of_topic = self.all.get(&id).map_or(&[][..], |topic| &topic.listeners);
            let gone: Vec<_> =
                of_topic.iter().filter(|listener| listener.user == removed.user_id).cloned().collect();
            for listener in gone {
                self.unsubscribe(&listener, id);
            }
        }
    }

    fn queue(&mut self, recorded: &Recorded, previous: Position) {
        let Some(topic) = self.all.get_mut(&recorded.conversation) else { return };
        if topic.pending.is_empty() {
            self.dirty.push(recorded.conversation);
        }
        topic.pending.push(recorded, previous, &topic.tracked);
    }

    /// Sends all pending frames of a conversation.
    fn flush(&mut self, id: ConversationId) {
        while self.flush_to_some(id).is_some() {}
    }

    /// Sends the pending frames of a conversation to its next listeners. Returns how many frames were written; `None`
    /// if nothing is pending any more.
    fn flush_to_some(&mut self, id: ConversationId) -> Option<usize> {
        let topic = self.all.get_mut(&id).filter(|topic| !topic.pending.is_empty())?;
        let some = topic.listeners.iter().skip(topic.sent_to).take(AT_ONCE);
        let frames = topic.pending.of_each(&topic.tracked);
        let sockets: usize = some.map(move |listener| listener.deliver(id, &frames(listener.user))).sum();
        let deliveries = sockets * topic.pending.len();
        METRICS.deliveries.inc_by(deliveries as u64);
        topic.sent_to += AT_ONCE;
        if topic.sent_to >= topic.listeners.len() {
            topic.pending.clear();
            topic.sent_to = 0;
            topic.moved = Moved::SinceTheLastBeat;
        }
        Some(deliveries)
    }

    /// Sends some of the pending frames. Returns how many were written; `None` if nothing is pending any more.
    ///
    /// The caller repeats the call until it returns `None`, before any listener joins or leaves and before another
    /// event is shown. A listener that joined in between would get events that its head already covers. A listener that
    /// left would shift the listeners after it, and the next of them would be skipped.
    pub(in crate::gateway) fn flush_some(&mut self) -> Option<usize> {
        while let Some(id) = self.dirty.last() {
            if let Some(written) = self.flush_to_some(*id) {
                return Some(written);
            }
            self.dirty.pop();
        }
        None
    }

    /// Sends all pending frames.
    pub(in crate::gateway) fn flush_all(&mut self) {
        while self.flush_some().is_some() {}
    }

    /// Whether events of a conversation are held. If so, its next event has to be held too, even if the
    /// conversation is known: shown at once, the event would overtake the held ones.
    pub(in crate::gateway) fn is_held(&self, id: ConversationId) -> bool {
        self.held.contains_key(&id)
    }

    /// Whether events of any conversation are held.
    pub(in crate::gateway) fn holds_any(&self) -> bool {
        !self.held.is_empty()
    }

    /// Whether events are held for a listener, or for one of these conversations.
    pub(in crate::gateway) fn holds_for(
        &self,
        listener: &Arc<Listener>,
        mut ids: impl Iterator<Item = ConversationId>,
    ) -> bool {
        // Most of the time nothing is held.
        !self.held.is_empty()
            && (self.held.values().any(|held| held.is_for(listener)) || ids.any(|id| self.is_held(id)))
    }

    /// Holds an event of a conversation that has to be read first, for the listeners that the event brings in and those
    /// that earlier held events brought in. `before` is the point of the stream just before the event.
    ///
    /// A listener with a held event gets no position past that event ([`Listener::reached`]), because a client that
    /// resumed from there would never get the event. The wait is noted here, before the stream counts as followed up to
    /// the event. If it were noted afterwards, a heartbeat in between would carry such a position. It is noted even if
    /// the events are given up at once, because the sockets are closed only later.
    pub(in crate::gateway) fn hold(
        &mut self,
        recorded: &Recorded,
        added: Vec<Arc<Listener>>,
        before: Point,
    ) -> Result<(), GivenUp> {
        let is_full = self.held.len() >= MOST_HELD;
        let held = match self.held.entry(recorded.conversation) {
            Entry::Occupied(held) => held.into_mut(),
            Entry::Vacant(place) => place.insert(Held::new(before.position, Instant::now())),
        };
        for listener in &added {
            listener.waits_for(recorded.conversation, self.stream, before);
        }
        held.push(recorded, added)?;
        if is_full { Err(GivenUp::TooMuch) } else { Ok(()) }
    }

    /// Shows the held events, in order, as if each were shown at its own time. The caller has read the conversation as
    /// it was at `before`, just before its first held event. `take_in` receives the conversation as it is after all
    /// held events.
    ///
    /// All events are folded first and shown afterwards. From `take_in` on, the conversation is known and the next
    /// event of the stream is shown at once, so the known conversation has to contain the held events. The listeners
    /// stop waiting only after all held events have been sent; otherwise a heartbeat in between would carry a position
    /// past them.
    pub(in crate::gateway) fn show_held(
        &mut self,
        id: ConversationId,
        before: Position,
        mut fold: Fold,
        take_in: impl FnOnce(Fold) -> Arc<Tracked>,
    ) {
        // If events were given up and held again, they wait for another reading.
        let Entry::Occupied(held) = self.held.entry(id) else { return };
        if held.get().before() != before {
            return;
        }
        let held = held.remove();
        let previous: Vec<Option<Position>> =
            held.events().iter().map(|(recorded, _)| recorded.apply_to(&mut fold)).collect();
        let tracked = take_in(fold);
        let listeners: Vec<Arc<Listener>> = held.listeners().cloned().collect();
        for ((recorded, added), previous) in held.into_events().into_iter().zip(previous) {
            if let Some(previous) = previous {
                self.show(&recorded, previous, &tracked, added);
            }
        }
        self.flush_all();
        for listener in listeners {
            listener.waits_no_more(id);
        }
    }

    /// The conversations whose events have been held for `patience` or longer.
    pub(in crate::gateway) fn held_for(&self, patience: Duration, now: Instant) -> Vec<ConversationId> {
        let is_overdue = |held: &Held| now.duration_since(held.since) >= patience;
        self.held.iter().filter(|(_, held)| is_overdue(held)).map(|(id, _)| *id).collect()
    }

    /// Gives up the held events of a conversation: the sessions that wait for them reconnect with their cursor, here or
    /// on another node, and join again. The order of the three steps matters:
    ///
    /// 1. *Unsettle, then close.* A session that begins meanwhile is either closed with the others or finds that some
    ///    topics are missing. In the other order, the session could begin between the two steps, trust the topics, stay
    ///    open and never get an event of this conversation.
    /// 2. *Close, then stop waiting.* Only a closed socket takes no heartbeat with a position past the held events.
    pub(in crate::gateway) fn send_elsewhere(&mut self, id: ConversationId) {
        let Some(held) = self.held.remove(&id) else { return };
        for listener in held.listeners() {
            listener.unsettle();
            listener.close(Close::LAGGING);
            listener.waits_no_more(id);
        }
    }

    /// Drops the events that are held only for this listener, because the listener has gone.
    pub(in crate::gateway) fn forget(&mut self, listener: &Arc<Listener>) {
        self.held.retain(|_, held| held.is_wanted_without(listener));
    }

    /// Adds the listener to a conversation; `None` if the user is no longer a member. Without `tracked`, the
    /// conversation is already a topic of the listener.
    ///
    /// Membership is checked here, in the order of the stream, and not where the conversation was read: if this task
    /// has shown a removal in between, it went to a topic without this listener.
    pub(in crate::gateway) fn join(
        &mut self,
        listener: &Arc<Listener>,
        id: ConversationId,
        tracked: Option<&Arc<Tracked>>,
    ) -> Option<Admission> {
        let tracked = tracked.or_else(|| self.all.get(&id).map(|topic| &topic.tracked))?.clone();
        let since = tracked.conversation().membership(listener.user)?.since;
        self.subscribe(listener, id, &tracked);
        Some(Admission { id, since, head: tracked.head() })
    }

    fn subscribe(&mut self, listener: &Arc<Listener>, id: ConversationId, tracked: &Arc<Tracked>) {
        if !listener.topics.lock().unwrap_or_else(PoisonError::into_inner).insert(id) {
            return;
        }
        let topic = match self.all.entry(id) {
            Entry::Occupied(topic) => topic.into_mut(),
            Entry::Vacant(place) => place.insert(Topic {
                tracked: tracked.clone(),
                listeners: Vec::new(),
                pending: PendingFrames::default(),
                sent_to: 0,
                moved: Moved::No,
            }),
        };
        topic.listeners.push(listener.clone());
    }

    pub(in crate::gateway) fn unsubscribe(&mut self, listener: &Arc<Listener>, id: ConversationId) {
        listener.topics.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        if let Some(topic) = self.all.get_mut(&id) {
            topic.listeners.retain(|other| !Arc::ptr_eq(other, listener));
            if topic.listeners.is_empty() {
                self.all.remove(&id);
            }
        }
    }

    pub(in crate::gateway) fn presence(&self, recorded: &Recorded, hidden_from: &Blocklist) {
        let Some(Event::PresenceChanged(PresenceChanged { status, last_seen_at })) = recorded.event else {
            return;
        };
        let Some(topic) = self.all.get(&recorded.conversation) else { return };
        if !topic.tracked.conversation().counts(recorded.actor, Lane::Presence) {
            return;
        }
        let frame = ServerFrame::Presence { user_id: recorded.actor, status, last_seen_at }.encode();
        for listener in topic.listeners.iter().filter(|listener| listener.user != recorded.actor) {
            let is_hidden = is_blocked(hidden_from, listener.user);
            if !is_hidden && listener.is_news(recorded.actor, status, last_seen_at) {
                listener.offer(&frame);
            }
        }
    }

    pub(in crate::gateway) fn typing(&self, id: ConversationId, user: UserId) {
        let Some(topic) = self.all.get(&id) else { return };
        if topic.tracked.conversation().membership(user).is_none() {
            return;
        }
        let frame: Bytes = ServerFrame::Typing { conversation_id: id, user_id: user }.encode();
        for listener in topic.listeners.iter().filter(|listener| listener.user != user) {
            listener.offer_of(id, &frame);
        }
    }

    /// The next beat, with its number: the heads that have moved for each listener since the last beat that was sent.
    pub(in crate::gateway) fn beat(&mut self, told: u64) -> (u64, Heads) {
        self.beat += 1;
        let mut moved: HashMap<UserId, (Arc<Listener>, Vec<Head>)> = HashMap::new();
        for (id, topic) in &mut self.all {
            match topic.moved {
                Moved::No => continue,
                Moved::InBeat(number) if number <= told => {
                    topic.moved = Moved::No;
                    continue;
                }
                Moved::InBeat(_) | Moved::SinceTheLastBeat => topic.moved = Moved::InBeat(self.beat),
            }
            let head = Head { id: *id, head: topic.tracked.head() };
            for listener in &topic.listeners {
                let of = moved.entry(listener.user).or_insert_with(|| (listener.clone(), Vec::new()));
                of.1.push(head);
            }
        }
        (self.beat, moved.into_values().collect())
    }
}

#[cfg(test)]
mod tests;
