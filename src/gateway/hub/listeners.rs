//! The listeners of this node: the users with open sessions here, and the sessions of each.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use uuid::Uuid;

use crate::{
    credentials::Identity,
    domain::{ConversationId, Point, Status, Time, UserId},
    gateway::{
        frames::{
            close::Close,
            filter::Filter,
            server::{HEADS, Head, ServerFrame},
        },
        wire::{durable::Durable, socket::Socket, websocket},
    },
};

/// One socket with its user.
pub struct Session {
    pub(in crate::gateway) id: Uuid,
    pub(in crate::gateway) user: UserId,
    pub(in crate::gateway) socket: Arc<Socket>,
    /// The identity that the client proved last: when it opened the socket, or by a frame `authenticate`.
    caller: Mutex<Identity>,
    /// The conversations whose events the session wants. Without a filter, it wants all.
    filter: Option<Filter>,
}

impl Session {
    pub(in crate::gateway) fn new(
        id: Uuid,
        caller: &Identity,
        socket: Arc<Socket>,
        filter: Option<Filter>,
    ) -> Arc<Self> {
        Arc::new(Self { id, user: caller.user, socket, caller: Mutex::new(*caller), filter })
    }

    /// The identity in whose name the session acts. Its login ends the session when it is revoked.
    pub(in crate::gateway) fn caller(&self) -> Identity {
        *self.caller.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the session wants the events of a conversation.
    pub(in crate::gateway) fn wants(&self, id: ConversationId) -> bool {
        self.filter.as_ref().is_none_or(|filter| filter.wants(id))
    }

    /// The Unix time, in seconds, at which the proof of the session expires.
    pub(in crate::gateway) fn expires_at(&self) -> i64 {
        self.caller().expires_at.unix_seconds()
    }
}

/// A user with sessions on this node.
pub struct Listener {
    pub(in crate::gateway) user: UserId,
    sessions: Mutex<Vec<Arc<Session>>>,
    /// The conversations whose events reach this listener. Only the tasks of the hub change the set.
    pub(in crate::gateway) topics: Mutex<HashSet<ConversationId>>,
    /// How many conversations were to become topics and have been given up.
    given_up: AtomicU64,
    /// The topics are complete if this is greater than `given_up`. A session that has joined all topics stores the
    /// `given_up` with which it began, plus one. 0 before the first such session.
    settled: AtomicU64,
    /// The conversations with events held for this listener.
    waits: Mutex<Vec<Wait>>,
    /// The last presence changes that were passed on. A change arrives once for each conversation that two people
    /// share, and is news only the first time.
    told: Mutex<[(u128, i64, u8); 4]>,
}

/// A session that is joining all conversations of its user.
#[must_use = "the listener is settled with it once all conversations are joined"]
pub(in crate::gateway) struct Settling(u64);

/// The wait of a listener for the held events of a conversation.
struct Wait {
    conversation: ConversationId,
    stream: usize,
    /// The point of the stream before the first held event.
    before: Point,
}

impl Listener {
    fn new(user: UserId) -> Arc<Self> {
        Arc::new(Self {
            user,
            sessions: Mutex::default(),
            topics: Mutex::default(),
            given_up: AtomicU64::new(0),
            settled: AtomicU64::new(0),
            waits: Mutex::default(),
            told: Mutex::default(),
        })
    }

    fn sessions(&self) -> MutexGuard<'_, Vec<Arc<Session>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends durable frames of a conversation to the sessions that want them. Returns the number of these sessions.
    pub(in crate::gateway) fn deliver(&self, id: ConversationId, frames: &[Durable]) -> usize {
        let sessions = self.sessions();
        let wanted = sessions.iter().filter(|session| session.wants(id));
        wanted.map(|session| session.socket.deliver(frames)).count()
    }

    /// Sends a frame to every session. The frame may be dropped.
    pub(in crate::gateway) fn offer(&self, frame: &Bytes) {
        for session in self.sessions().iter() {
            session.socket.offer(frame);
        }
    }

    /// Sends a frame of a conversation to the sessions that want it. The frame may be dropped.
    pub(in crate::gateway) fn offer_of(&self, id: ConversationId, frame: &Bytes) {
        for session in self.sessions().iter().filter(|session| session.wants(id)) {
            session.socket.offer(frame);
        }
    }

    /// Sends a heartbeat to every live session, and in the same write a ping to silent ones. The heads are those of
    /// conversations that have moved. If one frame has no room for all of them, there are several. A conversation that
    /// the user has left since the heads were collected is not named: the client no longer knows it.
    pub(in crate::gateway) fn beat(&self, cursor: &str, heads: &[Head], is_silent: impl Fn(&Socket) -> bool) {
        let ping = websocket::ping();
        let heads = self.heads_of_topics(heads);
        let for_all = beats(cursor, &heads);
        for session in self.sessions().iter() {
            let socket = &session.socket;
            let of_its_own = session.filter.as_ref().map(|filter| {
                let wanted = heads.iter().filter(|head| filter.wants(head.id)).copied();
                beats(cursor, &wanted.collect::<Vec<Head>>())
            });
            let mut beats = of_its_own.as_ref().unwrap_or(&for_all).clone();
            if is_silent(socket)
                && let Some(last) = beats.last_mut()
            {
                *last = [&last[..], &ping].concat().into();
            }
            for beat in &beats {
                socket.send_if_live(beat);
            }
        }
    }

    /// Sends a frame to every live session. The frame must arrive.
    pub(in crate::gateway) fn send(&self, frame: &Bytes) {
        for session in self.sessions().iter() {
            session.socket.send_if_live(frame);
        }
    }

    /// Whether a presence change is news for this listener. Notes the change as passed on.
    pub(in crate::gateway) fn is_news(&self, of: UserId, status: Status, at: Time) -> bool {
        let nanoseconds = at.datetime().unix_timestamp_nanos();
        let change = (of.uuid().as_u128(), (nanoseconds / 1_000_000) as i64, status as u8);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let news = !told.contains(&change);
        if news {
            told.rotate_right(1);
            told[0] = change;
        }
        news
    }

    /// Returns `None` if the topics are complete. Otherwise the caller joins all topics and then passes the returned
    /// value to [`settle`](Self::settle).
    ///
    /// The count is read *before* the first conversation is joined. If a conversation is given up while the topics are
    /// being joined, `given_up` rises above the count, and the late `settle` settles nothing. If the count were read
    /// afterwards, or if it were a flag, the late `settle` would undo the `unsettle`: the next session would trust
    /// topics although one is missing, and its client would miss the events of that conversation.
    pub(in crate::gateway) fn settling(&self) -> Option<Settling> {
        let settling = self.given_up.load(Ordering::Acquire) + 1;
        (self.settled.load(Ordering::Acquire) < settling).then_some(Settling(settling))
    }

    pub(in crate::gateway) fn settle(&self, Settling(settling): Settling) {
        self.settled.fetch_max(settling, Ordering::AcqRel);
    }

    /// Notes that a conversation was not joined after all, so the next session joins all topics again.
    pub(in crate::gateway) fn unsettle(&self) {
        self.given_up.fetch_add(1, Ordering::AcqRel);
    }

    fn waits(&self) -> MutexGuard<'_, Vec<Wait>> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that the events of a conversation after a point are held.
    pub(in crate::gateway) fn waits_for(&self, conversation: ConversationId, stream: usize, before: Point) {
        let mut waits = self.waits();
        if waits.iter().all(|wait| wait.conversation != conversation) {
            waits.push(Wait { conversation, stream, before });
        }
    }

    /// Notes that the held events were delivered, or that the sessions were closed.
    pub(in crate::gateway) fn waits_no_more(&self, conversation: ConversationId) {
        self.waits().retain(|wait| wait.conversation != conversation);
    }

    /// The points up to which this listener has been given all events. `followed` has the points up to which each
    /// stream was followed.
    ///
    /// The caller reads `followed` *before* this method reads the waits. A wait begins before its stream counts as
    /// followed up to the held events, and ends after these have been delivered. So if `followed` is past a held event,
    /// this method sees the wait. In the other order, the waits could be read while empty, and `followed` afterwards,
    /// when it is already past a newly held event. A client that resumes from such a cursor never gets that event.
    pub(in crate::gateway) fn reached(&self, followed: &[Point]) -> Vec<Point> {
        let mut reached = followed.to_vec();
        for wait in self.waits().iter() {
            let of_stream = &mut reached[wait.stream];
            if wait.before.position < of_stream.position {
                *of_stream = wait.before;
            }
        }
        reached
    }

    pub(in crate::gateway) fn topics(&self) -> Vec<ConversationId> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }

    fn heads_of_topics(&self, heads: &[Head]) -> Vec<Head> {
        let topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        heads.iter().filter(|head| topics.contains(&head.id)).copied().collect()
    }

    /// Closes every session that gets the frames of this listener.
    pub(in crate::gateway) fn close(&self, why: Close) {
        for session in self.sessions().iter() {
            session.socket.close(why);
        }
    }
}

/// Heartbeats that name all heads. Without heads, there is one heartbeat.
fn beats(cursor: &str, heads: &[Head]) -> Vec<Bytes> {
    let beat = |heads: &[Head]| ServerFrame::Heartbeat { cursor: cursor.to_owned(), heads }.encode();
    if heads.is_empty() { vec![beat(&[])] } else { heads.chunks(HEADS).map(beat).collect() }
}

/// All listeners and sessions of this node.
#[derive(Default)]
pub struct Listeners {
    all: Mutex<HashMap<UserId, Arc<Listener>>>,
    /// All sessions, including those that have no listener yet because they catch up. Whatever closes sessions looks
    /// here.
    begun: Mutex<HashMap<Uuid, Arc<Session>>>,
    /// The Unix time, in seconds, before which no token of a session expires. It is 0 until the sessions have been
    /// checked once.
    expiry: AtomicI64,
}

impl Listeners {
    fn all(&self) -> MutexGuard<'_, HashMap<UserId, Arc<Listener>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begun(&self) -> MutexGuard<'_, HashMap<Uuid, Arc<Session>>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The listener of a user; `None` if the user has no session here.
    pub fn get(&self, user: UserId) -> Option<Arc<Listener>> {
        self.all().get(&user).cloned()
    }

    /// Begins a session. From now on it is among [`sessions`](Self::sessions).
    pub(in crate::gateway) fn begin(&self, session: &Arc<Session>) {
        self.begun().insert(session.id, session.clone());
        self.note_expiry(session);
    }

    /// From now on the session gets the frames of its listener.
    ///
    /// This method and [`leave`](Self::leave) take the lock of the list first and the lock of the sessions inside it.
    /// If the lock of the list were released before the session is added, the last other session could leave in between
    /// and remove the listener from the list: this session would belong to a listener that the hub cannot find. If one
    /// of the two methods took the locks in the other order, they could deadlock.
    pub(in crate::gateway) fn enter(&self, session: &Arc<Session>) -> Arc<Listener> {
        let mut all = self.all();
        let listener = all.entry(session.user).or_insert_with(|| Listener::new(session.user)).clone();
        listener.sessions().push(session.clone());
        listener
    }

    /// Continues a session with another identity of its user. From now on its login and its expiry count, and those
    /// from before do not.
    pub(in crate::gateway) fn renew(&self, session: &Session, caller: Identity) {
        *session.caller.lock().unwrap_or_else(PoisonError::into_inner) = caller;
        // The new proof may expire before all others.
        self.note_expiry(session);
    }

    /// Whether a token may have expired before a Unix time, in seconds.
    pub(in crate::gateway) fn has_expired(&self, before: i64) -> bool {
        self.expiry.load(Ordering::Relaxed) < before
    }

    /// Forgets the earliest expiry. Called before a pass over all sessions that notes the expiry of each again. If it
    /// were called after the pass, it would forget the expiry of a session that begins during the pass.
    pub(in crate::gateway) fn forget_expiry(&self) {
        self.expiry.store(i64::MAX, Ordering::Relaxed);
    }

    pub(in crate::gateway) fn note_expiry(&self, session: &Session) {
        self.expiry.fetch_min(session.expires_at(), Ordering::Relaxed);
    }

    /// Ends a session. If it was the last one of its listener, returns the listener, which the hub then has to forget.
    /// The listener leaves the list *before* the hub forgets it, because the tasks of the hub find listeners in the
    /// list. In the other order, a task could add the listener to a conversation after another task has forgotten it.
    pub(in crate::gateway) fn leave(&self, session: &Session) -> Option<Arc<Listener>> {
        self.begun().remove(&session.id);
        let mut all = self.all();
        let listener = all.get(&session.user)?.clone();
        let mut sessions = listener.sessions();
        sessions.retain(|other| other.id != session.id);
        let gone = sessions.is_empty();
        drop(sessions);
        if gone {
            all.remove(&session.user);
        }
        gone.then_some(listener)
    }

    /// All sessions of this node, from their `hello` on.
    pub fn sessions(&self) -> Vec<Arc<Session>> {
        self.begun().values().cloned().collect()
    }

    /// All listeners of this node.
    pub fn list(&self) -> Vec<Arc<Listener>> {
        self.all().values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_up_while_a_session_joins_is_joined_by_the_next_one() {
        let listener = Listener::new(UserId::known(Uuid::nil()));
        let first = listener.settling().expect("nothing has been joined");
        listener.settle(first);
        assert!(listener.settling().is_none(), "everything has been joined");
        listener.unsettle();
        let (second, third) = (listener.settling().expect("one is missing"), listener.settling());
        listener.settle(second);
        assert!(listener.settling().is_none());
        listener.unsettle();
        listener.settle(third.expect("one is missing"));
        assert!(listener.settling().is_some(), "it was given up after the third had begun to join");
    }
}
