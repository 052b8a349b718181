//! Which endpoints this node owns: claims endpoints that no node has, renews the claims, and starts and ends owners.

use std::{
    collections::{HashMap, HashSet},
    panic::resume_unwind,
    pin::pin,
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use sqlx::PgPool;
use tokio::{
    sync::{Semaphore, watch},
    task::{Id, JoinError, JoinSet},
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    domain::WebhookId,
    hooks::{
        EndpointProgress, Overview, StoredEndpoint, deliveries,
        endpoints::{self, REASONS},
    },
    log::{CLAIM, Claim, ClaimBucket, Log, NodeId, Unavailable},
    supervise::Supervisor,
    telemetry::METRICS,
    webhooks::{
        endpoint::Endpoint,
        owner::{End, Owner, Shared, Word},
        renewals::{Renewals, meanwhile},
        ring::Ring,
        sender::Sender,
        stuck::StuckEndpoints,
        takeover::take_over,
    },
};

/// How often the keeper reads the endpoints.
const LOOK: Duration = Duration::from_secs(1);
/// A claim counts as lost once its last renewal began this long ago, well before another node can get it.
const OVER: Duration = Duration::from_secs(CLAIM.as_secs() - 2);
/// How long a server may take for an answer.
const ANSWER: Duration = Duration::from_secs(3);
/// The most endpoints that are claimed or renewed concurrently. With 500 endpoints, all are renewed in time even if each
/// answer takes half a second.
const AT_ONCE: usize = 64;
/// The most endpoints that are taken over concurrently. Each needs a connection to Postgres, and requests need some, too.
const TAKEOVERS: usize = 8;
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

/// An endpoint that this node has claimed: it is being taken over, or it has an owner.
struct Owned {
    claim: Claim,
    /// When the last renewal that succeeded began.
    renewed: Instant,
    /// What the owner is told, and before that the takeover.
    word: watch::Sender<Word>,
    task: Id,
}

/// A task that has ended.
enum Ended {
    /// The endpoint was taken over; `None` if that is not possible now.
    Takeover(Option<Box<(StoredEndpoint, EndpointProgress)>>),
    /// Its owner.
    Owner(End),
}

struct Keeping {
    shared: Shared,
    node: NodeId,
    claims: Option<ClaimBucket>,
    renewals: Renewals,
    owned: HashMap<WebhookId, Owned>,
    owners: JoinSet<(WebhookId, Ended)>,
    takeovers: Arc<Semaphore>,
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
            renewals: Renewals::new(),
            owned: HashMap::new(),
            owners: JoinSet::new(),
            takeovers: Arc::new(Semaphore::new(TAKEOVERS)),
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

impl Keeping {
    async fn run(mut self, stop: &CancellationToken) {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                // Renewing comes before everything that may wait for Postgres.
                biased;
                () = stop.cancelled() => break,
                () = self.renewals.due() => self.renew().await,
                Some(ended) = self.owners.join_next_with_id() => self.has_ended(ended).await,
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

    /// Does work that may wait for servers, and renews the claims meanwhile.
    async fn renewing<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = self.renewals.due() => {
                    if let Some(done) = meanwhile(work.as_mut(), self.renew()).await {
                        return done;
                    }
                }
            }
        }
    }

    async fn look(&mut self) {
        self.looks = self.looks.wrapping_add(1);
        let Shared { log, pool, .. } = self.shared.clone();
        let all = match self.renewing(timeout(ANSWER, endpoints::overview(&pool))).await {
            Ok(Ok(all)) => all,
            failed => {
                tracing::debug!(?failed, "cannot read the webhooks yet");
                return;
            }
        };
        if self.looks % COUNT == 1
            && let Ok(Ok(parked)) = self.renewing(timeout(ANSWER, deliveries::parked(&pool))).await
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
            self.stuck.tell(&log, &pool).await;
        }
    }

    /// Claims endpoints that no node has.
    async fn claim(&mut self, mut free: Vec<WebhookId>) {
        let (log, known) = (self.shared.log.clone(), self.claims.clone());
        let asked = async {
            let claims = match known {
                Some(claims) => claims,
                None => log.claims().await?,
            };
            let claimed = claims.claimed().await?;
            Ok::<_, Unavailable>((claims, claimed))
        };
        let (claims, claimed): (ClaimBucket, HashSet<WebhookId>) =
            match self.renewing(timeout(ANSWER, asked)).await {
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
        let taking = stream::iter(asks).buffer_unordered(AT_ONCE).collect();
        let taken: Vec<Option<(Instant, Claim)>> = self.renewing(taking).await;
        for (begun, claim) in taken.into_iter().flatten() {
            self.own(begun, claim);
        }
    }

    /// Begins to take over an endpoint that this node has claimed. The servers may be slow, so this is a task of its own,
    /// and the claim is renewed meanwhile.
    fn own(&mut self, renewed: Instant, claim: Claim) {
        let (id, shared, takeovers) = (claim.work, self.shared.clone(), self.takeovers.clone());
        let (word, mut heard) = watch::channel(Word { version: 0, is_over: false });
        let taking = async move {
            let _place = takeovers.acquire().await.ok();
            take_over(&shared, id).await.map(Box::new)
        };
        let task = self.owners.spawn(async move {
            let taken = tokio::select! {
                biased;
                // A takeover without the claim would end the owner on the node that has it.
                _ = heard.wait_for(|word| word.is_over) => None,
                taken = taking => taken,
            };
            (id, Ended::Takeover(taken))
        });
        let task = task.id();
        self.owned.insert(id, Owned { claim, renewed, word, task });
    }

    /// Starts the owner of an endpoint that was taken over.
    fn start(&mut self, owned: Owned, stored: &StoredEndpoint, progress: EndpointProgress) {
        let id = stored.id;
        let endpoint = match Endpoint::open(stored, &self.shared.sender) {
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
        let owner = Owner::new(self.shared.clone(), stored, endpoint, progress);
        let task = self.owners.spawn(async move { (id, Ended::Owner(owner.run(heard).await)) }).id();
        tracing::debug!(webhook = %id, fence = stored.fence, "sending the events of a webhook");
        self.owned.insert(id, Owned { word, task, ..owned });
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
        let start = Instant::now();
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
        self.renewals.ended(start);
    }

    async fn has_ended(&mut self, ended: Result<(Id, (WebhookId, Ended)), JoinError>) {
        let (task, (id, ended)) = match ended {
            Ok(ended) => ended,
            Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
            Err(_) => return,
        };
        // The endpoint may have another owner by now.
        if self.owned.get(&id).is_none_or(|owned| owned.task != task) {
            return;
        }
        let Some(owned) = self.owned.remove(&id) else { return };
        match ended {
            Ended::Takeover(Some(taken)) => self.start(owned, &taken.0, taken.1),
            // The claim is still ours: the endpoint has changed, or another node had taken it over in between.
            Ended::Owner(End::NotOurs) if owned.renewed.elapsed() < OVER => {
                self.own(owned.renewed, owned.claim);
            }
            Ended::Takeover(None) | Ended::Owner(_) => self.give_back(vec![owned.claim]).await,
        }
    }
}
