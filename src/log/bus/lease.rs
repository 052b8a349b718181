//! The presence board: two buckets in the memory of the servers. One has the leases of the nodes, and a node counts as
//! alive while it renews its lease. The other has an entry for each user on each node.

use std::{collections::HashSet, error::Error, fmt, str::FromStr as _, time::Duration};

use async_nats::jetstream::{
    self, ErrorCode,
    kv::{Config, CreateErrorKind, Entry, Operation, Store, Watch, WatchError},
    stream::StorageType,
};
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, future::BoxFuture};
use serde::{Deserialize, Serialize};
use tokio::{sync::watch, time::sleep};

use crate::{
    domain::{Status, Time, UserId},
    log::{Log, Unavailable, streams::layout},
};

/// A node that has not renewed its lease for this long counts as dead.
pub const LEASE: Duration = Duration::from_secs(12);

/// The bucket of the nodes.
const NODES: &str = "verbatim_nodes";
/// The streams that store the buckets.
pub(in crate::log) const NODES_STREAM: &str = "KV_verbatim_nodes";
pub(in crate::log) const HERE_STREAM: &str = "KV_verbatim_here";
/// Room for the leases of a few thousand nodes.
const NODES_BYTES: i64 = 1 << 20;
/// Room for some 250,000 connected users.
const HERE_BYTES: i64 = 64 << 20;
/// The bytes of each entry, filled up with spaces. A full bucket takes a message only if it is not larger than the one
/// that it replaces: so it still takes the end of a user, and the marker of its removal, which has up to 125 bytes.
const ENTRY: usize = 128;
/// How long the marker of a removed entry stays. A watch that breaks off for longer may miss the removal, so a new watch
/// says that it begins anew.
pub(crate) const MARKER: Duration = Duration::from_secs(300);

/// How long to wait before the board is watched again.
const PAUSE: Duration = Duration::from_millis(250);

/// One running process.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(String);

impl NodeId {
    /// A name that no other process has.
    pub fn new() -> Self {
        Self(crate::clock::name().simple().to_string())
    }
}

impl Default for NodeId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The status of a user on a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Here {
    /// `offline`: the last session on that node has ended.
    pub status: Status,
    /// When the status began.
    pub at: Time,
    /// The node that wrote the entry: the user's own, or another one that found that node dead.
    pub by: NodeId,
}

/// What a watch of the board tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeaseNews {
    /// The changes begin again, with all existing entries. Removals may have been missed.
    Anew,
    /// An entry has changed.
    Changed(LeaseChange),
}

/// Why an entry was not written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotKept {
    /// The servers do not store the entry: the bucket is full.
    #[error("the bucket {HERE_STREAM} does not take the entry: {0}")]
    Full(String),
    /// The servers do not answer.
    #[error(transparent)]
    Unavailable(Unavailable),
}

/// A change of an entry, in an order that is the same for all nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseChange {
    /// The user of the entry.
    pub user: UserId,
    /// The node of the entry.
    pub node: NodeId,
    /// The entry as it is now; `None`: it has been removed.
    pub here: Option<Here>,
    /// The version of the entry.
    pub revision: u64,
}

/// The two buckets. Cheap to clone.
#[derive(Clone)]
pub struct Leases {
    nodes: Store,
    here: Store,
    connections: watch::Sender<u64>,
}

/// The changes of all entries, in one order for all nodes.
pub struct LeaseChanges {
    here: Store,
    watch: Option<Watch>,
    /// The bucket is in memory: after a reconnect it may be a new one, whose revisions start over, and a watch that
    /// continues after an old revision would wait for ever.
    connections: watch::Receiver<u64>,
    /// The watch that is being started. It is kept when a call of `next` is cancelled; otherwise each cancelled call
    /// would leave a consumer behind.
    begun: Option<BoxFuture<'static, Result<Watch, WatchError>>>,
}

impl Log {
    /// Opens the buckets, and creates those that are missing.
    pub async fn leases(&self) -> Result<Leases, Unavailable> {
        // The server reserves all of `max_bytes`, however little is used.
        let bucket = |bucket: &str, max_age, max_bytes, limit_markers| Config {
            bucket: bucket.to_owned(),
            storage: StorageType::Memory,
            history: 1,
            max_age,
            max_bytes,
            num_replicas: self.layout.replicas,
            limit_markers,
            ..Config::default()
        };
        let open = async |config: Config| {
            let bucket = config.bucket.clone();
            match self.jetstream.create_key_value(config).await {
                Ok(made) => Ok(made),
                // A bucket that exists with other settings stays as it is, until its settings are mended.
                Err(_) => self.jetstream.get_key_value(bucket).await.map_err(Unavailable::because),
            }
        };
        Ok(Leases {
            nodes: open(bucket(NODES, LEASE, NODES_BYTES, None)).await?,
            here: open(bucket("verbatim_here", Duration::ZERO, HERE_BYTES, Some(MARKER))).await?,
            connections: self.connections.clone(),
        })
    }
}

impl Log {
    /// The living nodes, each with the number of sessions in its last lease. The list is empty if no node has ever run.
    /// Creates nothing.
    pub async fn nodes(&self) -> Result<Vec<(NodeId, u64)>, Unavailable> {
        match self.jetstream.get_stream(NODES_STREAM).await {
            Ok(_) => {
                sessions(&self.jetstream.get_key_value(NODES).await.map_err(Unavailable::because)?).await
            }
            Err(e) if layout::is_not_found(e.kind()) => Ok(Vec::new()),
            Err(e) => Err(Unavailable::because(e)),
        }
    }
}

/// Asks the leader of the bucket for the keys. Reading the keys would need a consumer each time, which lingers for half
/// a minute, and a lagging replica would not know all living nodes.
async fn alive(nodes: &Store) -> Result<HashSet<NodeId>, Unavailable> {
    let keys = nodes.stream.info_with_subjects(format!("{}>", nodes.prefix)).await;
    let keys: Vec<(String, usize)> =
        keys.map_err(Unavailable::because)?.try_collect().await.map_err(Unavailable::because)?;
    let node = |subject: &str| subject.strip_prefix(&nodes.prefix).map(|node| NodeId(node.to_owned()));
    Ok(keys.iter().filter_map(|(subject, _)| node(subject)).collect())
}

async fn sessions(nodes: &Store) -> Result<Vec<(NodeId, u64)>, Unavailable> {
    let mut sessions = Vec::new();
    for node in alive(nodes).await? {
        let said = nodes.get(node.to_string()).await.map_err(Unavailable::because)?;
        let count = said.and_then(|said| std::str::from_utf8(&said).ok()?.parse().ok());
        sessions.extend(count.map(|count| (node, count)));
    }
    sessions.sort_unstable();
    Ok(sessions)
}

impl Leases {
    /// Renews the lease of a node, with the number of its sessions.
    pub async fn renew(&self, node: &NodeId, sessions: u64) -> Result<(), Unavailable> {
        self.nodes
            .put(node.to_string(), sessions.to_string().into())
            .await
            .map(drop)
            .map_err(Unavailable::because)
    }

    /// The living nodes.
    pub async fn alive(&self) -> Result<HashSet<NodeId>, Unavailable> {
        alive(&self.nodes).await
    }

    /// Writes the entry of a user on a node.
    pub(crate) async fn put(&self, user: UserId, node: &NodeId, here: &Here) -> Result<(), NotKept> {
        let put = self.here.put(key(user, node), value(here)?).await;
        put.map(drop).map_err(|e| not_kept(&e))
    }

    /// Writes the entry of a user on a node, unless there is one.
    pub(crate) async fn put_if_missing(
        &self,
        user: UserId,
        node: &NodeId,
        here: &Here,
    ) -> Result<(), NotKept> {
        match self.here.create(key(user, node), value(here)?).await {
            Err(e) if e.kind() != CreateErrorKind::AlreadyExists => Err(not_kept(&e)),
            _ => Ok(()),
        }
    }

    /// Removes an entry that is no longer needed, provided that it still has that revision: the user may have come back
    /// in the meantime. A marker tells the watches, and goes by itself.
    pub(crate) async fn clear(
        &self,
        user: UserId,
        node: &NodeId,
        revision: u64,
        marker: Duration,
    ) -> Result<(), Unavailable> {
        let cleared = self.here.purge_expect_revision_with_ttl(key(user, node), revision, marker).await;
        cleared.map_err(Unavailable::because)
    }

    /// Watches all entries.
    pub fn changes(&self) -> LeaseChanges {
        let (here, connections) = (self.here.clone(), self.connections.subscribe());
        LeaseChanges { here, watch: None, connections, begun: None }
    }
}

impl LeaseChanges {
    /// The next news. The changes begin with all existing entries, and may start over after an outage. Safe to
    /// cancel.
    pub async fn next(&mut self) -> LeaseNews {
        loop {
            let Some(watch) = &mut self.watch else {
                let here = self.here.clone();
                let begin = || async move {
                    let begun = here.watch_with_history(">").await;
                    if let Err(e) = &begun {
                        tracing::debug!(error = %e, "cannot watch the board yet");
                        sleep(PAUSE).await;
                    }
                    begun
                };
                let begun = self.begun.get_or_insert_with(|| begin().boxed()).await;
                self.begun = None;
                self.watch = begun.ok();
                if self.watch.is_some() {
                    return LeaseNews::Anew;
                }
                continue;
            };
            let next = tokio::select! {
                next = watch.next() => next,
                _ = self.connections.changed() => {
                    self.watch = None;
                    continue;
                }
            };
            match next {
                Some(Ok(entry)) => {
                    if let Some(change) = read(&entry) {
                        return LeaseNews::Changed(change);
                    }
                }
                other => {
                    tracing::debug!(?other, "watching the board again");
                    self.watch = None;
                }
            }
        }
    }
}

fn key(user: UserId, node: &NodeId) -> String {
    format!("{user}.{node}")
}

fn value(here: &Here) -> Result<Bytes, NotKept> {
    let value = serde_json::to_string(here).map_err(|e| NotKept::Unavailable(Unavailable::because(e)))?;
    Ok(format!("{value:<ENTRY$}").into())
}

/// The reason by its first cause, the answer of JetStream if there is one.
fn not_kept(error: &(dyn Error + 'static)) -> NotKept {
    let mut causes = std::iter::successors(Some(error), |error| Error::source(*error));
    let answer = causes.find_map(|cause| cause.downcast_ref::<jetstream::Error>());
    match answer.filter(|answer| answer.error_code() == ErrorCode::STREAM_STORE_FAILED) {
        Some(answer) => NotKept::Full(answer.to_string()),
        None => NotKept::Unavailable(Unavailable::because(error)),
    }
}

fn read(entry: &Entry) -> Option<LeaseChange> {
    let (user, node) = entry.key.split_once('.')?;
    let here = match entry.operation {
        Operation::Put => Some(serde_json::from_slice(&entry.value).ok()?),
        Operation::Delete | Operation::Purge => None,
    };
    let user = UserId::from_str(user).ok()?;
    Some(LeaseChange { user, node: NodeId(node.to_owned()), here, revision: entry.revision })
}
