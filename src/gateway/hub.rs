//! The hub: what the log has stored goes to those who may know, at once. One task follows each
//! stream and owns the topics in it, so joining, leaving and delivering happen in one order.

use std::{
    collections::{HashMap, hash_map::Entry},
    future::pending,
    sync::{Arc, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::try_join_all;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::{
    close::Close,
    frame::{self, Head, ServerFrame},
    listeners::{Listener, Listeners},
    socket::Durable,
};
use crate::{
    auth::{Blocklist, is_blocked},
    commands::{Applied, Conversations, Earlier, Receipts, Tracked},
    domain::{ConversationId, Event, Lane, Point, Position, PresenceChanged, UserId},
    feed::{Feed, Verdict},
    log::{Damaged, Follower, Log, Recorded},
    supervise::Supervisor,
    telemetry::METRICS,
};

/// Requests to one stream's task that may wait.
const QUEUE: usize = 4_096;
/// How long a request may take.
const DEADLINE: Duration = Duration::from_secs(5);

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
    /// A listener wants to be given what happens in conversations. Those without a [`Tracked`] are
    /// topics of the listener already.
    Join {
        listener: Arc<Listener>,
        conversations: Vec<(ConversationId, Option<Arc<Tracked>>)>,
        answer: oneshot::Sender<Joined>,
    },
    Leave(Arc<Listener>),
    /// A change, and from whom it is hidden.
    Presence(Box<Recorded>, Blocklist),
    Typing(ConversationId, UserId),
    Beat(oneshot::Sender<Beat>),
}

/// Where a stream stood when a listener joined.
pub(super) struct Joined {
    pub(super) at: Point,
    pub(super) heads: Vec<Head>,
}

/// Where a stream stands, and what has moved since the last beat for whom.
pub(super) struct Beat {
    pub(super) stream: usize,
    pub(super) at: Point,
    pub(super) moved: Vec<(Arc<Listener>, Vec<Head>)>,
}

/// A conversation that somebody listens to here.
struct Topic {
    tracked: Arc<Tracked>,
    listeners: Vec<Arc<Listener>>,
    /// Frames of the present batch that have not been sent yet.
    pending: Vec<Durable>,
    /// Something has been delivered since the last beat.
    moved: bool,
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
    topics: HashMap<ConversationId, Topic>,
    /// The topics with pending frames.
    dirty: Vec<ConversationId>,
    at: Point,
}

impl Hub {
    /// Starts following all streams from where `conversations` stand.
    pub fn start(
        log: &Log,
        conversations: &Conversations,
        receipts: &Receipts,
        earlier: &Earlier,
        feed: &Feed,
        listeners: &Arc<Listeners>,
        tasks: &Supervisor,
    ) -> Self {
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
                topics: HashMap::new(),
                dirty: Vec::new(),
                at,
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
    pub(super) async fn join(
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
            self.ask(stream, |answer| Request::Join { listener, conversations, answer })
        });
        try_join_all(asked).await
    }

    /// A listener has no session any more.
    pub(super) async fn leave(&self, listener: Arc<Listener>) {
        let mut streams: Vec<usize> =
            listener.topics().into_iter().map(|id| self.log.stream_of(id)).collect();
        streams.sort_unstable();
        streams.dedup();
        for stream in streams {
            // Only a stopped hub does not take it.
            let _ = self.streams[stream].send(Request::Leave(listener.clone())).await;
        }
    }

    /// Hands on a presence change, or drops it when the hub is busy.
    pub(super) fn presence(&self, recorded: Recorded, hidden_from: Blocklist) {
        let stream = self.log.stream_of(recorded.conversation);
        let _ = self.streams[stream].try_send(Request::Presence(Box::new(recorded), hidden_from));
    }

    /// Hands on that somebody is typing, or drops it when the hub is busy.
    pub(super) fn typing(&self, conversation: ConversationId, user: UserId) {
        let stream = self.log.stream_of(conversation);
        let _ = self.streams[stream].try_send(Request::Typing(conversation, user));
    }

    /// Where all streams stand.
    pub(super) async fn beat(&self) -> Result<Vec<Beat>, Lagging> {
        let mut beats = Vec::with_capacity(self.streams.len());
        for stream in 0..self.streams.len() {
            beats.push(self.ask(stream, Request::Beat).await?);
        }
        Ok(beats)
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
            }
        }
    }

    /// Whoever listens to a damaged log would miss something: they shall try another node.
    fn stop(&self, damaged: &Damaged) {
        METRICS.stopped.inc();
        tracing::error!(error = %damaged, "the hub has stopped: the log is damaged");
        for listener in self.listeners.list() {
            listener.close(Close::Lagging, |_| true);
        }
    }

    async fn deliver(&mut self, batch: Vec<Recorded>) {
        let mut verdicts = Vec::with_capacity(batch.len());
        for recorded in &batch {
            let applied = if recorded.lane == Lane::Roster {
                self.roster(recorded).await
            } else {
                if let Some(Event::ReceiptAdvanced(receipt)) = recorded.event {
                    let Recorded { conversation, actor, position, .. } = *recorded;
                    self.receipts.hear(conversation, actor, position, receipt);
                }
                let applied = self.conversations.apply(recorded);
                if let Applied::Counts { previous, .. } = applied {
                    self.queue(recorded, previous);
                }
                applied
            };
            verdicts.push(match applied {
                Applied::Counts { previous, .. } => Verdict::Counts(previous),
                Applied::Void => Verdict::Void,
                Applied::Unknown => Verdict::Unknown,
            });
            self.at = recorded.point();
        }
        for id in std::mem::take(&mut self.dirty) {
            self.flush(id);
        }
        self.earlier.hear(&batch);
        self.feed.hear(self.index, batch.into_iter().zip(verdicts));
        self.conversations.followed(self.index, self.at);
    }

    /// Membership changes between two frames: what is pending goes to those who were in before.
    async fn roster(&mut self, recorded: &Recorded) -> Applied {
        let id = recorded.conversation;
        self.flush(id);
        let added = self.added_here(recorded);
        let mut applied = self.conversations.apply(recorded);
        if !added.is_empty() && matches!(applied, Applied::Unknown) {
            applied = self.know(recorded).await;
        }
        let Applied::Counts { tracked, previous } = &applied else { return applied };
        for listener in added {
            self.subscribe(&listener, id, tracked);
        }
        self.queue(recorded, *previous);
        self.flush(id);
        if let Some(Event::MemberRemoved(removed)) = &recorded.event
            && let Some(listener) = self.listeners.get(removed.user_id)
        {
            self.unsubscribe(&listener, id);
        }
        applied
    }

    /// Those who come in by an event and listen here.
    fn added_here(&self, recorded: &Recorded) -> Vec<Arc<Listener>> {
        let added = match &recorded.event {
            Some(Event::ConversationCreated(created)) => created.members.iter().map(|m| m.user_id).collect(),
            Some(Event::MemberAdded(added)) => vec![added.user_id],
            _ => Vec::new(),
        };
        added.into_iter().filter_map(|user| self.listeners.get(user)).collect()
    }

    /// Takes in an event of a conversation that nobody here knew: somebody here has just come in. The
    /// log answers or is waited for; without it there is nothing to deliver either.
    async fn know(&self, recorded: &Recorded) -> Applied {
        loop {
            match self.conversations.apply_unknown(recorded).await {
                Ok(applied) => return applied,
                Err(e) => tracing::warn!(error = %e, "a conversation that somebody joins is read again"),
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }

    fn queue(&mut self, recorded: &Recorded, previous: Position) {
        let Some(topic) = self.topics.get_mut(&recorded.conversation) else { return };
        if topic.pending.is_empty() {
            self.dirty.push(recorded.conversation);
        }
        let frame = frame::event(recorded, previous);
        topic.pending.push(Durable { tag: (recorded.conversation, recorded.position), frame });
    }

    fn flush(&mut self, id: ConversationId) {
        let Some(topic) = self.topics.get_mut(&id) else { return };
        if topic.pending.is_empty() {
            return;
        }
        let sockets: usize =
            topic.listeners.iter().map(|listener| listener.deliver(id, &topic.pending)).sum();
        METRICS.deliveries.inc_by((sockets * topic.pending.len()) as u64);
        topic.pending.clear();
        topic.moved = true;
    }

    fn answer(&mut self, request: Request) {
        match request {
            Request::Join { listener, conversations, answer } => {
                let heads = conversations
                    .into_iter()
                    .filter_map(|(id, tracked)| self.join(&listener, id, tracked))
                    .collect();
                let _ = answer.send(Joined { at: self.at, heads });
            }
            Request::Leave(listener) => {
                for id in listener.topics() {
                    if self.log.stream_of(id) == self.index {
                        self.unsubscribe(&listener, id);
                    }
                }
            }
            Request::Presence(recorded, hidden_from) => self.presence(&recorded, &hidden_from),
            Request::Typing(id, user) => self.typing(id, user),
            Request::Beat(answer) => {
                let _ = answer.send(self.beat());
            }
        }
    }

    /// The head of a conversation that the listener is in; `None` if membership was lost meanwhile.
    fn join(
        &mut self,
        listener: &Arc<Listener>,
        id: ConversationId,
        tracked: Option<Arc<Tracked>>,
    ) -> Option<Head> {
        let tracked = tracked.or_else(|| self.topics.get(&id).map(|topic| topic.tracked.clone()))?;
        tracked.conversation().membership(listener.user)?;
        self.subscribe(listener, id, &tracked);
        Some(Head { id, head: tracked.head() })
    }

    fn subscribe(&mut self, listener: &Arc<Listener>, id: ConversationId, tracked: &Arc<Tracked>) {
        if !listener.topics.lock().unwrap_or_else(PoisonError::into_inner).insert(id) {
            return;
        }
        let topic = match self.topics.entry(id) {
            Entry::Occupied(topic) => topic.into_mut(),
            Entry::Vacant(place) => place.insert(Topic {
                tracked: tracked.clone(),
                listeners: Vec::new(),
                pending: Vec::new(),
                moved: false,
            }),
        };
        topic.listeners.push(listener.clone());
    }

    fn unsubscribe(&mut self, listener: &Arc<Listener>, id: ConversationId) {
        listener.topics.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        if let Some(topic) = self.topics.get_mut(&id) {
            topic.listeners.retain(|other| !Arc::ptr_eq(other, listener));
            if topic.listeners.is_empty() {
                self.topics.remove(&id);
            }
        }
    }

    fn presence(&self, recorded: &Recorded, hidden_from: &Blocklist) {
        let Some(Event::PresenceChanged(PresenceChanged { status, last_seen_at })) = recorded.event else {
            return;
        };
        let Some(topic) = self.topics.get(&recorded.conversation) else { return };
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

    fn typing(&self, id: ConversationId, user: UserId) {
        let Some(topic) = self.topics.get(&id) else { return };
        if topic.tracked.conversation().membership(user).is_none() {
            return;
        }
        let frame: Bytes = ServerFrame::Typing { conversation_id: id, user_id: user }.encode();
        for listener in topic.listeners.iter().filter(|listener| listener.user != user) {
            listener.offer_of(id, &frame);
        }
    }

    fn beat(&mut self) -> Beat {
        let mut moved: HashMap<UserId, (Arc<Listener>, Vec<Head>)> = HashMap::new();
        for (id, topic) in self.topics.iter_mut().filter(|(_, topic)| topic.moved) {
            topic.moved = false;
            let head = Head { id: *id, head: topic.tracked.head() };
            for listener in &topic.listeners {
                let of = moved.entry(listener.user).or_insert_with(|| (listener.clone(), Vec::new()));
                of.1.push(head);
            }
        }
        Beat { stream: self.index, at: self.at, moved: moved.into_values().collect() }
    }
}
