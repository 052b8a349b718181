//! Which endpoints this node owns: claims endpoints that no node has, renews the claims, and starts and ends owners.

use std::{
    collections::{HashMap, HashSet},
    panic::resume_unwind,
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use sqlx::PgPool;
use tokio::{
    sync::watch,
    task::{Id, JoinError, JoinSet},
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    domain::WebhookId,
    hooks::{
        EndpointProgress, Overview, deliveries,
        endpoints::{self, REASONS},
        progress,
    },
    log::{CLAIM, Claim, ClaimBucket, Log, NodeId, Unavailable},
    supervise::Supervisor,
    telemetry::METRICS,
    webhooks::{
        endpoint::Endpoint,
        owner::{End, Owner, Shared, Word},
        ring::Ring,
        sender::Sender,
        stuck::StuckEndpoints,
    },
};

/// How often the keeper reads the endpoints.
const LOOK: Duration = Duration::from_secs(1);
/// How often a claim is renewed.
const RENEW: Duration = Duration::from_secs(3);
/// A claim counts as lost once its last renewal began this long ago, well before another node can get it.
const OVER: Duration = Duration::from_secs(CLAIM.as_secs() - 2);
/// How long a server may take for an answer.
const ANSWER: Duration = Duration::from_secs(3);
/// The most endpoints that are claimed or renewed concurrently.
const AT_ONCE: usize = 16;
/// How long owners may take to end.
const FINISH: Duration = Duration::from_secs(4);
/// Every how many reads of the endpoints the parked events are counted.
const COUNT: u32 = 10;

/// What the keeper needs.
pub(crate) struct Kept {
    /// The log.
    pub log: Log,
    /// Postgres.
    pub pool: PgPool,
    /// The client and the settings.
    pub sender: Sender,
}

/// The keeper of this node, while it runs.
pub(crate) struct Keeper {
    has_ended: watch::Receiver<bool>,
}

struct Owned {
    claim: Claim,
    /// When the last renewal that succeeded began.
    renewed: Instant,
    word: watch::Sender<Word>,
    task: Id,
}

struct Keeping {
    shared: Shared,
    node: NodeId,
    claims: Option<ClaimBucket>,
    owned: HashMap<WebhookId, Owned>,
    owners: JoinSet<(WebhookId, End)>,
    reads: bool,
    tasks: Supervisor,
    looks: u32,
    stuck: StuckEndpoints,
}

impl Keeper {
    /// Keeps endpoints until `stop` is cancelled.
    pub(crate) fn start(needs: Kept, tasks: &Supervisor, stop: CancellationToken) -> Self {
        let (ending, has_ended) = watch::channel(false);
        let Kept { log, pool, sender } = needs;
        let ring = Ring::new(log.layout().streams);
        let keeping = Keeping {
            shared: Shared { sender, log, pool, ring },
            node: NodeId::new(),
            claims: None,
            owned: HashMap::new(),
            owners: JoinSet::new(),
            reads: false,
            tasks: tasks.clone(),
            looks: 0,
            stuck: StuckEndpoints::default(),
        };
        tasks.spawn("webhooks", async move {
            keeping.run(&stop).await;
            ending.send_replace(true);
            // The process stops, and ends its tasks.
            std::future::pending::<()>().await;
        });
        Self { has_ended }
    }

    /// Waits until the owners have written their progress and other nodes may take over.
    pub(crate) async fn ended(&mut self) {
        let _ = self.has_ended.wait_for(|ended| *ended).await;
    }
}

/// Claims an endpoint. Also returns when the claim began.
async fn take(claims: ClaimBucket, node: NodeId, id: WebhookId) -> Option<(Instant, Claim)> {
    let begun = Instant::now();
    let taken = timeout(ANSWER, claims.take(id, &node)).await.ok()?.ok()?;
    taken.map(|claim| (begun, claim))
}

async fn renew(
    claims: ClaimBucket,
    node: NodeId,
    claim: Claim,
) -> (WebhookId, Instant, Result<Option<Claim>, ()>) {
    let begun = Instant::now();
    let renewed = timeout(ANSWER, claims.renew(claim, &node)).await;
    (claim.work, begun, renewed.map_err(drop).and_then(|renewed| renewed.map_err(drop)))
}

/// Gives a claim back. If that fails, the claim soon expires by itself.
async fn give_back(claims: ClaimBucket, claim: Claim) {
    let _ = timeout(ANSWER, claims.give_back(claim)).await;
}

/// Sets cursors back to the ends of their streams: the log may have been restored from an older copy, and without this,
/// new events would be skipped until the log has grown past its old end. `false` if the log does not answer.
async fn put_back(log: &Log, id: WebhookId, progress: &mut EndpointProgress) -> bool {
    for cursor in &mut progress.cursors {
        if cursor.stream >= log.layout().streams {
            continue;
        }
        let Ok(Ok(end)) = timeout(ANSWER, log.last(cursor.stream)).await else { return false };
        if cursor.position > end {
            tracing::warn!(
                webhook = %id, stream = cursor.stream, cursor = %cursor.position, %end,
                "the cursor of a webhook was beyond the end of the log, which has lost events; reset it to the end"
            );
            cursor.position = end;
        }
    }
    true
}

impl Keeping {
    async fn run(mut self, stop: &CancellationToken) {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut renew = interval(RENEW);
        renew.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(ended) = self.owners.join_next_with_id() => self.has_ended(ended).await,
                // Renewing comes before reading the endpoints, which may wait for Postgres.
                _ = renew.tick() => self.renew().await,
                _ = look.tick() => self.look().await,
            }
        }
        for owned in self.owned.values() {
            owned.word.send_modify(|word| word.is_over = true);
        }
        let ending = async { while self.owners.join_next().await.is_some() {} };
        let _ = timeout(FINISH, ending).await;
        let claims: Vec<Claim> = self.owned.values().map(|owned| owned.claim).collect();
        self.give_back(claims).await;
    }

    async fn give_back(&self, given: Vec<Claim>) {
        let Some(claims) = &self.claims else { return };
        let asks: Vec<_> = given.into_iter().map(|claim| give_back(claims.clone(), claim)).collect();
        stream::iter(asks).buffer_unordered(AT_ONCE).collect::<()>().await;
    }

    async fn look(&mut self) {
        self.looks = self.looks.wrapping_add(1);
        let all = match timeout(ANSWER, endpoints::overview(&self.shared.pool)).await {
            Ok(Ok(all)) => all,
            failed => {
                tracing::debug!(?failed, "cannot read the webhooks yet");
                return;
            }
        };
        if self.looks % COUNT == 1
            && let Ok(Ok(parked)) = timeout(ANSWER, deliveries::parked(&self.shared.pool)).await
        {
            METRICS.webhook_parked.set(parked.iter().map(|(_, count)| count).sum());
        }
        for reason in REASONS {
            let count = all.iter().filter(|seen| seen.disabled == Some(reason)).count();
            METRICS.webhook_disabled.get_or_create(&[("reason", reason)]).set(count as i64);
        }
        METRICS.webhooks_owned.set(self.owned.len() as i64);
        let wanted: HashMap<WebhookId, &Overview> =
            all.iter().filter(|seen| seen.disabled.is_none()).map(|seen| (seen.id, seen)).collect();
        for (id, owned) in &self.owned {
            let seen = wanted.get(id);
            let word = Word { version: seen.map_or(0, |seen| seen.version), is_over: seen.is_none() };
            owned.word.send_if_modified(|now| std::mem::replace(now, word) != word);
        }
        self.stuck.forget_others(|id| wanted.contains_key(&id));
        let free: Vec<WebhookId> = wanted.keys().copied().filter(|id| !self.owned.contains_key(id)).collect();
        if !free.is_empty() {
            self.claim(free).await;
        }
        if self.looks % COUNT == 1 || self.stuck.has_news() {
            let Shared { log, pool, .. } = &self.shared;
            self.stuck.tell(log, pool).await;
        }
    }

    /// Claims endpoints that no node has.
    async fn claim(&mut self, mut free: Vec<WebhookId>) {
        let asked = async {
            let claims = match &self.claims {
                Some(claims) => claims.clone(),
                None => self.shared.log.claims().await?,
            };
            let claimed = claims.claimed().await?;
            Ok::<_, Unavailable>((claims, claimed))
        };
        let (claims, claimed): (ClaimBucket, HashSet<WebhookId>) = match timeout(ANSWER, asked).await {
            Ok(Ok(known)) => known,
            failed => {
                // The bucket is in the memory of the servers, so it may have to be created again.
                self.claims = None;
                let error = format!("{:?}", failed.map(|asked| asked.map(drop)));
                tracing::debug!(error, "cannot claim webhooks yet");
                return;
            }
        };
        self.claims = Some(claims.clone());
        free.retain(|id| !claimed.contains(id));
        if self.shared.sender.master.is_none() {
            let news = free.into_iter().filter(|id| self.stuck.find(*id)).count();
            if news > 0 {
                tracing::warn!(
                    webhooks = news,
                    "could not send events to webhooks: their secrets are encrypted, and VERBATIM_MASTER_KEY_FILE is \
                     not set"
                );
            }
            return;
        }
        let asks: Vec<_> = free.into_iter().map(|id| take(claims.clone(), self.node.clone(), id)).collect();
        let taken: Vec<Option<(Instant, Claim)>> =
            stream::iter(asks).buffer_unordered(AT_ONCE).collect().await;
        for (begun, claim) in taken.into_iter().flatten() {
            self.own(begun, claim).await;
        }
    }

    /// Takes over an endpoint that this node has claimed, and starts its owner.
    async fn own(&mut self, renewed: Instant, claim: Claim) {
        let id = claim.work;
        let Shared { pool, sender, .. } = &self.shared;
        let taking = async {
            let Some(stored) = endpoints::take(pool, id).await? else { return Ok(None) };
            // The progress is read after the takeover: from then on, anything that an earlier owner writes is refused.
            let progress = progress::load(pool, id).await?;
            Ok::<_, sqlx::Error>(Some((stored, progress)))
        };
        let taken = match timeout(ANSWER, taking).await {
            Ok(Ok(Some(taken))) => Some(taken),
            Ok(Ok(None)) | Err(_) => None,
            Ok(Err(error)) => {
                tracing::warn!(%error, webhook = %id, "could not take over a webhook; retrying");
                None
            }
        };
        let Some((stored, mut progress)) = taken else { return self.give_back(vec![claim]).await };
        if !put_back(&self.shared.log, id, &mut progress).await {
            return self.give_back(vec![claim]).await;
        }
        let endpoint = match Endpoint::open(&stored, sender) {
            Ok(endpoint) => endpoint,
            Err(error) => {
                if self.stuck.find(id) {
                    tracing::warn!(%error, webhook = %id, "could not use a webhook; it gets no events");
                }
                // This node keeps the claim until it expires, so that the nodes do not retry all the time.
                return;
            }
        };
        self.stuck.forget(id);
        self.start_reading();
        let (word, heard) = watch::channel(Word { version: stored.version, is_over: false });
        let owner = Owner::new(self.shared.clone(), &stored, endpoint, progress);
        let task = self.owners.spawn(async move { (id, owner.run(heard).await) }).id();
        tracing::debug!(webhook = %id, fence = stored.fence, "sending the events of a webhook");
        self.owned.insert(id, Owned { claim, renewed, word, task });
    }

    /// Starts reading the streams for webhooks, when this node owns its first endpoint.
    fn start_reading(&mut self) {
        if !std::mem::replace(&mut self.reads, true) {
            for stream in 0..self.shared.log.layout().streams {
                let Shared { ring, log, .. } = self.shared.clone();
                self.tasks.spawn("webhook reader", ring.read(log, stream));
            }
        }
    }

    async fn renew(&mut self) {
        let Some(claims) = self.claims.clone() else { return };
        let asks: Vec<_> =
            self.owned.values().map(|owned| renew(claims.clone(), self.node.clone(), owned.claim)).collect();
        let renewed: Vec<(WebhookId, Instant, Result<Option<Claim>, ()>)> =
            stream::iter(asks).buffer_unordered(AT_ONCE).collect().await;
        let mut lost = Vec::new();
        for (id, begun, renewed) in renewed {
            let Some(owned) = self.owned.get_mut(&id) else { continue };
            match renewed {
                Ok(Some(claim)) => (owned.claim, owned.renewed) = (claim, begun),
                Ok(None) => lost.push(id),
                Err(()) if owned.renewed.elapsed() > OVER => lost.push(id),
                Err(()) => {}
            }
        }
        for id in lost {
            tracing::warn!(webhook = %id, "lost the claim on a webhook; a node will claim it again");
            if let Some(owned) = self.owned.remove(&id) {
                owned.word.send_modify(|word| word.is_over = true);
            }
        }
    }

    async fn has_ended(&mut self, ended: Result<(Id, (WebhookId, End)), JoinError>) {
        let (task, (id, end)) = match ended {
            Ok(ended) => ended,
            Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
            Err(_) => return,
        };
        // The endpoint may have another owner by now.
        if self.owned.get(&id).is_none_or(|owned| owned.task != task) {
            return;
        }
        let Some(owned) = self.owned.remove(&id) else { return };
        match end {
            // The claim is still ours: the endpoint has changed, or another node had taken it over in between.
            End::NotOurs if owned.renewed.elapsed() < OVER => self.own(owned.renewed, owned.claim).await,
            _ => self.give_back(vec![owned.claim]).await,
        }
    }
}
