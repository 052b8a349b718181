//! The hub: what the log has stored goes to those who may know, at once. One task follows each
//! stream and owns the topics in it, so joining, leaving and delivering happen in one order. That task
//! waits for nothing else: what has to be read from the log is read beside it.

use std::{future::pending, sync::Arc, time::Duration};

use futures_util::future::{join_all, try_join_all};
use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    task::{JoinSet, yield_now},
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};

use crate::{
    commands::{Commands, Earlier, Receipts},
    domain::{ConversationId, Event, Fold, Lane, Point, Position, Recorded, UserId},
    feed::Feed,
    gateway::{
        frames::close::Close,
        hub::{
            held::GivenUp,
            listeners::{Listener, Listeners},
            topics::{Admission, Heads, Topics},
        },
    },
    live::{Applied, Blocklist, Conversations, Followers, News, Tracked, Verdict},
    log::{Damaged, Follower, Log},
    supervise::Supervisor,
    telemetry::METRICS,
};

/// Requests to one stream's task that may wait.
const QUEUE: usize = 4_096;
/// How long a request may take.
const DEADLINE: Duration = Duration::from_secs(5);
/// How long it may take to read a conversation into which somebody was brought.
const READING: Duration = Duration::from_secs(30);
/// So many of them are read at once.
const AT_ONCE: usize = 32;
/// How long to wait before one is read again.
const PAUSE: Duration = Duration::from_millis(250);
/// Frames that are written before others get a turn.
const WRITTEN: usize = 1_024;
/// How often it is seen whether something takes too long.
const LOOK: Duration = Duration::from_secs(1);

/// The hub of this node. Cheap to clone.
#[derive(Clone)]
pub struct Hub {
    log: Log,
    streams: Arc<[mpsc::Sender<Request>]>,
}

/// The hub cannot answer in time; the client may come back elsewhere.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the hub does not answer")]
pub struct Lagging;

enum Request {
    /// A listener wants to be given what happens in conversations.
    Join(Joining, oneshot::Sender<Joined>),
    Leave(Arc<Listener>),
    /// A change, and from whom it is hidden.
    Presence(Box<Recorded>, Blocklist),
    Typing(ConversationId, UserId),
    /// Where the stream stands. With the last beat that was told.
    Beat(u64, oneshot::Sender<Beat>),
}

/// Who wants to be given what happens, and where. Conversations without a [`Tracked`] are topics of the
/// listener already.
struct Joining {
    listener: Arc<Listener>,
    conversations: Vec<(ConversationId, Option<Arc<Tracked>>)>,
}

/// Where a stream stood when a listener joined.
pub(in crate::gateway) struct Joined {
    pub(in crate::gateway) at: Point,
    pub(in crate::gateway) admissions: Vec<Admission>,
}

/// Where a stream stands, and what has moved for whom since the last beat that was told.
pub(in crate::gateway) struct Beat {
    pub(in crate::gateway) stream: usize,
    pub(in crate::gateway) number: u64,
    pub(in crate::gateway) at: Point,
    pub(in crate::gateway) moved: Heads,
}

/// One stream's task.
struct Stream {
    index: usize,
    log: Log,
    conversations: Conversations,
    receipts: Receipts,
    earlier: Earlier,
    feed: Feed,
    listeners: Arc<Listeners>,
    followers: Arc<Followers>,
    topics: Topics,
    at: Point,
    /// Conversations that are read because somebody was brought in.
    readings: JoinSet<Option<Reading>>,
    turns: Arc<Semaphore>,
    /// Those who join and have to wait for one of them.
    waiting: Vec<(Joining, oneshot::Sender<Joined>)>,
}

/// A conversation as it was just before the event by which somebody here came in.
struct Reading {
    conversation: ConversationId,
    before: Position,
    fold: Fold,
}

impl Hub {
    /// Starts following all streams from where the conversations of `commands` stand.
    pub fn start(
        commands: &Commands,
        feed: &Feed,
        listeners: &Arc<Listeners>,
        followers: &Arc<Followers>,
        tasks: &Supervisor,
    ) -> Self {
        let Commands { log, conversations, receipts, earlier, .. } = commands;
        let streams = conversations.points().into_iter().enumerate().map(|(index, at)| {
            let (sender, requests) = mpsc::channel(QUEUE);
            let stream = Stream {
                index,
                log: log.clone(),
                conversations: conversations.clone(),
                receipts: receipts.clone(),
                earlier: earlier.clone(),
                feed: feed.clone(),
                listeners: listeners.clone(),
                followers: followers.clone(),
                topics: Topics::new(index),
                at,
                readings: JoinSet::new(),
                turns: Arc::new(Semaphore::new(AT_ONCE)),
                waiting: Vec::new(),
            };
            let follower = log.lead(index, at.position);
            tasks.spawn("hub", async move {
                stream.run(follower, requests).await;
                // A damaged log is still damaged after a restart, and readiness says so: the process stays,
                // and with it all that needs no hub.
                pending::<()>().await;
            });
            sender
        });
        Self { log: log.clone(), streams: streams.collect() }
    }

    /// Gives a listener what happens in conversations from now on. Answers, in their order, where all
    /// streams stood, also those without one of these conversations: an event that was delivered just
    /// before may be the one by which the listener left.
    pub(in crate::gateway) async fn join(
        &self,
        listener: &Arc<Listener>,
        conversations: Vec<(ConversationId, Option<Arc<Tracked>>)>,
    ) -> Result<Vec<Joined>, Lagging> {
        let mut by_stream: Vec<Vec<_>> = self.streams.iter().map(|_| Vec::new()).collect();
        for joined in conversations {
            by_stream[self.log.stream_of(joined.0)].push(joined);
        }
        let asked = by_stream.into_iter().enumerate().map(|(stream, conversations)| {
            let listener = listener.clone();
            self.ask(stream, |answer| Request::Join(Joining { listener, conversations }, answer))
        });
        try_join_all(asked).await
    }

    /// A listener has no session any more, and is not found any more. Every stream is told: one of them
    /// may be about to bring the listener into its first conversation there. Each does what it found
    /// the listener for before it comes to this, so nothing is left behind.
    pub(in crate::gateway) async fn leave(&self, listener: Arc<Listener>) {
        for stream in &*self.streams {
            // Only a stopped hub does not take it.
            let _ = stream.send(Request::Leave(listener.clone())).await;
        }
    }

    /// Hands on a presence change. Waits for a busy hub: nobody tells again that somebody has gone.
    pub(in crate::gateway) async fn presence(&self, recorded: Recorded, hidden_from: Blocklist) {
        let stream = self.log.stream_of(recorded.conversation);
        let request = Request::Presence(Box::new(recorded), hidden_from);
        let _ = timeout(DEADLINE, self.streams[stream].send(request)).await;
    }

    /// Hands on that somebody is typing, or drops it when the hub is busy.
    pub(in crate::gateway) fn typing(&self, conversation: ConversationId, user: UserId) {
        let stream = self.log.stream_of(conversation);
        let _ = self.streams[stream].try_send(Request::Typing(conversation, user));
    }

    /// Where the streams stand that answer in time. `told` is, for each, the last beat of which all was
    /// told: what has moved since comes again until then.
    pub(in crate::gateway) async fn beat(&self, told: &[u64]) -> Vec<Beat> {
        let asked = told
            .iter()
            .enumerate()
            .map(|(stream, told)| self.ask(stream, |answer| Request::Beat(*told, answer)));
        join_all(asked).await.into_iter().flatten().collect()
    }

    /// How many streams there are.
    pub(in crate::gateway) fn streams(&self) -> usize {
        self.streams.len()
    }

    async fn ask<T>(
        &self,
        stream: usize,
        request: impl FnOnce(oneshot::Sender<T>) -> Request,
    ) -> Result<T, Lagging> {
        let (answer, answered) = oneshot::channel();
        let asked = async {
            self.streams[stream].send(request(answer)).await.map_err(|_| Lagging)?;
            answered.await.map_err(|_| Lagging)
        };
        timeout(DEADLINE, asked).await.map_err(|_| Lagging)?
    }
}

impl Stream {
    async fn run(mut self, mut follower: Follower, mut requests: mpsc::Receiver<Request>) {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                batch = follower.batch() => match batch {
                    Ok(batch) => self.deliver(batch).await,
                    Err(damaged) => return self.stop(&damaged),
                },
                request = requests.recv() => match request {
                    Some(request) => self.answer(request),
                    None => return,
                },
                Some(read) = self.readings.join_next() => match read {
                    Ok(Some(reading)) => self.show_held(reading),
                    Ok(None) => {}
                    Err(e) if e.is_panic() => std::panic::resume_unwind(e.into_panic()),
                    Err(_) => {}
                },
                _ = look.tick(), if self.topics.holds_any() => self.give_up(Instant::now()),
            }
        }
    }

    /// Whoever listens to a damaged log would miss something: they shall try another node.
    fn stop(&self, damaged: &Damaged) {
        METRICS.stopped.inc();
        tracing::error!(error = %damaged, "the hub has stopped: the log is damaged");
        for listener in self.listeners.list() {
            listener.close(Close::LAGGING, |_| true);
        }
        self.followers.cut(|_| true);
    }

    /// Between two events others get a turn: a batch for thousands of sockets takes long.
    async fn deliver(&mut self, batch: Vec<Recorded>) {
        let mut verdicts = Vec::with_capacity(batch.len());
        for recorded in &batch {
            if let Some(Event::ReceiptAdvanced(receipt)) = recorded.event {
                let Recorded { conversation, actor, position, .. } = *recorded;
                self.receipts.hear(conversation, actor, position, receipt);
            }
            let applied = self.conversations.apply(recorded);
            verdicts.push(match applied {
                Applied::Counts { previous, .. } => Verdict::Counts(previous),
                Applied::Void => Verdict::Void,
                Applied::Unknown => Verdict::Unknown,
            });
            self.show(recorded, applied);
            self.at = recorded.point();
            // A change of the roster has been sent by now, to thousands of sockets perhaps.
            if recorded.lane == Lane::Roster {
                yield_now().await;
            }
        }
        let mut written = 0;
        while let Some(more) = self.topics.flush_some() {
            written += more;
            if written >= WRITTEN {
                written = 0;
                yield_now().await;
            }
        }
        self.earlier.hear(&batch);
        let news: Vec<News> = batch.iter().map(News::of).collect();
        self.feed.hear(self.index, batch.into_iter().zip(verdicts));
        self.conversations.followed(self.index, self.at);
        self.followers.hear(self.index, self.at, &news);
    }

    fn show(&mut self, recorded: &Recorded, applied: Applied) {
        let id = recorded.conversation;
        let added = self.added_here(recorded);
        if self.topics.is_held(id) {
            if let Err(given_up) = self.topics.hold(recorded, added, self.at) {
                self.send_elsewhere(id, given_up);
            }
            return;
        }
        match applied {
            Applied::Counts { tracked, previous } => self.topics.show(recorded, previous, &tracked, added),
            Applied::Void => {}
            Applied::Unknown if added.is_empty() => {}
            // It is appended only where nothing is before it.
            Applied::Unknown if matches!(recorded.event, Some(Event::ConversationCreated(_))) => {
                let mut fold = Fold::default();
                let Some(previous) = recorded.apply_to(&mut fold) else { return };
                let tracked = self.conversations.take_in(id, fold);
                self.topics.show(recorded, previous, &tracked, added);
            }
            Applied::Unknown => match self.topics.hold(recorded, added, self.at) {
                Ok(()) => self.read(id, self.at.position),
                Err(given_up) => self.send_elsewhere(id, given_up),
            },
        }
    }

    /// Those who come in by an event and listen here.
    fn added_here(&self, recorded: &Recorded) -> Vec<Arc<Listener>> {
        let added = recorded.event.as_ref().map(Event::brings_in).unwrap_or_default();
        added.into_iter().filter_map(|user| self.listeners.get(user)).collect()
    }

    /// Reads a conversation that nobody here knew: somebody here has just come in. Its events are held
    /// meanwhile, those of all others are not.
    fn read(&mut self, conversation: ConversationId, before: Position) {
        let (log, turns, deadline) = (self.log.clone(), self.turns.clone(), Instant::now() + READING);
        self.readings.spawn(async move {
            let _turn = turns.acquire_owned().await.ok()?;
            while Instant::now() < deadline {
                match log.fold(conversation, Some(before)).await {
                    Ok(fold) => return Some(Reading { conversation, before, fold }),
                    Err(e) => {
                        tracing::debug!(error = %e, %conversation, "could not read a conversation; retrying");
                    }
                }
                sleep(PAUSE).await;
            }
            None
        });
    }

    fn show_held(&mut self, Reading { conversation, before, fold }: Reading) {
        let conversations = &self.conversations;
        self.topics.show_held(conversation, before, fold, |fold| conversations.take_in(conversation, fold));
        self.answer_waiting();
    }

    /// Those for whom events have been held for too long are served better by another node.
    fn give_up(&mut self, now: Instant) {
        for id in self.topics.held_for(READING, now) {
            self.send_elsewhere(id, GivenUp::TooLate);
        }
        self.waiting.retain(|(_, answer)| !answer.is_closed());
    }

    fn send_elsewhere(&mut self, id: ConversationId, why: GivenUp) {
        tracing::warn!(conversation = %id, error = %why, "could not deliver a conversation; closed the sockets of those brought in");
        self.topics.send_elsewhere(id);
        self.answer_waiting();
    }

    fn answer(&mut self, request: Request) {
        match request {
            Request::Join(joining, answer) => {
                self.waiting.push((joining, answer));
                self.answer_waiting();
            }
            Request::Leave(listener) => {
                for id in listener.topics() {
                    if self.log.stream_of(id) == self.index {
                        self.topics.unsubscribe(&listener, id);
                    }
                }
                self.topics.forget(&listener);
                self.answer_waiting();
            }
            Request::Presence(recorded, hidden_from) => self.topics.presence(&recorded, &hidden_from),
            Request::Typing(id, user) => self.topics.typing(id, user),
            Request::Beat(told, answer) => {
                let (number, moved) = self.topics.beat(told);
                let _ = answer.send(Beat { stream: self.index, number, at: self.at, moved });
            }
        }
    }

    /// Lets those join who need not wait. The others joined in vain if they were told a position beyond
    /// events that are held for them, or were given those events once more when they are shown.
    fn answer_waiting(&mut self) {
        for (joining, answer) in std::mem::take(&mut self.waiting) {
            let Joining { listener, conversations } = &joining;
            if self.topics.holds_for(listener, conversations.iter().map(|(id, _)| *id)) {
                self.waiting.push((joining, answer));
                continue;
            }
            let admissions = conversations
                .iter()
                .filter_map(|(id, tracked)| self.topics.join(listener, *id, tracked.as_ref()))
                .collect();
            let _ = answer.send(Joined { at: self.at, admissions });
        }
    }
}
