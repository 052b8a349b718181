//! Conversations that have been searched for keys in the log. A conversation is read once, however many commands ask.
//! From then on, the follower adds new keys, so that the next look-up in the conversation costs nothing. Only keys that
//! the view cannot answer for are searched for: while the database answers, nothing is kept here.
//!
//! Nothing here is invalidated. The entry of a conversation is in the cache before the search begins, and the follower
//! adds to it during the search, so nothing is missing when the search ends. If the entry is evicted meanwhile, the
//! search has a number that no entry has, and ends without effect.

use std::{
    collections::HashMap,
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
    cache::Cache,
    domain::{ConversationId, Position, Recorded, RecordedKey, UserId},
    live::Conversations,
    log::{Log, PAGE, Unavailable, client_hash},
    views::Sending,
};

/// The most keys of all conversations together, plus [`EACH`] for each conversation; a key takes about 30 bytes.
const MOST_KEYS: usize = 1_000_000;
/// The most keys of one conversation. A conversation with more is not searched.
const MOST_OF_ONE: usize = 500_000;
/// The weight of a conversation in addition to its keys.
const EACH: usize = 8;
/// The most conversations that are read at once. This is less than the log's number of places, because others need them
/// too.
const AT_ONCE: usize = 8;
/// The most conversations that wait for their turn or are being read.
const MOST_SEARCHES: usize = 1_024;
/// The longest time that reading one conversation may take.
const LONGEST: Duration = Duration::from_secs(30);
/// A conversation that no command has asked for in this time is forgotten.
const IDLE: Duration = Duration::from_secs(300);

/// The searched conversations. Cheap to clone.
#[derive(Clone)]
pub struct Searched(Arc<Inner>);

struct Inner {
    log: Log,
    conversations: Conversations,
    turns: Semaphore,
    number: AtomicU64,
    known: Mutex<Searching>,
}

/// The conversations that were searched or are being searched.
struct Searching {
    hasher: RandomState,
    known: Cache<ConversationId, Keys>,
    /// Searches that are running or waiting for their turn.
    searches: usize,
}

/// The keys of one conversation after a position, up to the point that this process has followed, or had reached when
/// it was read.
struct Keys {
    after: Position,
    state: State,
    /// The first position of each key, by a hash of user and key. A command reads the event there before the key
    /// counts.
    at: HashMap<u64, Position>,
    /// When a command last asked.
    used_at: Instant,
}

enum State {
    /// The search with this number is running. Events that are followed meanwhile are already taken in.
    Searching(u64, Vec<oneshot::Sender<()>>),
    /// No key is missing up to this position, nor from the events that have been followed since.
    Whole(Position),
    /// The conversation has too many keys.
    TooLong,
}

/// The position of a key, if the conversation has it, and the position up to which the conversation has no other.
type Looked = (Option<Position>, Position);

impl Searched {
    /// Starts without searched conversations.
    pub(super) fn new(log: Log, conversations: Conversations) -> Self {
        let (turns, number, known) = (Semaphore::new(AT_ONCE), AtomicU64::new(0), Mutex::default());
        Self(Arc::new(Inner { log, conversations, turns, number, known }))
    }

    fn known(&self) -> MutexGuard<'_, Searching> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a batch that was followed, before the batch is noted as followed, because [`Self::look_now`] answers
    /// that a key is new up to the noted position. If the position were noted first, a key in the batch would be called
    /// new.
    pub(super) fn hear(&self, batch: &[Recorded]) {
        let known = self.known();
        if known.known.is_empty() {
            return;
        }
        for recorded in batch {
            known.take_in(recorded);
        }
    }

    /// Forgets the conversations that no command has asked for in a long time.
    pub(crate) fn forget_what_is_old(&self) {
        self.known().forget_idle(Instant::now());
    }

    /// Looks up a key after a position of its conversation.
    pub(crate) async fn look(&self, sending: &Sending, after: Position) -> Result<Looked, Unavailable> {
        if let Some(looked) = self.look_now(sending, after)? {
            return Ok(looked);
        }
        let (answer, answered) = oneshot::channel();
        let id = sending.conversation;
        if let Some(search) = self.known().wait(id, after, answer, &self.0.number)? {
            tokio::spawn(self.clone().search(id, after, search));
        }
        let gone = || Unavailable::because("a conversation cannot be searched for a key");
        answered.await.map_err(|_| gone())?;
        self.look_now(sending, after)?.ok_or_else(gone)
    }

    /// Looks only in memory.
    fn look_now(&self, sending: &Sending, after: Position) -> Result<Option<Looked>, Unavailable> {
        let Sending { conversation: id, user, key } = sending;
        // Read before the keys: each key up to here was taken in before. If it were read after them, the position could
        // be past a key that arrived in between, and a retry would be mistaken for a new message.
        let followed = self.0.conversations.position(self.0.log.stream_of(*id));
        let known = self.known();
        let hash = known.hash(*user, RecordedKey::Plain(key.as_str()));
        let erased = known.hash(*user, RecordedKey::Erased(&client_hash(*user, *id, key.as_str())));
        let look = |keys: &mut Keys| {
            keys.used_at = Instant::now();
            match keys.state {
                State::Whole(up_to) if keys.after <= after => {
                    let at = [hash, erased].iter().filter_map(|hash| keys.at.get(hash)).min();
                    Ok(Some((at.copied(), up_to.max(followed))))
                }
                State::TooLong if keys.after <= after => {
                    Err(Unavailable::because("the conversation is too long to be searched for a key"))
                }
                _ => Ok(None),
            }
        };
        known.known.change(id, look).unwrap_or(Ok(None))
    }

    /// Reads through a conversation, unless no command is waiting for it any more when its turn comes.
    async fn search(self, id: ConversationId, after: Position, number: u64) {
        let _ended = Ended { searched: &self, id, number };
        let Ok(_turn) = self.0.turns.acquire().await else { return };
        if !self.known().is_wanted(id, number) {
            return;
        }
        match timeout(LONGEST, self.read(id, after, number)).await {
            Ok(Ok(state)) => self.known().end(id, number, state),
            Ok(Err(e)) => tracing::debug!(error = %e, conversation = %id, "giving up a search for keys"),
            Err(_) => tracing::debug!(conversation = %id, "a search for keys timed out"),
        }
    }

    /// Enter first, read second: the entry of the search exists before the replay begins. An event that the follower
    /// took in before the entry existed was in the log before the replay began, so the replay has it. The follower adds
    /// every later event to the entry. In the other order, events between the two would be in neither.
    ///
    /// The leader is also asked for the end of the stream, so that a search proves something even if the follower lags
    /// behind.
    async fn read(&self, id: ConversationId, after: Position, number: u64) -> Result<State, Unavailable> {
        let stream = self.0.log.stream_of(id);
        let up_to = self.0.log.last(stream).await?;
        let mut replay = self.0.log.replay(stream, after, Position::MAX, &[id]).await?;
        loop {
            let page = replay.page(PAGE).await?;
            if page.is_empty() {
                return Ok(State::Whole(up_to));
            }
            let known = self.known();
            for recorded in &page {
                known.take_in(recorded);
            }
            match known.count_of(id, number) {
                None => return Err(Unavailable::because("the keys that were found so far were evicted")),
                Some(keys) if keys > MOST_OF_ONE => return Ok(State::TooLong),
                Some(_) => {}
            }
        }
    }
}

/// Ends a search, even after a panic or a timeout: the commands that still wait get an error.
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
        let known = Cache::weighing("searched_keys", MOST_KEYS, EACH, |keys: &Keys| keys.at.len());
        Self { hasher: RandomState::new(), known, searches: 0 }
    }
}

impl Searching {
    fn hash(&self, user: UserId, key: RecordedKey<'_>) -> u64 {
        self.hasher.hash_one((user, key))
    }

    /// Forgets the conversations that are idle. If none is left, the memory of the cache is released too.
    fn forget_idle(&mut self, now: Instant) {
        self.known.retain(|keys| now.duration_since(keys.used_at) <= IDLE);
        if self.known.is_empty() {
            *self = Self { searches: self.searches, ..Self::default() };
        }
    }

    fn take_in(&self, recorded: &Recorded) {
        let Some(key) = recorded.key() else { return };
        let hash = self.hash(recorded.actor, key);
        self.known.change(&recorded.conversation, |keys| keys.take_in(hash, recorded.position));
    }

    /// Waits until a conversation has been read from a position on. Returns the number of the search that the caller
    /// has to begin; `None` if one is running or is no longer needed.
    fn wait(
        &mut self,
        id: ConversationId,
        after: Position,
        answer: oneshot::Sender<()>,
        number: &AtomicU64,
    ) -> Result<Option<u64>, Unavailable> {
        let (mut answer, now) = (Some(answer), Instant::now());
        let join = |keys: &mut Keys| {
            keys.used_at = now;
            match (keys.after <= after, &mut keys.state) {
                (true, State::Searching(_, waiting)) => waiting.extend(answer.take()),
                // The search finished in between.
                (true, State::Whole(_)) => drop(answer.take().map(|answer| answer.send(()))),
                // It is read again from further back, so the commands that wait for the shorter search wait for the
                // longer one.
                (false, State::Searching(_, waiting)) => return std::mem::take(waiting),
                _ => {}
            }
            Vec::new()
        };
        let mut waiting = self.known.change(&id, join).unwrap_or_default();
        let Some(answer) = answer else { return Ok(None) };
        if self.searches >= MOST_SEARCHES {
            return Err(Unavailable::because("too many conversations are searched for keys"));
        }
        self.searches += 1;
        waiting.push(answer);
        let number = number.fetch_add(1, Ordering::Relaxed);
        let state = State::Searching(number, waiting);
        self.known.insert(id, Keys { after, state, at: HashMap::new(), used_at: now });
        Ok(Some(number))
    }

    /// How many keys a search has found; `None` if the search has been superseded.
    fn count_of(&self, id: ConversationId, number: u64) -> Option<usize> {
        self.known.change(&id, |keys| keys.is_searched_by(number).then_some(keys.at.len())).flatten()
    }

    fn is_wanted(&self, id: ConversationId, number: u64) -> bool {
        let is_wanted = |keys: &mut Keys| match &keys.state {
            State::Searching(of, waiting) => *of == number && waiting.iter().any(|one| !one.is_closed()),
            _ => false,
        };
        self.known.change(&id, is_wanted).unwrap_or(false)
    }

    /// Ends a search, unless it has been superseded: since it began, the conversation may have been forgotten, along
    /// with keys that the follower had delivered meanwhile.
    fn end(&self, id: ConversationId, number: u64, state: State) {
        let end = |keys: &mut Keys| {
            if !keys.is_searched_by(number) {
                return Vec::new();
            }
            if matches!(state, State::TooLong) {
                keys.at = HashMap::new();
            }
            match std::mem::replace(&mut keys.state, state) {
                State::Searching(_, waiting) => waiting,
                _ => Vec::new(),
            }
        };
        for answer in self.known.change(&id, end).into_iter().flatten() {
            let _ = answer.send(());
        }
    }

    /// Forgets a conversation whose search has failed.
    fn give_up(&self, id: ConversationId, number: u64) {
        if self.count_of(id, number).is_some() {
            self.known.forget(&id);
        }
    }
}

impl Keys {
    fn is_searched_by(&self, number: u64) -> bool {
        matches!(self.state, State::Searching(of, _) if of == number)
    }

    fn take_in(&mut self, hash: u64, position: Position) {
        if matches!(self.state, State::TooLong) || position <= self.after {
            return;
        }
        // The first one is the answer, and a search and the follower run concurrently.
        let first = self.at.entry(hash).or_insert(position);
        *first = position.min(*first);
    }
}

#[cfg(test)]
mod tests;
