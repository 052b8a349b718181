//! Conversations that were searched for keys in the log. A conversation is read once, however many commands ask;
//! from then on the follower adds the keys that come, so that the next look-up in the conversation costs nothing.
//! Only a key that the view cannot tell is searched for: while the database answers, nothing is kept here.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{BuildHasher as _, RandomState},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Semaphore, oneshot},
    time::{Instant, timeout},
};

use crate::{
    domain::{ConversationId, Position, Recorded, UserId},
    live::Conversations,
    log::{Log, PAGE, Unavailable},
    views::Sending,
};

/// The most keys of a generation, of which there are two; a key takes about 30 bytes. A conversation with
/// more is not searched.
const MOST_KEYS: usize = 500_000;
/// What a conversation counts besides its keys.
const EACH: usize = 8;
/// How many conversations are read at once. There are more readers of the log than these searches.
const AT_ONCE: usize = 8;
/// The most conversations that wait for their turn or are being read.
const MOST_SEARCHES: usize = 1_024;
/// The longest that one conversation is read for.
const LONGEST: Duration = Duration::from_secs(30);
/// What nobody has asked for between one and two of these is forgotten.
const GENERATION: Duration = Duration::from_secs(300);

/// The conversations that were searched. Cheap to clone.
#[derive(Clone)]
pub struct Searched(Arc<Inner>);

struct Inner {
    log: Log,
    conversations: Conversations,
    turns: Semaphore,
    number: AtomicU64,
    known: Mutex<Searching>,
}

/// What is known, in two generations: what is used moves to the young one, and the old one is thrown away
/// as a whole.
struct Searching {
    hasher: RandomState,
    young: HashMap<ConversationId, Keys>,
    old: HashMap<ConversationId, Keys>,
    /// How much the young ones are.
    size: usize,
    since: Instant,
    searches: usize,
}

/// The keys of one conversation behind a position, up to where this process has followed, or was when it
/// was read.
struct Keys {
    after: Position,
    state: State,
    /// Where each stands first, by a hash of user and key. What stands there is read before it counts.
    at: HashMap<u64, Position>,
}

enum State {
    /// Search number so and so goes through the log; what is followed meanwhile is taken in already.
    Searching(u64, Vec<oneshot::Sender<()>>),
    /// Nothing is missing up to this position, nor of what was followed since.
    Whole(Position),
    /// There are too many.
    TooLong,
}

/// What was found: where the key stands, if it does, and up to where there is no other.
type Looked = (Option<Position>, Position);

impl Searched {
    /// Has searched none yet.
    pub(super) fn new(log: Log, conversations: Conversations) -> Self {
        let (turns, number, known) = (Semaphore::new(AT_ONCE), AtomicU64::new(0), Mutex::default());
        Self(Arc::new(Inner { log, conversations, turns, number, known }))
    }

    fn known(&self) -> MutexGuard<'_, Searching> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a batch that was followed, before the batch is noted as followed: [`Self::look_now`] answers that a
    /// key is new up to the position that was followed. Noted first, a key in the batch would be called new.
    pub(super) fn hear(&self, batch: &[Recorded]) {
        let mut known = self.known();
        if known.is_empty() {
            return;
        }
        for recorded in batch {
            known.take_in(recorded);
        }
    }

    /// Forgets the conversations that no command has asked for in a long time.
    pub(crate) fn forget_what_is_old(&self) {
        let mut known = self.known();
        if known.since.elapsed() > GENERATION {
            known.turn();
        }
    }

    /// Whether a key stands in its conversation behind a position.
    pub(crate) async fn look(&self, sending: &Sending, after: Position) -> Result<Looked, Unavailable> {
        if let Some(looked) = self.look_now(sending, after)? {
            return Ok(looked);
        }
        let (answer, answered) = oneshot::channel();
        if let Some(search) = self.known().wait(sending.0, after, answer, &self.0.number)? {
            tokio::spawn(self.clone().search(sending.0, after, search));
        }
        let gone = || Unavailable::because("a conversation cannot be searched for a key");
        answered.await.map_err(|_| gone())?;
        self.look_now(sending, after)?.ok_or_else(gone)
    }

    /// What is known already.
    fn look_now(&self, (id, user, key): &Sending, after: Position) -> Result<Option<Looked>, Unavailable> {
        // Read first: what was followed up to here has been taken in before.
        let followed = self.0.conversations.positions()[self.0.log.stream_of(*id)];
        let mut known = self.known();
        let hash = known.hash(*user, key.as_str());
        let Some(keys) = known.touch(*id).filter(|keys| keys.after <= after) else { return Ok(None) };
        match keys.state {
            State::Searching(..) => Ok(None),
            State::TooLong => {
                Err(Unavailable::because("the conversation is too long to be searched for a key"))
            }
            State::Whole(up_to) => Ok(Some((keys.at.get(&hash).copied(), up_to.max(followed)))),
        }
    }

    /// Goes through a conversation, unless nobody waits for it any more when its turn comes.
    async fn search(self, id: ConversationId, after: Position, number: u64) {
        let _ended = Ended { searched: &self, id, number };
        let Ok(_turn) = self.0.turns.acquire().await else { return };
        if !self.known().is_wanted(id, number) {
            return;
        }
        match timeout(LONGEST, self.read(id, after, number)).await {
            Ok(Ok(state)) => self.known().end(id, number, state),
            Ok(Err(e)) => tracing::debug!(error = %e, conversation = %id, "a search for keys is given up"),
            Err(_) => tracing::debug!(conversation = %id, "a search for keys takes too long"),
        }
    }

    /// What the follower has taken in before this search was known to it was known to the log before the
    /// replay begins, which reads up to there at least. The leader is asked as well, so that one search
    /// proves something also where the follower lags behind.
    async fn read(&self, id: ConversationId, after: Position, number: u64) -> Result<State, Unavailable> {
        let stream = self.0.log.stream_of(id);
        let up_to = self.0.log.last(stream).await?;
        let mut replay = self.0.log.replay(stream, after, Position::MAX, &[id]).await?;
        loop {
            let page = replay.page(PAGE).await?;
            if page.is_empty() {
                return Ok(State::Whole(up_to));
            }
            let mut known = self.known();
            for recorded in &page {
                known.take_in(recorded);
            }
            match known.get(id).filter(|keys| keys.is_searched_by(number)) {
                None => return Err(Unavailable::because("what was found has been forgotten")),
                Some(keys) if keys.at.len() > MOST_KEYS => return Ok(State::TooLong),
                Some(_) => {}
            }
        }
    }
}

/// However a search ends, whoever still waits for it is not left waiting.
struct Ended<'a> {
    searched: &'a Searched,
    id: ConversationId,
    number: u64,
}

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        let mut known = self.searched.known();
        known.searches -= 1;
        known.give_up(self.id, self.number);
    }
}

impl Default for Searching {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            young: HashMap::new(),
            old: HashMap::new(),
            size: 0,
            since: Instant::now(),
            searches: 0,
        }
    }
}

impl Searching {
    fn is_empty(&self) -> bool {
        self.young.is_empty() && self.old.is_empty()
    }

    fn hash(&self, user: UserId, key: &str) -> u64 {
        self.hasher.hash_one((user, key))
    }

    fn get(&mut self, id: ConversationId) -> Option<&mut Keys> {
        self.young.get_mut(&id).or_else(|| self.old.get_mut(&id))
    }

    /// The same, as one that is used.
    fn touch(&mut self, id: ConversationId) -> Option<&mut Keys> {
        if let Some(keys) = self.old.remove(&id) {
            self.insert(id, keys);
        }
        self.young.get_mut(&id)
    }

    fn insert(&mut self, id: ConversationId, keys: Keys) {
        self.size += keys.at.len() + EACH;
        if let Some(before) = self.young.insert(id, keys) {
            self.size -= before.at.len() + EACH;
        }
    }

    /// The young ones are old from now on.
    fn turn(&mut self) {
        self.old = std::mem::take(&mut self.young);
        (self.size, self.since) = (0, Instant::now());
    }

    fn take_in(&mut self, recorded: &Recorded) {
        let Some(key) = recorded.event.as_ref().and_then(|event| event.client_id()) else { return };
        let hash = self.hash(recorded.actor, key);
        let is_young = self.young.contains_key(&recorded.conversation);
        let Some(keys) = self.get(recorded.conversation) else { return };
        if matches!(keys.state, State::TooLong) || recorded.position <= keys.after {
            return;
        }
        match keys.at.entry(hash) {
            // What came first is the answer; a search and the follower go side by side.
            Entry::Occupied(mut first) => *first.get_mut() = recorded.position.min(*first.get()),
            Entry::Vacant(place) => {
                place.insert(recorded.position);
                self.size += usize::from(is_young);
            }
        }
        if self.size > MOST_KEYS {
            self.turn();
        }
    }

    /// Waits for a conversation to be read from a position on; the number of the search that has to begin
    /// for it, if none is under way.
    fn wait(
        &mut self,
        id: ConversationId,
        after: Position,
        answer: oneshot::Sender<()>,
        number: &AtomicU64,
    ) -> Result<Option<u64>, Unavailable> {
        let mut waiting = match self.touch(id).map(|keys| (keys.after <= after, &mut keys.state)) {
            Some((true, State::Searching(_, waiting))) => {
                waiting.push(answer);
                return Ok(None);
            }
            // It became whole in between.
            Some((true, State::Whole(_))) => {
                let _ = answer.send(());
                return Ok(None);
            }
            // It is read again from further back; who waits for the rest waits for all of it.
            Some((false, State::Searching(_, waiting))) => std::mem::take(waiting),
            _ => Vec::new(),
        };
        if self.searches >= MOST_SEARCHES {
            return Err(Unavailable::because("too many conversations are searched for keys"));
        }
        self.searches += 1;
        waiting.push(answer);
        let number = number.fetch_add(1, Ordering::Relaxed);
        self.insert(id, Keys { after, state: State::Searching(number, waiting), at: HashMap::new() });
        Ok(Some(number))
    }

    fn is_wanted(&mut self, id: ConversationId, number: u64) -> bool {
        self.get(id).is_some_and(|keys| match &keys.state {
            State::Searching(of, waiting) => *of == number && waiting.iter().any(|one| !one.is_closed()),
            _ => false,
        })
    }

    fn end(&mut self, id: ConversationId, number: u64, state: State) {
        let is_young = self.young.contains_key(&id);
        let Some(keys) = self.get(id).filter(|keys| keys.is_searched_by(number)) else { return };
        let freed = match state {
            State::TooLong => std::mem::take(&mut keys.at).len(),
            _ => 0,
        };
        if let State::Searching(_, waiting) = std::mem::replace(&mut keys.state, state) {
            for answer in waiting {
                let _ = answer.send(());
            }
        }
        self.size -= if is_young { freed } else { 0 };
    }

    /// Forgets a conversation whose search has come to nothing.
    fn give_up(&mut self, id: ConversationId, number: u64) {
        if self.get(id).is_some_and(|keys| keys.is_searched_by(number)) {
            if let Some(keys) = self.young.remove(&id) {
                self.size -= keys.at.len() + EACH;
            }
            self.old.remove(&id);
        }
    }
}

impl Keys {
    fn is_searched_by(&self, number: u64) -> bool {
        matches!(self.state, State::Searching(of, _) if of == number)
    }
}

#[cfg(test)]
mod tests;
