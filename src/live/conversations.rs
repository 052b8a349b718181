//! The conversations that this process knows. A conversation is folded from the log when it is first needed, and from
//! then on the follower of its stream keeps it current. Authorisation is decided on these conversations.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::{
    sync::{Semaphore, watch},
    time::timeout,
};

use crate::{
    domain::{ConversationId, Fold, Point, Position, Recorded},
    live::{
        known::{Asked, KnownRosters, Loaded, Loading},
        tracked::Tracked,
        verdict::Verdict,
    },
    log::{FOLDS, Log, Unavailable},
};

/// How long the follower of a stream may take to catch up with a conversation that was read.
const FOLLOWER: Duration = Duration::from_secs(5);
/// The most batches of conversations that this node reads concurrently, for all callers together.
const BATCHES: usize = 8;

/// The conversations that this process knows. Cheap to clone.
#[derive(Clone)]
pub struct Conversations(Arc<Inner>);

struct Inner {
    log: Log,
    streams: Vec<Stream>,
    batches: Semaphore,
}

/// The conversations of one stream. Its follower is only delayed by callers that ask for one of these conversations.
struct Stream {
    known: Mutex<KnownRosters>,
    /// How far the stream has been followed.
    followed: watch::Sender<Point>,
}

/// The effect of an event that counts.
pub struct Applied {
    /// The conversation, including the event.
    pub tracked: Arc<Tracked>,
    /// The position of the previous event in the chain.
    pub previous: Position,
}

/// Ends a reading, even after a panic. If its entry stayed, the conversation would be read for ever. Removing it gives
/// the waiting callers an error, and the next caller reads again.
struct Ended<'a> {
    conversations: &'a Conversations,
    readings: &'a [(ConversationId, u64)],
}

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        for (id, reading) in self.readings {
            self.conversations.stream(*id).known().read(*id, *reading);
        }
    }
}

impl Conversations {
    /// Starts without conversations, with each stream followed up to the given point. `capacity` is the number of
    /// unused conversations that stay in memory.
    pub fn new(log: Log, followed: Vec<Point>, capacity: usize) -> Self {
        let streams = followed.len().max(1);
        let known = || KnownRosters::among(streams, capacity);
        let stream = |followed| Stream { known: Mutex::new(known()), followed: watch::Sender::new(followed) };
        let streams = followed.into_iter().map(stream).collect();
        Self(Arc::new(Inner { log, streams, batches: Semaphore::new(BATCHES) }))
    }

    fn stream(&self, id: ConversationId) -> &Stream {
        &self.0.streams[self.0.log.stream_of(id)]
    }

    /// The conversation, read from the log if necessary; `None` if there is none with that id.
    pub async fn get(&self, id: ConversationId) -> Loaded {
        self.get_together(&[id]).await.map(|mut found| found.pop().map(|(_, tracked)| tracked))
    }

    /// Fails if this process has not heard from the log for some seconds, because membership is not decided on stale
    /// rosters.
    pub(crate) fn must_be_current(&self, id: ConversationId) -> Result<(), Unavailable> {
        if self.0.log.is_current(self.0.log.stream_of(id)) { Ok(()) } else { Err(cut_off()) }
    }

    /// The same for all streams.
    pub fn must_all_be_current(&self) -> Result<(), Unavailable> {
        if self.0.log.is_current_everywhere() { Ok(()) } else { Err(cut_off()) }
    }

    /// The conversation, if it is in memory.
    pub(crate) fn at_hand(&self, id: ConversationId) -> Option<Arc<Tracked>> {
        self.stream(id).known().ready.get(&id)
    }

    /// The same as [`Self::get`], for a caller who is not known to be a member. The log is queried equally often for
    /// the id of a conversation and for any other id, whatever is in memory. Otherwise the response time would tell a
    /// stranger more than the answer does.
    pub(crate) async fn look_up(&self, id: ConversationId) -> Loaded {
        let (tracked, is_doubted) = {
            let known = self.stream(id).known();
            (known.ready.get(&id), known.doubted.is_there(id).is_some())
        };
        match tracked {
            None => self.get(id).await,
            Some(tracked) if is_doubted => Ok(Some(tracked)),
            Some(tracked) => {
                self.read(&[id]).await.pop().transpose()?;
                Ok(Some(tracked))
            }
        }
    }

    /// Notes that a conversation was looked up for a stranger.
    pub(crate) fn note_doubt(&self, id: ConversationId) {
        let known = self.stream(id).known();
        if known.ready.peek(&id).is_some() {
            known.doubted.note(id, true);
        }
    }

    /// Returns many conversations. Unknown conversations are read in concurrent batches; ids without a conversation are
    /// left out.
    pub async fn get_all(
        &self,
        ids: impl IntoIterator<Item = ConversationId>,
    ) -> Result<Vec<(ConversationId, Arc<Tracked>)>, Unavailable> {
        let mut by_stream: Vec<Vec<ConversationId>> = self.0.streams.iter().map(|_| Vec::new()).collect();
        for id in ids {
            by_stream[self.0.log.stream_of(id)].push(id);
        }
        let batches: Vec<Vec<ConversationId>> =
            by_stream.iter().flat_map(|ids| ids.chunks(FOLDS)).map(<[_]>::to_vec).collect();
        let found: Vec<Vec<_>> = stream::iter(batches)
            .map(|batch| self.clone().get_batch(batch))
            .buffer_unordered(BATCHES)
            .try_collect()
            .await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn get_batch(
        self,
        ids: Vec<ConversationId>,
    ) -> Result<Vec<(ConversationId, Arc<Tracked>)>, Unavailable> {
        let _permit = self.0.batches.acquire().await.map_err(Unavailable::because)?;
        self.get_together(&ids).await
    }

    /// Conversations of one stream, at most [`FOLDS`].
    async fn get_together(
        &self,
        ids: &[ConversationId],
    ) -> Result<Vec<(ConversationId, Arc<Tracked>)>, Unavailable> {
        let Some(first) = ids.first() else { return Ok(Vec::new()) };
        self.must_be_current(*first)?;
        let (mut found, mut answers, mut unread) = (Vec::with_capacity(ids.len()), Vec::new(), Vec::new());
        {
            let mut known = self.stream(*first).known();
            for id in ids {
                match known.ask(*id) {
                    Asked::Ready(tracked) => found.push((*id, tracked)),
                    Asked::Absent => {}
                    Asked::Waiting(answered) => answers.push((*id, answered)),
                    Asked::Unread(reading, answered) => {
                        answers.push((*id, answered));
                        unread.push((*id, reading));
                    }
                }
            }
        }
        if !unread.is_empty() {
            // Other callers may wait for this reading, so it continues if this caller goes away.
            let conversations = self.clone();
            tokio::spawn(async move { conversations.load(&unread).await });
        }
        for (id, answered) in answers {
            let loaded = answered.await.map_err(|_| Unavailable::because("the process is stopping"))?;
            found.extend(loaded?.map(|tracked| (id, tracked)));
        }
        Ok(found)
    }

    /// Reads conversations of one stream and answers all waiting callers.
    async fn load(&self, readings: &[(ConversationId, u64)]) {
        let _ended = Ended { conversations: self, readings };
        let ids: Vec<ConversationId> = readings.iter().map(|(id, _)| *id).collect();
        let Some(first) = ids.first() else { return };
        let folded = self.read(&ids).await;
        let mut answers = Vec::with_capacity(ids.len());
        let mut known = self.stream(*first).known();
        for ((id, reading), folded) in readings.iter().zip(folded) {
            let Some(Loading { waiting, meanwhile, .. }) = known.read(*id, *reading) else { continue };
            let loaded = folded.map(|mut fold| {
                for recorded in &meanwhile {
                    recorded.apply_to(&mut fold);
                }
                if !fold.conversation.exists() {
                    known.doubted.note(*id, false);
                    return None;
                }
                Some(known.keep(*id, fold))
            });
            answers.extend(waiting.into_iter().map(|answer| (answer, loaded.clone())));
        }
        drop(known);
        for (answer, loaded) in answers {
            let _ = answer.send(loaded);
        }
    }

    /// Reads conversations of one stream from the log, and waits for the follower to catch up with them.
    async fn read(&self, ids: &[ConversationId]) -> Vec<Result<Fold, Unavailable>> {
        let Some(first) = ids.first() else { return Vec::new() };
        let folded = self.0.log.fold_all(ids).await;
        let read = folded.iter().flatten().map(|fold| fold.read).max().unwrap_or_default();
        // Read first, wait second. The log may be ahead of the follower. If a conversation were kept before the
        // follower catches up, it would already have the next events: the hub would skip them as known, and listeners
        // would miss them.
        if self.reached(*first, read, FOLLOWER).await {
            return folded;
        }
        let behind = || Err(Unavailable::because("this process is behind the log"));
        ids.iter().map(|_| behind()).collect()
    }

    /// Takes in a conversation that the follower of its stream has folded itself, up to the point that the follower has
    /// reached, and answers the callers that wait for it. Only the follower calls this.
    ///
    /// If the conversation has been read meanwhile, that one is kept instead: it has taken in everything that the
    /// follower has delivered, so it is just as current.
    pub fn take_in(&self, id: ConversationId, fold: Fold) -> Arc<Tracked> {
        let mut known = self.stream(id).known();
        let waiting = known.loading.remove(&id).map(|loading| loading.waiting).unwrap_or_default();
        let tracked = known.keep(id, fold);
        drop(known);
        for answer in waiting {
            let _ = answer.send(Ok(Some(tracked.clone())));
        }
        tracked
    }

    /// Takes in the next event of a stream. Only the follower of the stream calls this.
    pub(super) fn apply(&self, recorded: &Recorded) -> Verdict<Applied> {
        let id = recorded.conversation;
        let tracked = {
            let mut known = self.stream(id).known();
            if let Some(tracked) = known.ready.peek(&id) {
                tracked
            } else if let Some(loading) = known.loading.get_mut(&id) {
                loading.meanwhile.push(recorded.clone());
                return Verdict::Unknown;
            } else if known.doubted.begins(recorded) {
                // Nothing precedes the beginning of a conversation, so the fold is complete without a reading.
                let mut fold = Fold::default();
                return match recorded.apply_to(&mut fold) {
                    Some(previous) => Verdict::Counts(Applied { tracked: known.keep(id, fold), previous }),
                    None => Verdict::Void,
                };
            } else {
                return Verdict::Unknown;
            }
        };
        match tracked.apply(recorded) {
            Some(previous) => Verdict::Counts(Applied { tracked, previous }),
            None => Verdict::Void,
        }
    }

    /// Notes that a stream has been followed up to a point.
    pub(super) fn followed(&self, stream: usize, point: Point) {
        self.0.streams[stream].followed.send_replace(point);
    }

    /// How far each stream has been followed, and by which event.
    pub fn points(&self) -> Vec<Point> {
        self.0.streams.iter().map(|stream| *stream.followed.borrow()).collect()
    }

    /// How far a stream has been followed.
    pub(crate) fn position(&self, stream: usize) -> Position {
        self.0.streams[stream].followed.borrow().position
    }

    /// How far each stream has been followed.
    pub fn positions(&self) -> Vec<Position> {
        self.0.streams.iter().map(|stream| stream.followed.borrow().position).collect()
    }

    /// Waits until this process has followed the stream of the conversation to its current end.
    pub async fn catch_up(&self, id: ConversationId) -> Result<(), Unavailable> {
        let now = self.0.log.last(self.0.log.stream_of(id)).await?;
        if self.reached(id, now, FOLLOWER).await {
            Ok(())
        } else {
            Err(Unavailable::because("this process is behind the log"))
        }
    }

    /// Waits until this process has followed each stream up to its position; `false` if that takes longer than
    /// `patience`.
    pub async fn all_reached(&self, positions: &[Position], patience: Duration) -> bool {
        let reached = self.0.streams.iter().zip(positions).map(|(stream, position)| async move {
            stream.followed.subscribe().wait_for(|at| at.position >= *position).await.is_ok()
        });
        let all = futures_util::future::join_all(reached);
        timeout(patience, all).await.is_ok_and(|all| all.into_iter().all(|reached| reached))
    }

    /// Waits until this process has followed the stream of the conversation up to a position; `false` if that takes
    /// longer than `patience`.
    pub async fn reached(&self, id: ConversationId, position: Position, patience: Duration) -> bool {
        let mut followed = self.stream(id).followed.subscribe();
        let reached = followed.wait_for(|at| at.position >= position);
        timeout(patience, reached).await.is_ok_and(|reached| reached.is_ok())
    }
}

fn cut_off() -> Unavailable {
    Unavailable::because("this process has not heard from the log for some seconds")
}

impl Stream {
    fn known(&self) -> MutexGuard<'_, KnownRosters> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
