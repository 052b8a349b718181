//! The task of one stream. It takes in the events, shows them and serves requests, all in one order. It waits for
//! nothing else: separate tasks read conversations from the log.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    task::{JoinSet, yield_now},
    time::{Instant, MissedTickBehavior, interval, sleep},
};

use crate::{
    domain::{ConversationId, Event, Fold, Lane, Point, Position, Recorded},
    gateway::{
        frames::close::Close,
        hub::{
            held::GivenUp,
            listeners::{Listener, Listeners},
            requests::{Beat, Joined, Joining, Request},
            topics::Topics,
        },
    },
    live::{self, Applied, Batch, Conversations, Step, Verdict},
    log::{Damaged, Log},
    telemetry::traces,
};

/// The longest time that the reading of a conversation may take after a listener was brought into it.
const READING: Duration = Duration::from_secs(30);
/// The most conversations that are read at once.
const AT_ONCE: usize = 32;
/// The pause before a failed reading is retried.
const PAUSE: Duration = Duration::from_millis(250);
/// How many frames are written before other tasks get a turn.
const WRITTEN: usize = 1_024;
/// How often the task checks whether a reading takes too long.
const LOOK: Duration = Duration::from_secs(1);

/// The task of one stream.
pub(super) struct Stream {
    log: Log,
    conversations: Conversations,
    followed: live::Stream,
    listeners: Arc<Listeners>,
    topics: Topics,
    /// The readings of conversations into which a listener was brought.
    readings: JoinSet<Option<Reading>>,
    turns: Arc<Semaphore>,
    /// Joins that have to wait for a reading.
    waiting: Vec<(Joining, oneshot::Sender<Joined>)>,
}

/// A conversation as it was just before an event brought in a listener here.
struct Reading {
    conversation: ConversationId,
    before: Position,
    fold: Fold,
}

impl Stream {
    pub(super) fn new(
        log: Log,
        conversations: Conversations,
        followed: live::Stream,
        listeners: Arc<Listeners>,
    ) -> Self {
        Self {
            log,
            conversations,
            topics: Topics::new(followed.index()),
            followed,
            listeners,
            readings: JoinSet::new(),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            waiting: Vec::new(),
        }
    }

    /// Delivers until the log is damaged. A batch is delivered as a whole before the next request is answered: a
    /// listener that joined in the middle of a batch would get pending frames that its head already covers.
    pub(super) async fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                batch = self.followed.batch() => match batch {
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

    /// Closes all sockets, because listeners of a damaged log would miss events. Their clients should try another node.
    fn stop(&self, damaged: &Damaged) {
        tracing::error!(error = %damaged, "the hub has stopped: the log is damaged");
        for session in self.listeners.sessions() {
            session.socket.close(Close::LAGGING);
        }
    }

    /// Delivers a batch. Other tasks get a turn now and then, because a batch for thousands of sockets takes long, but
    /// requests do not ([`Self::run`]).
    ///
    /// The batch is finished only after every frame has been sent or is held. If it were finished first, the stream
    /// would count as followed past events that no socket has yet, and a heartbeat would carry a cursor that skips
    /// them.
    async fn deliver(&mut self, mut batch: Batch) {
        let behind = self.followed.at().position.0;
        while let Some(Step { recorded, applied, before }) = self.followed.take_in(&mut batch) {
            let lane = recorded.lane;
            self.show(recorded, applied, before);
            // By now a roster change has been sent, perhaps to thousands of sockets.
            if lane == Lane::Roster {
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
        traces::processed("deliver", self.followed.index(), behind, self.followed.at().position.0);
        self.followed.finish(batch);
    }

    /// Shows one event. If events of its conversation are held, this event is held too, even if the conversation is
    /// known: shown at once, it would overtake the held ones.
    fn show(&mut self, recorded: &Recorded, applied: Verdict<Applied>, before: Point) {
        let id = recorded.conversation;
        let added = self.added_here(recorded);
        if self.topics.is_held(id) {
            if let Err(given_up) = self.topics.hold(recorded, added, before) {
                self.send_elsewhere(id, given_up);
            }
            return;
        }
        match applied {
            Verdict::Counts(Applied { tracked, previous }) => {
                self.topics.show(recorded, previous, &tracked, added);
            }
            Verdict::Void => {}
            Verdict::Unknown if added.is_empty() => {}
            // This event is only ever appended as the first one of a conversation.
            Verdict::Unknown if matches!(recorded.event, Some(Event::ConversationCreated(_))) => {
                let mut fold = Fold::default();
                let Some(previous) = recorded.apply_to(&mut fold) else { return };
                let tracked = self.conversations.take_in(id, fold);
                self.topics.show(recorded, previous, &tracked, added);
            }
            // Hold first, read second. The reading covers the conversation up to `before`, so every event from this one
            // on has to be held when the reading finishes.
            Verdict::Unknown => match self.topics.hold(recorded, added, before) {
                Ok(()) => self.read(id, before.position),
                Err(given_up) => self.send_elsewhere(id, given_up),
            },
        }
    }

    /// The listeners here that an event brings in. They are looked up when the event is shown, not when the
    /// conversation is read: a session that has entered [`Listeners`] by now is brought in by this task, and a session
    /// that enters later asks this task afterwards and finds the event in the roster.
    fn added_here(&self, recorded: &Recorded) -> Vec<Arc<Listener>> {
        let added = recorded.event.as_ref().map(Event::brings_in).unwrap_or_default();
        added.into_iter().filter_map(|user| self.listeners.get(user)).collect()
    }

    /// Reads a conversation that this process did not know and that a listener here has just joined. Meanwhile the
    /// events of this conversation are held, but not those of other conversations.
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

    /// Gives up events that have been held for too long, because another node serves their listeners better.
    fn give_up(&mut self, now: Instant) {
        for id in self.topics.held_for(READING, now) {
            self.send_elsewhere(id, GivenUp::TooLate);
        }
        self.waiting.retain(|(_, answer)| !answer.is_closed());
    }

    fn send_elsewhere(&mut self, id: ConversationId, why: GivenUp) {
        tracing::warn!(conversation = %id, error = %why, "could not deliver a conversation; closed the sockets of added members");
        self.topics.send_elsewhere(id);
        self.answer_waiting();
    }

    fn answer(&mut self, request: Request) {
        match request {
            Request::Join(joining, answer) => self.join(joining, answer),
            Request::Leave(listener) => {
                for id in listener.topics() {
                    if self.log.stream_of(id) == self.followed.index() {
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
                let _ = answer.send(Beat {
                    stream: self.followed.index(),
                    number,
                    at: self.followed.at(),
                    moved,
                });
            }
        }
    }

    /// Answers a join, or keeps it while events are held for its listener. A listener that joined before its held events
    /// are shown would get a position past them. It would resume from there without the held events, or would get them
    /// twice: from its resume and from this task.
    ///
    /// A session that no longer waits for the answer leaves, or has left, so its join is dropped. If a listener that has
    /// left were joined, no further request would remove it from its topics.
    fn join(&mut self, joining: Joining, answer: oneshot::Sender<Joined>) {
        if answer.is_closed() {
            return;
        }
        let Joining { listener, conversations } = &joining;
        if self.topics.holds_for(listener, conversations.iter().map(|(id, _)| *id)) {
            return self.waiting.push((joining, answer));
        }
        let admissions = conversations
            .iter()
            .filter_map(|(id, tracked)| self.topics.join(listener, *id, tracked.as_ref()))
            .collect();
        let _ = answer.send(Joined { at: self.followed.at(), admissions });
    }

    /// Looks again at the joins that wait, because some held events have been shown or dropped.
    fn answer_waiting(&mut self) {
        for (joining, answer) in std::mem::take(&mut self.waiting) {
            self.join(joining, answer);
        }
    }
}
