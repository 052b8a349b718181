//! The hub sends stored events at once to the listeners that may see them. One task follows each stream and owns its
//! topics ([`super::stream`]); this module sends requests to the tasks.

use std::{future::pending, sync::Arc, time::Duration};

use futures_util::future::{join_all, try_join_all};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use crate::{
    domain::{ConversationId, Recorded, UserId},
    gateway::hub::{
        listeners::{Listener, Listeners},
        requests::{Beat, Joined, Joining, Request},
        stream::Stream,
    },
    live::{self, Blocklist, Conversations, Tracked},
    log::Log,
    supervise::Supervisor,
};

/// The most requests that wait for the task of one stream.
const QUEUE: usize = 4_096;
/// The longest time that a request may take.
const DEADLINE: Duration = Duration::from_secs(5);
/// The longest time that the answer to a heartbeat may take. All sessions wait for their heartbeat meanwhile, and the
/// next one covers a stream that is busy now.
const BEAT: Duration = Duration::from_secs(1);

/// The hub of this node. Cheap to clone.
#[derive(Clone)]
pub struct Hub {
    log: Log,
    streams: Arc<[mpsc::Sender<Request>]>,
}

/// The hub cannot answer in time. The client may try another node.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the hub does not answer")]
pub struct Lagging;

impl Hub {
    /// Starts one task for each stream, which shows its events to the listeners of this node.
    pub fn start(
        log: &Log,
        conversations: &Conversations,
        streams: Vec<live::Stream>,
        listeners: &Arc<Listeners>,
        tasks: &Supervisor,
    ) -> Self {
        let start = |stream| {
            let (sender, requests) = mpsc::channel(QUEUE);
            let stream = Stream::new(log.clone(), conversations.clone(), stream, listeners.clone());
            tasks.spawn("hub", async move {
                stream.run(requests).await;
                // A damaged log is still damaged after a restart, and readiness reports it. So the process keeps
                // running for all work that needs no hub.
                pending::<()>().await;
            });
            sender
        };
        Self { log: log.clone(), streams: streams.into_iter().map(start).collect() }
    }

    /// Gives a listener the events of conversations from now on. Returns the points of all streams, in their order,
    /// including streams without any of these conversations: an event that was delivered just before may have removed
    /// the listener from its conversations there.
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
            self.ask(stream, DEADLINE, |answer| Request::Join(Joining { listener, conversations }, answer))
        });
        try_join_all(asked).await
    }

    /// Tells all streams that a listener has no session left. Its last session has removed the listener from
    /// [`Listeners`] before this call. The request goes to every stream, even if the listener has no topic there,
    /// because that stream may be about to bring the listener into its first conversation.
    ///
    /// A task that has found the listener finishes with it before it reaches this request, and cannot find the listener
    /// afterwards, so no topic keeps it. In the other order (this call first, the list second), a task could find the
    /// listener between the two and keep it for ever.
    pub(in crate::gateway) async fn leave(&self, listener: Arc<Listener>) {
        for stream in &*self.streams {
            // Sending fails only if the hub has stopped.
            let _ = stream.send(Request::Leave(listener.clone())).await;
        }
    }

    /// Passes on a presence change. Waits while the hub is busy, because the end of a presence is sent only once.
    pub(in crate::gateway) async fn presence(&self, recorded: Recorded, hidden_from: Blocklist) {
        let stream = self.log.stream_of(recorded.conversation);
        let request = Request::Presence(Box::new(recorded), hidden_from);
        let _ = timeout(DEADLINE, self.streams[stream].send(request)).await;
    }

    /// Passes on that a user is typing, unless the hub is busy.
    pub(in crate::gateway) fn typing(&self, conversation: ConversationId, user: UserId) {
        let stream = self.log.stream_of(conversation);
        let _ = self.streams[stream].try_send(Request::Typing(conversation, user));
    }

    /// The beats of the streams that answer in time. For each stream, `told` has the number of the last beat that was
    /// sent completely. Heads that have moved since are named again until a later beat has been sent.
    pub(in crate::gateway) async fn beat(&self, told: &[u64]) -> Vec<Beat> {
        let asked = told
            .iter()
            .enumerate()
            .map(|(stream, told)| self.ask(stream, BEAT, |answer| Request::Beat(*told, answer)));
        join_all(asked).await.into_iter().flatten().collect()
    }

    /// The number of streams.
    pub(in crate::gateway) fn streams(&self) -> usize {
        self.streams.len()
    }

    async fn ask<T>(
        &self,
        stream: usize,
        within: Duration,
        request: impl FnOnce(oneshot::Sender<T>) -> Request,
    ) -> Result<T, Lagging> {
        let (answer, answered) = oneshot::channel();
        let asked = async {
            self.streams[stream].send(request(answer)).await.map_err(|_| Lagging)?;
            answered.await.map_err(|_| Lagging)
        };
        timeout(within, asked).await.map_err(|_| Lagging)?
    }
}
