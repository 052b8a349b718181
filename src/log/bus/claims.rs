//! Claims decide which node does a piece of work that only one node may do at a time. A claim is a lease in a bucket in
//! the memory of the servers, and only the node that holds the claim can renew it.
//!
//! A claim is a promise about time, and a node that was frozen notices late that its claim has expired. So the holder
//! also gets a fence from the database, a number that rises with each holder, and writes of earlier holders are refused
//! (`hooks/`).

use std::{
    collections::HashSet, fmt::Display, hash::Hash, marker::PhantomData, str::FromStr, time::Duration,
};

use async_nats::{
    HeaderMap,
    jetstream::{
        kv::{Config, CreateErrorKind, Store, UpdateErrorKind},
        stream::StorageType,
    },
};
use serde_json::json;
use uuid::Uuid;

use crate::{
    domain::WebhookId,
    log::{Log, NodeId, Unavailable},
};

/// A claim that has not been renewed for this long is free.
pub(crate) const CLAIM: Duration = Duration::from_secs(10);
/// The bucket of the claims on webhooks.
const HOOKS: &str = "verbatim_hooks";
/// The stream that stores the bucket.
pub(in crate::log) const HOOKS_STREAM: &str = "KV_verbatim_hooks";
/// The header that marks an entry whose claim was released.
const MARK: &str = "KV-Operation";
/// Room for a few thousand claims.
const BYTES: i64 = 1 << 20;

/// The bucket of the claims on archives, and its stream.
const ARCHIVES: &str = "verbatim_archive";
pub(in crate::log) const ARCHIVES_STREAM: &str = "KV_verbatim_archive";

/// The name of a piece of work.
pub(crate) trait Claimable: Copy + Eq + Hash + Display + FromStr {}
impl<W: Copy + Eq + Hash + Display + FromStr> Claimable for W {}

/// The claims of all nodes on work of one kind. Cheap to clone.
#[derive(Clone)]
pub(crate) struct ClaimBucket<W = WebhookId> {
    log: Log,
    store: Store,
    stream: &'static str,
    of: PhantomData<W>,
}

/// A claim that this node holds, until it is renewed or expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Claim<W = WebhookId> {
    /// The work.
    pub work: W,
    revision: u64,
}

impl Log {
    /// Opens the bucket of the claims on webhooks, and creates it if it is missing.
    pub(crate) async fn claims(&self) -> Result<ClaimBucket<WebhookId>, Unavailable> {
        self.bucket(HOOKS, HOOKS_STREAM).await
    }

    /// The same for the claims on archives, which are named by a hash of their location.
    pub(crate) async fn archive_claims(&self) -> Result<ClaimBucket<Uuid>, Unavailable> {
        self.bucket(ARCHIVES, ARCHIVES_STREAM).await
    }

    async fn bucket<W>(
        &self,
        name: &'static str,
        stream: &'static str,
    ) -> Result<ClaimBucket<W>, Unavailable> {
        let config = Config {
            bucket: name.to_owned(),
            storage: StorageType::Memory,
            history: 1,
            max_age: CLAIM,
            max_bytes: BYTES,
            num_replicas: self.layout.replicas,
            ..Config::default()
        };
        let store = match self.jetstream.create_key_value(config).await {
            Ok(made) => made,
            // A bucket that exists with other settings stays as it is.
            Err(_) => self.jetstream.get_key_value(name).await.map_err(Unavailable::because)?,
        };
        Ok(ClaimBucket { log: self.clone(), store, stream, of: PhantomData })
    }
}

impl<W: Claimable> ClaimBucket<W> {
    /// The work that is claimed by any node. A lagging replica may answer with an older state, which costs a failed
    /// attempt to claim, or a short delay.
    pub(crate) async fn claimed(&self) -> Result<HashSet<W>, Unavailable> {
        let all = json!({ "multi_last": [format!("{}>", self.store.prefix)] });
        let found = self.log.direct_of(self.stream, &all).await?;
        // The entry of a released claim is marked by a header, and stays for as long as a claim would.
        let is_given_back = |headers: Option<&HeaderMap>| headers.is_some_and(|all| all.get(MARK).is_some());
        let held = found.iter().filter(|found| !is_given_back(found.message.headers.as_ref()));
        Ok(held.filter_map(|found| found.subject.strip_prefix(&self.store.prefix)?.parse().ok()).collect())
    }

    /// Claims work; `None` if another node has it.
    pub(crate) async fn take(&self, work: W, node: &NodeId) -> Result<Option<Claim<W>>, Unavailable> {
        match self.store.create(work.to_string(), node.to_string().into()).await {
            Ok(revision) => Ok(Some(Claim { work, revision })),
            Err(e) if e.kind() == CreateErrorKind::AlreadyExists => Ok(None),
            Err(e) => Err(Unavailable::because(e)),
        }
    }

    /// Renews a claim; `None` if it has expired.
    pub(crate) async fn renew(
        &self,
        claim: Claim<W>,
        node: &NodeId,
    ) -> Result<Option<Claim<W>>, Unavailable> {
        let Claim { work, revision } = claim;
        match self.store.update(work.to_string(), node.to_string().into(), revision).await {
            Ok(revision) => Ok(Some(Claim { work, revision })),
            Err(e) if e.kind() == UpdateErrorKind::WrongLastRevision => Ok(None),
            Err(e) => Err(Unavailable::because(e)),
        }
    }

    /// Releases a claim, unless it has expired.
    pub(crate) async fn give_back(&self, claim: Claim<W>) -> Result<(), Unavailable> {
        let key = claim.work.to_string();
        self.store.purge_expect_revision(key, Some(claim.revision)).await.map_err(Unavailable::because)
    }
}
