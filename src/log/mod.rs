//! What **has** happened: events in JetStream. The only home of subjects, headers and streams.
//!
//! [`Log::append`] and [`Log::append_roster`] write, [`Log::follow`] reads a stream completely and
//! in order, [`Log::fold`] and [`Log::at`] look a conversation up.

pub mod bus;
mod connect;
mod contract;
mod envelope;
mod public_url;
pub mod read;
pub mod streams;
mod subject;
pub mod write;

use std::{sync::Arc, time::Duration};

use async_nats::{Client, jetstream};
use tokio::sync::watch;

pub use bus::lease::{Here, LEASE, LeaseChange, LeaseChanges, Leases, NodeId};
pub use bus::peers::{Peer, Peers};
pub use bus::signal::{Signal, Signals};
pub use connect::BadUrl;
pub use contract::{channels, schema_files, schemas};
pub use envelope::{Draft, Malformed, Recorded, type_name};
pub use public_url::PublicUrl;
pub use read::fold::{FOLDS, Snapshots};
pub use read::follow::{Damaged, Follower, PresenceFollower};
pub use read::gaps::{Hole, NotRead};
pub use read::points::{Found, Holds};
pub use read::replay::{PAGE, PAGE_BYTES, Replay};
pub use streams::durability::Durability;
pub use streams::layout::{DUPLICATE_WINDOW, Layout, MAX_EVENT_BYTES, Wanted};
pub use streams::level::{CONTRACT, Contract};
pub use streams::mend::Mended;
pub use streams::survey::{StreamSeen, Survey};
pub use write::append::{Appended, Conflict, NotAppended, Unavailable};

use streams::maker::{Maker, Refusals};

use crate::{
    domain::{ConversationId, Epoch, Position},
    supervise::Supervisor,
};

/// How long an append is retried before the answer is 503.
pub const APPEND_DEADLINE: Duration = Duration::from_secs(10);
/// How long one request to the log may take before it is tried again.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);

/// A connection to the log. Cheap to clone.
#[derive(Clone)]
pub struct Log {
    client: Client,
    jetstream: jetstream::Context,
    layout: Layout,
    epoch: Epoch,
    queues: Arc<[write::commit::Queue]>,
    known: Arc<[read::known::Known]>,
    tails: Arc<[read::tail::Tail]>,
    windows: Arc<[write::window::Window]>,
    places: read::consumers::Places,
    seen: Arc<[read::gaps::Seen]>,
    connections: watch::Sender<u64>,
    works: watch::Sender<bool>,
    outcomes: streams::survey::Outcomes,
    signs: read::age::Signs,
    snapshots: Snapshots,
    public_url: Option<Arc<PublicUrl>>,
    maker: Maker,
}

/// A connection to the servers, before the log is known.
struct Connection {
    client: Client,
    maker: Maker,
    connections: watch::Sender<u64>,
    works: watch::Sender<bool>,
}

/// Why the log could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The address of nats-server is none.
    #[error(transparent)]
    Url(#[from] BadUrl),
    /// nats-server cannot be reached.
    #[error("cannot connect to NATS: {0}")]
    Connect(String),
    /// nats-server refuses the credentials, again and again.
    #[error(
        "nats-server refuses user and password ({0}): compare those in VERBATIM_NATS_URL, where all but letters and \
         digits is percent-encoded, with the server's"
    )]
    Refused(String),
    /// nats-server takes only smaller messages than events may be.
    #[error(
        "nats-server takes messages of up to {found} bytes, and events have up to {MAX_EVENT_BYTES}: set `max_payload` in \
         its configuration to {MAX_EVENT_BYTES} or more (its default is 1MB)"
    )]
    Small {
        /// Its `max_payload`.
        found: usize,
    },
    /// The number of streams or a stream of that name does not fit.
    #[error("{0}")]
    Layout(String),
    /// None of its streams is there.
    #[error(
        "there is no log: none of its streams exists. A new installation gets one by `verbatim migrate`; a log that was \
         lost is restored from a backup (\"Disasters\" in deploy/README.md)"
    )]
    NoLog,
    /// This version is too old to read it.
    #[error(
        "this version is too old for the log: {stream} may be read from contract level {needed} on, and this version \
         reads up to level {}. Run the version that wrote the log, or a newer one",
        CONTRACT.reads
    )]
    TooOld {
        /// Which of its streams says so.
        stream: String,
        /// The level that a reader must have at least.
        needed: String,
    },
    /// Some of its streams are not there.
    #[error(
        "the log is incomplete: {0} missing. Restore from a backup (\"Disasters\" in deploy/README.md); only if there \
         is none, `verbatim log recreate` makes what is missing, empty"
    )]
    Missing(String),
    /// This user may not make or change streams.
    #[error(
        "this NATS user may not make or change streams (nats-server refuses {0}), but an operator's user may. Run \
         `verbatim migrate`, or the `verbatim log` command that you need, with the URL of that user in \
         VERBATIM_NATS_OPERATOR_URL"
    )]
    Forbidden(String),
    /// JetStream does not answer, or refused to make or to update a stream.
    #[error("cannot open the streams: {0}")]
    Streams(String),
}

impl Connection {
    async fn to(url: &str) -> Result<Self, OpenError> {
        let (connections, works) = (watch::Sender::new(0), watch::Sender::new(true));
        let refusals = Refusals::default();
        let noted = connect::Noted {
            connections: connections.clone(),
            works: works.clone(),
            refusals: refusals.clone(),
        };
        let client = connect::connect(url, noted).await?;
        let mut jetstream = jetstream::new(client.clone());
        jetstream.set_timeout(REQUEST_TIMEOUT);
        Ok(Self { client, maker: Maker { jetstream, refusals }, connections, works })
    }

    fn with(self, found: streams::layout::Found, tasks: &Supervisor) -> Log {
        let Self { client, maker, connections, works } = self;
        let streams::layout::Found { epoch, layout, .. } = found;
        let known: Arc<[read::known::Known]> =
            (0..layout.streams).map(|_| read::known::Known::default()).collect();
        let tails = (0..layout.streams).map(|_| read::tail::Tail::default()).collect();
        let windows = (0..layout.streams).map(|_| write::window::Window::default()).collect();
        let outcomes = streams::survey::Outcomes::default();
        let queue = |known: &read::known::Known| {
            write::commit::Queue::start(client.clone(), known.clone(), layout.replicas, &outcomes, tasks)
        };
        let queues = known.iter().map(queue).collect();
        let places = read::consumers::Places::default();
        let seen = (0..layout.streams).map(|_| read::gaps::Seen::default()).collect();
        Log {
            client,
            jetstream: maker.jetstream.clone(),
            layout,
            epoch,
            queues,
            known,
            tails,
            windows,
            places,
            seen,
            connections,
            works,
            outcomes,
            signs: read::age::Signs::of(layout.streams),
            snapshots: Snapshots::none(),
            public_url: None,
            maker,
        }
    }
}

impl Log {
    /// Connects to one of the servers in `url`, a comma-separated list, and looks at the log that is
    /// there. Nothing is made or changed.
    pub async fn open(url: &str, wanted: Wanted, tasks: &Supervisor) -> Result<Self, OpenError> {
        let connection = Connection::to(url).await?;
        let found = streams::layout::look(&connection.maker.jetstream, wanted).await?;
        Ok(connection.with(found, tasks))
    }

    /// The same; but where there is no log one is made, with so many streams unless something else is
    /// wanted. A log that has lost a stream stays lost.
    pub async fn make(
        url: &str,
        wanted: Wanted,
        streams: usize,
        tasks: &Supervisor,
    ) -> Result<Self, OpenError> {
        let connection = Connection::to(url).await?;
        let found = streams::layout::make(&connection.maker, wanted, streams).await?;
        Ok(connection.with(found, tasks))
    }

    /// Makes the streams that a log has lost, empty, and begins a new life of it.
    pub async fn make_what_is_missing(
        url: &str,
        wanted: Wanted,
        streams: usize,
        tasks: &Supervisor,
    ) -> Result<Self, OpenError> {
        let connection = Connection::to(url).await?;
        let found = streams::layout::make_what_is_missing(&connection.maker, wanted, streams).await?;
        Ok(connection.with(found, tasks))
    }

    /// Begins a new life of a log at the same positions, in which no cursor of the old one counts.
    pub async fn begin_epoch(url: &str) -> Result<Epoch, OpenError> {
        streams::layout::begin_epoch(&Connection::to(url).await?.maker).await
    }

    /// Makes what lies in the memory of the servers only, where it is missing: the stream of presence
    /// changes and the buckets of leases.
    pub async fn make_volatile(&self) -> Result<(), OpenError> {
        streams::layout::make_presence(&self.maker, self.layout).await?;
        self.leases().await.map(drop).map_err(streams::layout::refused)
    }

    /// The streams from which nothing could ever be erased: `deny_delete` is set, and cannot be unset.
    pub async fn never_erased(&self) -> Result<Vec<String>, OpenError> {
        let found = streams::layout::look(&self.jetstream, Wanted::default()).await?;
        Ok(found.deny_delete().map(str::to_owned).collect())
    }

    /// The same log; long rosters are read from snapshots on.
    pub fn with_snapshots(self, snapshots: Snapshots) -> Self {
        Self { snapshots, ..self }
    }

    /// The same log; its events name their schemas under this URL.
    pub fn with_public_url(self, public_url: Option<PublicUrl>) -> Self {
        Self { public_url: public_url.map(Arc::new), ..self }
    }

    /// The life of this log.
    pub fn epoch(&self) -> &Epoch {
        &self.epoch
    }

    /// How it is laid out.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Which stream a conversation lives in.
    pub fn stream_of(&self, conversation: ConversationId) -> usize {
        subject::stream_of(conversation, self.layout.streams)
    }

    /// Whether the connection stands at this moment.
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == async_nats::connection::State::Connected
    }

    /// Changes with every connection that is made: what was told meanwhile may have been missed.
    pub fn connections(&self) -> watch::Receiver<u64> {
        self.connections.subscribe()
    }

    /// Whether events can be appended at present, as far as those tell that are under way.
    pub fn works(&self) -> watch::Receiver<bool> {
        self.works.subscribe()
    }

    /// The last position of a stream. What is looked up later is at least as new.
    pub async fn last(&self, stream: usize) -> Result<Position, Unavailable> {
        let last = self.last_by_leader(stream).await?;
        match self.learn(stream, last).await {
            // Of an event that was deleted just there nothing can be learnt.
            Ok(()) | Err(NotRead::Damaged(_)) => Ok(last),
            Err(NotRead::Unavailable(e)) => Err(e),
        }
    }

    async fn last_by_leader(&self, stream: usize) -> Result<Position, Unavailable> {
        Ok(self.extent(stream).await?.last)
    }

    fn known(&self, conversation: ConversationId) -> &read::known::Known {
        &self.known[self.stream_of(conversation)]
    }
}

/// Notes whether the log works, and wakes those who wait for a change of it.
fn note(works: &watch::Sender<bool>, now: bool) {
    works.send_if_modified(|works| std::mem::replace(works, now) != now);
}
