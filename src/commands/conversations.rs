//! The conversations that this process knows: folded from the log when they are first asked for,
//! then kept current by the one follower of each stream. Authorisation is decided on these.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{oneshot, watch},
    time::timeout,
};

use crate::{
    domain::{Conversation, ConversationId, Fold, Point, Position},
    log::{Log, Recorded, Unavailable},
};

/// How long the follower may be behind a conversation that is read.
const FOLLOWER: Duration = Duration::from_secs(5);

/// The conversations that this process knows. Cheap to clone.
#[derive(Clone)]
pub struct Conversations(Arc<Inner>);

struct Inner {
    log: Log,
    known: Mutex<Known>,
    /// How far each stream has been followed.
    followed: Vec<watch::Sender<Point>>,
    /// The most that are kept while nobody uses them.
    capacity: usize,
}

#[derive(Default)]
struct Known {
    slots: HashMap<ConversationId, Slot>,
    /// The loaded ones, oldest first, for eviction.
    order: VecDeque<ConversationId>,
}

enum Slot {
    Loading { waiting: Vec<oneshot::Sender<Loaded>>, meanwhile: Vec<Recorded> },
    Ready(Arc<Tracked>),
}

type Loaded = Result<Option<Arc<Tracked>>, Unavailable>;

/// A conversation that is kept current.
#[derive(Debug)]
pub struct Tracked {
    fold: Mutex<Fold>,
    used: AtomicBool,
    turn: tokio::sync::Mutex<()>,
}

/// What became of an event.
pub enum Applied {
    /// It counts.
    Counts {
        /// The conversation with the event taken in.
        tracked: Arc<Tracked>,
        /// The position before it in the chain.
        previous: Position,
    },
    /// It is void, or was known before.
    Void,
    /// Nobody in this process knows the conversation.
    Unknown,
}

impl Tracked {
    fn new(fold: Fold) -> Arc<Self> {
        Arc::new(Self {
            fold: Mutex::new(fold),
            used: AtomicBool::new(true),
            turn: tokio::sync::Mutex::default(),
        })
    }

    fn fold(&self) -> MutexGuard<'_, Fold> {
        self.fold.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The roster now.
    pub fn conversation(&self) -> Arc<Conversation> {
        self.fold().conversation.clone()
    }

    /// The roster now, and the position of its last event.
    pub fn roster(&self) -> (Arc<Conversation>, Position) {
        let fold = self.fold();
        (fold.conversation.clone(), fold.roster)
    }

    /// Waits for the turn to change the roster, so that those in this process do not race.
    pub(super) async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// The last event that counts.
    pub fn head(&self) -> Position {
        self.fold().head
    }
}

impl Conversations {
    /// Knows none yet, and has followed each stream up to the given point.
    pub fn new(log: Log, followed: Vec<Point>, capacity: usize) -> Self {
        let followed = followed.into_iter().map(watch::Sender::new).collect();
        Self(Arc::new(Inner { log, known: Mutex::default(), followed, capacity }))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The conversation, read from the log if need be; `None` if there is none of that id.
    pub async fn get(&self, id: ConversationId) -> Result<Option<Arc<Tracked>>, Unavailable> {
        let answered = {
            let mut known = self.known();
            let (answer, answered) = oneshot::channel();
            match known.slots.entry(id) {
                Entry::Occupied(mut slot) => match slot.get_mut() {
                    Slot::Ready(tracked) => {
                        tracked.used.store(true, Ordering::Relaxed);
                        return Ok(Some(tracked.clone()));
                    }
                    Slot::Loading { waiting, .. } => waiting.push(answer),
                },
                Entry::Vacant(slot) => {
                    slot.insert(Slot::Loading { waiting: vec![answer], meanwhile: Vec::new() });
                    let conversations = self.clone();
                    tokio::spawn(async move { conversations.load(id).await });
                }
            }
            answered
        };
        answered.await.map_err(|_| Unavailable::because("the process is stopping"))?
    }

    /// Reads a conversation and answers all who wait for it.
    async fn load(&self, id: ConversationId) {
        let mut folded = self.0.log.fold(id, None).await;
        // The log may be ahead of the follower: what it has still to deliver must not be held to be
        // known, or the hub passes it over and listeners miss it.
        if let Ok(fold) = &folded
            && !self.reached(id, fold.read, FOLLOWER).await
        {
            folded = Err(Unavailable::because("this process is behind the log"));
        }
        let mut known = self.known();
        let Some((waiting, meanwhile)) = known.take_loading(id) else { return };
        let loaded = folded.map(|mut fold| {
            for recorded in &meanwhile {
                recorded.apply_to(&mut fold);
            }
            fold.conversation.exists().then(|| known.keep(id, fold, self.0.capacity))
        });
        drop(known);
        for answer in waiting {
            let _ = answer.send(loaded.clone());
        }
    }

    /// Takes in an event of a conversation that was not known, which is read as it was just before.
    pub async fn apply_unknown(&self, recorded: &Recorded) -> Result<Applied, Unavailable> {
        let id = recorded.conversation;
        let mut before = self.0.log.fold(id, Some(Position(recorded.position.0 - 1))).await?;
        let mut known = self.known();
        if let Some(Slot::Ready(tracked)) = known.slots.get(&id) {
            // It was loaded for somebody else meanwhile, perhaps with this event taken in already.
            let tracked = tracked.clone();
            drop(known);
            let taken_in = recorded.apply_to(&mut tracked.fold());
            let previous = taken_in.or_else(|| recorded.apply_to(&mut before));
            return Ok(previous.map_or(Applied::Void, |previous| Applied::Counts { tracked, previous }));
        }
        let (waiting, _) = known.take_loading(id).unwrap_or_default();
        let tracked = known.keep(id, before, self.0.capacity);
        drop(known);
        for answer in waiting {
            let _ = answer.send(Ok(Some(tracked.clone())));
        }
        Ok(self.apply(recorded))
    }

    /// Takes in the next event of a stream. Only the follower of the stream calls this.
    pub fn apply(&self, recorded: &Recorded) -> Applied {
        let tracked = {
            let mut known = self.known();
            match known.slots.get_mut(&recorded.conversation) {
                None => return Applied::Unknown,
                Some(Slot::Loading { meanwhile, .. }) => {
                    meanwhile.push(recorded.clone());
                    return Applied::Unknown;
                }
                Some(Slot::Ready(tracked)) => tracked.clone(),
            }
        };
        let previous = recorded.apply_to(&mut tracked.fold());
        match previous {
            Some(previous) => Applied::Counts { tracked, previous },
            None => Applied::Void,
        }
    }

    /// Notes that a stream has been followed up to a point.
    pub fn followed(&self, stream: usize, point: Point) {
        self.0.followed[stream].send_replace(point);
    }

    /// How far each stream has been followed, and by which event.
    pub fn points(&self) -> Vec<Point> {
        self.0.followed.iter().map(|stream| *stream.borrow()).collect()
    }

    /// How far each stream has been followed.
    pub fn positions(&self) -> Vec<Position> {
        self.0.followed.iter().map(|stream| stream.borrow().position).collect()
    }

    /// Waits until this process has followed the conversation's stream to where the log stands now.
    pub async fn catch_up(&self, id: ConversationId) -> Result<(), Unavailable> {
        let now = self.0.log.last(self.0.log.stream_of(id)).await?;
        if self.reached(id, now, FOLLOWER).await {
            Ok(())
        } else {
            Err(Unavailable::because("this process is behind the log"))
        }
    }

    /// Waits until this process has followed every stream up to a position; whether it came to that
    /// within `patience`.
    pub async fn all_reached(&self, positions: &[Position], patience: Duration) -> bool {
        let reached = self.0.followed.iter().zip(positions).map(|(followed, position)| async move {
            followed.subscribe().wait_for(|at| at.position >= *position).await.is_ok()
        });
        let all = futures_util::future::join_all(reached);
        timeout(patience, all).await.is_ok_and(|all| all.into_iter().all(|reached| reached))
    }

    /// Waits until this process has followed the conversation's stream up to a position; whether it
    /// came to that within `patience`.
    pub async fn reached(&self, id: ConversationId, position: Position, patience: Duration) -> bool {
        let mut followed = self.0.followed[self.0.log.stream_of(id)].subscribe();
        let reached = followed.wait_for(|at| at.position >= position);
        timeout(patience, reached).await.is_ok_and(|reached| reached.is_ok())
    }
}

impl Known {
    fn take_loading(&mut self, id: ConversationId) -> Option<(Vec<oneshot::Sender<Loaded>>, Vec<Recorded>)> {
        match self.slots.remove(&id)? {
            Slot::Loading { waiting, meanwhile } => Some((waiting, meanwhile)),
            ready @ Slot::Ready(_) => {
                self.slots.insert(id, ready);
                None
            }
        }
    }

    fn keep(&mut self, id: ConversationId, fold: Fold, capacity: usize) -> Arc<Tracked> {
        let tracked = Tracked::new(fold);
        self.slots.insert(id, Slot::Ready(tracked.clone()));
        self.order.push_back(id);
        self.evict(capacity);
        tracked
    }

    /// Lets the longest unused go; those that somebody holds stay and are looked at again later.
    fn evict(&mut self, capacity: usize) {
        let mut looks = self.order.len();
        while self.order.len() > capacity && looks > 0 {
            looks -= 1;
            let Some(id) = self.order.pop_front() else { return };
            let Some(Slot::Ready(tracked)) = self.slots.get(&id) else { continue };
            if Arc::strong_count(tracked) > 1 || tracked.used.swap(false, Ordering::Relaxed) {
                self.order.push_back(id);
            } else {
                self.slots.remove(&id);
            }
        }
    }
}
