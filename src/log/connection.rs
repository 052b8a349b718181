//! A connection to the log, with the parts that all readers and writers of this process share. Reading, appending and
//! upkeep are in `impl Log` blocks of other files, on which this file does not depend.

use std::sync::Arc;

use async_nats::{Client, jetstream};
use tokio::{sync::watch, time::Instant};

use crate::{
    domain::{ConversationId, Epoch},
    log::{
        connect::{self, NatsServers},
        errors::{OpenError, Unavailable},
        limits::REQUEST_TIMEOUT,
        memory::{
            age::Signs, erased::Erased, gathered::Gathered, holes::Seen, known::Known, outcomes::Outcomes,
            places::Places, reports::Reports, snapshots::Snapshots, tail::Tail, window::Window,
        },
        public_url::PublicUrl,
        streams::{
            layout::{self, Layout, Wanted},
            maker::{Maker, Refusals},
        },
        subject,
        write::commit::Queue,
    },
    overload::Shortest,
    supervise::Supervisor,
};

/// A connection to the log. Cheap to clone.
#[derive(Clone)]
pub struct Log {
    pub(in crate::log) client: Client,
    pub(in crate::log) jetstream: jetstream::Context,
    pub(in crate::log) layout: Layout,
    pub(in crate::log) epoch: Epoch,
    pub(in crate::log) former: Arc<[Epoch]>,
    pub(in crate::log) queues: Arc<[Queue]>,
    pub(in crate::log) known: Arc<[Known]>,
    pub(in crate::log) tails: Arc<[Tail]>,
    pub(in crate::log) windows: Arc<[Window]>,
    pub(in crate::log) places: Places,
    pub(in crate::log) seen: Arc<[Seen]>,
    pub(in crate::log) gathered: Arc<[Gathered]>,
    pub(in crate::log) erased: Arc<[Erased]>,
    pub(in crate::log) connections: watch::Sender<u64>,
    pub(in crate::log) works: watch::Sender<bool>,
    pub(in crate::log) outcomes: Outcomes,
    pub(in crate::log) waited: Shortest,
    pub(in crate::log) signs: Signs,
    pub(in crate::log) reports: Reports,
    pub(in crate::log) snapshots: Snapshots,
    pub(in crate::log) public_url: Option<Arc<PublicUrl>>,
    pub(in crate::log) maker: Maker,
}

/// A connection to the servers, before the log is known.
struct Connection {
    client: Client,
    maker: Maker,
    connections: watch::Sender<u64>,
    works: watch::Sender<bool>,
}

impl Connection {
    async fn to(servers: NatsServers) -> Result<Self, OpenError> {
        let (connections, works) = (watch::Sender::new(0), watch::Sender::new(true));
        let refusals = Refusals::default();
        let noted = connect::Noted {
            connections: connections.clone(),
            works: works.clone(),
            refusals: refusals.clone(),
        };
        let client = connect::connect(&servers, noted).await?;
        let mut jetstream = jetstream::new(client.clone());
        jetstream.set_timeout(REQUEST_TIMEOUT);
        Ok(Self { client, maker: Maker { jetstream, refusals }, connections, works })
    }

    fn with(self, found: layout::Found, tasks: &Supervisor) -> Log {
        let Self { client, maker, connections, works } = self;
        let layout::Found { epoch, former, layout, .. } = found;
        let known: Arc<[Known]> = (0..layout.streams).map(|_| Known::default()).collect();
        let tails = (0..layout.streams).map(|_| Tail::default()).collect();
        let windows = (0..layout.streams).map(|_| Window::default()).collect();
        let outcomes = Outcomes::default();
        let waited = Shortest::default();
        let queue = |(stream, known): (usize, &Known)| {
            let name = layout::name(stream);
            Queue::start(name, client.clone(), known.clone(), layout.replicas, &outcomes, &waited, tasks)
        };
        let queues = known.iter().enumerate().map(queue).collect();
        let places = Places::default();
        let erased = (0..layout.streams).map(|_| Erased::default()).collect();
        let seen = (0..layout.streams).map(|_| Seen::default()).collect();
        let gathered = (0..layout.streams).map(|_| Gathered::default()).collect();
        Log {
            client,
            jetstream: maker.jetstream.clone(),
            layout,
            epoch,
            former: former.into(),
            queues,
            known,
            tails,
            windows,
            places,
            seen,
            gathered,
            erased,
            connections,
            works,
            outcomes,
            waited,
            signs: Signs::of(layout.streams),
            reports: Reports::default(),
            snapshots: Snapshots::none(),
            public_url: None,
            maker,
        }
    }
}

impl Log {
    /// Connects to one of the servers and inspects the existing log. Creates and changes nothing.
    pub async fn open(
        servers: impl Into<NatsServers>,
        wanted: Wanted,
        tasks: &Supervisor,
    ) -> Result<Self, OpenError> {
        let connection = Connection::to(servers.into()).await?;
        let found = layout::look(&connection.maker.jetstream, wanted).await?;
        Ok(connection.with(found, tasks))
    }

    /// The same for a log that is being restored.
    pub(crate) async fn open_restored(
        servers: impl Into<NatsServers>,
        tasks: &Supervisor,
    ) -> Result<Self, OpenError> {
        let connection = Connection::to(servers.into()).await?;
        let found = layout::look_at_restored(&connection.maker.jetstream).await?;
        Ok(connection.with(found, tasks))
    }

    /// The same, but creates a log if there is none, with this number of streams unless `wanted` says another number. A
    /// log that has events and has lost a stream is refused.
    pub async fn make(
        servers: impl Into<NatsServers>,
        wanted: Wanted,
        streams: usize,
        tasks: &Supervisor,
    ) -> Result<Self, OpenError> {
        let connection = Connection::to(servers.into()).await?;
        let found = layout::make(&connection.maker, wanted, streams).await?;
        Ok(connection.with(found, tasks))
    }

    /// Creates the streams that a log has lost, as empty streams, and begins a new epoch. If all are lost, there will be as
    /// many as the operator wants, or else `streams`. `known` are the epochs that the database knows, the latest one last.
    pub async fn make_what_is_missing(
        servers: impl Into<NatsServers>,
        wanted: Wanted,
        streams: Option<usize>,
        known: Vec<Epoch>,
        tasks: &Supervisor,
    ) -> Result<Self, OpenError> {
        let connection = Connection::to(servers.into()).await?;
        let found = layout::make_what_is_missing(&connection.maker, wanted, streams, known).await?;
        Ok(connection.with(found, tasks))
    }

    /// Begins a new epoch of a log at the same positions. No cursor of the old epoch is valid in it. `known` are the epochs
    /// that the database knows, the latest one last.
    pub async fn begin_epoch(servers: impl Into<NatsServers>, known: Vec<Epoch>) -> Result<Epoch, OpenError> {
        layout::begin_epoch(&Connection::to(servers.into()).await?.maker, known).await
    }

    /// The same log, with long rosters read from snapshots on.
    pub fn with_snapshots(self, snapshots: Snapshots) -> Self {
        Self { snapshots, ..self }
    }

    /// The same log, with events that name their schemas under this URL.
    pub fn with_public_url(self, public_url: Option<PublicUrl>) -> Self {
        Self { public_url: public_url.map(Arc::new), ..self }
    }

    /// Whether the log has another epoch by now than when this process opened it.
    pub(crate) async fn is_replaced(&self) -> Result<bool, Unavailable> {
        let first = self.jetstream.get_stream(layout::name(0)).await.map_err(Unavailable::because)?;
        let epoch = first.cached_info().config.metadata.get(layout::EPOCH);
        Ok(epoch.is_none_or(|epoch| *epoch != self.epoch.0))
    }

    /// The epoch of this log, which lasts until a loss or a restore begins another.
    pub fn epoch(&self) -> &Epoch {
        &self.epoch
    }

    /// The epochs that this log had before, the latest one last.
    pub(crate) fn former_epochs(&self) -> &[Epoch] {
        &self.former
    }

    /// The layout of this log.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The name of a stream.
    pub fn stream_name(&self, stream: usize) -> String {
        layout::name(stream)
    }

    /// The stream that a conversation lives in.
    pub fn stream_of(&self, conversation: ConversationId) -> usize {
        subject::stream_of(conversation, self.layout.streams)
    }

    /// Whether there is a connection at this moment.
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == async_nats::connection::State::Connected
    }

    /// Changes with every new connection: signals that were sent in between may have been missed.
    pub fn connections(&self) -> watch::Receiver<u64> {
        self.connections.subscribe()
    }

    /// Whether events can be appended at present, judging by the appends under way.
    pub fn works(&self) -> watch::Receiver<bool> {
        self.works.subscribe()
    }

    /// How long appends have waited for their acknowledgements.
    pub(crate) fn waited(&self) -> &Shortest {
        &self.waited
    }

    /// How many appends wait for their acknowledgement at this moment.
    pub(crate) fn appends_waiting(&self) -> usize {
        self.queues.iter().map(Queue::waiting).sum()
    }

    pub(in crate::log) fn known(&self, conversation: ConversationId) -> &Known {
        &self.known[self.stream_of(conversation)]
    }

    /// Whether this process has heard from a stream recently enough to authorise by its rosters.
    pub fn is_current(&self, stream: usize) -> bool {
        self.signs.is_current(stream, Instant::now())
    }

    /// The same for all streams.
    pub fn is_current_everywhere(&self) -> bool {
        (0..self.layout.streams).all(|stream| self.is_current(stream))
    }
}
