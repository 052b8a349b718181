//! Requesting an export, reading its state, and opening its download.

use std::{sync::Arc, time::Duration};

use sqlx::PgPool;
use tokio::sync::watch;

use super::{
    content::{Content, active},
    download::Download,
    error::ExportError,
    held::Held,
    link::LinkKey,
    material::Material,
    own::Own,
    sending::Bounds,
};
use crate::{
    accounts::{
        By, Stamp,
        exports::{self, Export, ExportOf, LinkState},
    },
    clock::Clock,
    credentials::{Identity, Scope},
    domain::{ExportId, HoldId, Position, Time, UserId},
    feed::Feed,
    limits::{Policy, RateLimits},
    live::{Conversations, Revoked},
    log::{Log, PublicUrl},
    overload::Overload,
    shares::{Shares, Sizes},
};

/// How long an export can be downloaded.
pub(crate) const LIFE: Duration = Duration::from_secs(7 * 86_400);

/// Downloads. A node sends one at a time; another caller waits for a moment and is then refused.
const DOWNLOADS: Sizes = Sizes {
    of_node: 1,
    of_one: 1,
    waiting_of_one: 1,
    waiting: 8,
    patience: Duration::from_secs(2),
    longest_rest: Duration::ZERO,
};

/// The settings of exports.
#[derive(Debug, Clone, Copy)]
pub struct ExportSettings {
    /// How long a download may take.
    pub deadline: Duration,
}

/// The exports of this node. Cheap to clone.
#[derive(Clone)]
pub struct Exports {
    parts: Arc<ExportParts>,
    links: LinkKey,
    downloads: Shares<UserId>,
}

/// The parts of a node that exports need.
pub(crate) struct ExportParts {
    pub(crate) log: Log,
    pub(crate) conversations: Conversations,
    pub(crate) feed: Feed,
    pub(crate) pool: PgPool,
    pub(crate) revoked: Arc<Revoked>,
    pub(crate) overload: Overload,
    pub(crate) limits: Arc<RateLimits>,
    pub(crate) clock: Clock,
    pub(crate) public_url: Option<PublicUrl>,
    pub(crate) stopping: watch::Receiver<bool>,
    pub(crate) settings: ExportSettings,
}

/// An export as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenExport {
    /// The id of the export.
    pub id: ExportId,
    /// The time from which events belong to the export.
    pub since: Option<Time>,
    /// The time of the request.
    pub created_at: Time,
    /// The time from which the export can no longer be downloaded.
    pub expires_at: Time,
    /// The secret of the link for this login or key; `None` if the export can no longer be downloaded.
    pub secret: Option<String>,
}

impl Exports {
    /// The exports of a node; `shared` is the key that all nodes share.
    pub(crate) fn new(parts: ExportParts, shared: &[u8; 32]) -> Self {
        Self { parts: Arc::new(parts), links: LinkKey::derived(shared), downloads: Shares::new(DOWNLOADS) }
    }

    /// Requests an export of everything up to now, or since a time.
    pub async fn request(&self, caller: &Identity, since: Option<Time>) -> Result<SeenExport, ExportError> {
        if since.is_some_and(|since| since > self.parts.clock.now()) {
            return Err(ExportError::InTheFuture);
        }
        self.add(caller, ExportOf::Own(since)).await
    }

    /// Requests an export of everything that a legal hold keeps at this moment.
    pub(crate) async fn request_held(
        &self,
        caller: &Identity,
        hold: HoldId,
    ) -> Result<SeenExport, ExportError> {
        active(&self.parts.pool, hold).await?;
        self.add(caller, ExportOf::Hold(hold)).await
    }

    async fn add(&self, caller: &Identity, of: ExportOf) -> Result<SeenExport, ExportError> {
        let (limits, budget) = (&self.parts.limits, (caller.user, of.hold()));
        limits.admit(Policy::Export, budget)?;
        let added = self.store(caller, of).await;
        if added.is_err() {
            limits.give_back(Policy::Export, budget, 1);
        }
        Ok(self.seen(added?, caller))
    }

    /// Stores an export of everything that the log has now.
    async fn store(&self, caller: &Identity, of: ExportOf) -> Result<Export, ExportError> {
        let stamp = Stamp::now(&self.parts.clock, By { actor: Some(caller.user), via: caller.via });
        let export = Export {
            id: self.parts.clock.id(ExportId::known),
            user: caller.user,
            of,
            epoch: self.parts.log.epoch().clone(),
            upto: self.parts.log.ends().await?,
            created_at: stamp.at,
            expires_at: stamp.at.plus(LIFE),
        };
        exports::add(&self.parts.pool, &export, stamp).await?;
        Ok(export)
    }

    /// An export of the caller's own data.
    pub async fn one(&self, caller: &Identity, id: ExportId) -> Result<SeenExport, ExportError> {
        let export = self.find(caller, id).await?;
        match export.of {
            ExportOf::Own(_) => Ok(self.seen(export, caller)),
            ExportOf::Hold(_) => Err(ExportError::NotFound),
        }
    }

    /// An export of a hold that the caller has requested. It ends with the hold.
    pub(crate) async fn one_held(
        &self,
        caller: &Identity,
        id: ExportId,
    ) -> Result<(HoldId, SeenExport), ExportError> {
        let export = self.find(caller, id).await?;
        let hold = export.of.hold().ok_or(ExportError::NotFound)?;
        let seen = self.seen(export, caller);
        match active(&self.parts.pool, hold).await {
            Ok(_) => Ok((hold, seen)),
            Err(ExportError::HoldLifted) => Ok((hold, SeenExport { secret: None, ..seen })),
            Err(e) => Err(e),
        }
    }

    async fn find(&self, caller: &Identity, id: ExportId) -> Result<Export, ExportError> {
        let found = exports::find(&self.parts.pool, id).await?.filter(|export| export.user == caller.user);
        found.ok_or(ExportError::NotFound)
    }

    /// The exports of the caller, the latest first, after the export `after`.
    pub async fn list(
        &self,
        caller: &Identity,
        after: Option<(Time, ExportId)>,
        limit: i64,
    ) -> Result<Vec<SeenExport>, ExportError> {
        let found = exports::list(&self.parts.pool, caller.user, after, limit).await?;
        Ok(found.into_iter().map(|export| self.seen(export, caller)).collect())
    }

    /// Opens the download of an export by the secret of a link. Every possible reason for a refusal is checked before
    /// it begins.
    pub async fn download(&self, id: ExportId, secret: &str) -> Result<Download, ExportError> {
        let login = self.links.login(id, secret).ok_or(ExportError::NotFound)?;
        let export = exports::find(&self.parts.pool, id).await?.ok_or(ExportError::NotFound)?;
        let (pool, user, now) = (&self.parts.pool, export.user, self.parts.clock.now());
        let state = match export.of {
            ExportOf::Own(_) => exports::link_state(pool, user, login, now).await?,
            ExportOf::Hold(_) => {
                exports::link_state_of_key(pool, user, login, Scope::AdminExport, now).await?
            }
        };
        match state {
            LinkState::Suspended => return Err(ExportError::Suspended),
            LinkState::Good if self.can_be_read(&export, now) => {}
            LinkState::Good | LinkState::Ended => return Err(ExportError::Over),
        }
        let place = self.downloads.take(user).await?;
        let material = self.material(&export, now).await?;
        let content = Content {
            log: self.parts.log.clone(),
            conversations: self.parts.conversations.clone(),
            pool: pool.clone(),
            public_url: self.parts.public_url.clone(),
            export,
            material,
        };
        let bounds = Bounds {
            user,
            login,
            revoked: self.parts.revoked.clone(),
            overload: self.parts.overload.clone(),
            stopping: self.parts.stopping.clone(),
            deadline: self.parts.settings.deadline,
        };
        Ok(Download::begin(content, bounds, place))
    }

    /// The content of an export that is outside the log.
    async fn material(&self, export: &Export, now: Time) -> Result<Material, ExportError> {
        let ExportParts { feed, pool, .. } = &*self.parts;
        match export.of {
            ExportOf::Own(_) => {
                let since = vec![Position::START; export.upto.len()];
                let memberships = feed.memberships(export.user, &since, &export.upto).await?;
                let own = Own::of(pool, export.user, now).await?;
                Ok(Material::own(own, &memberships, feed.retention()))
            }
            ExportOf::Hold(hold) => {
                let hold = active(&self.parts.pool, hold).await?;
                Ok(Material::Held(Held::find(hold, feed, pool, &export.upto).await?))
            }
        }
    }

    /// Whether an export has not expired, and its positions belong to this log.
    fn can_be_read(&self, export: &Export, now: Time) -> bool {
        let streams = self.parts.log.layout().streams;
        now < export.expires_at && export.epoch == *self.parts.log.epoch() && export.upto.len() == streams
    }

    fn seen(&self, export: Export, caller: &Identity) -> SeenExport {
        let can_be_read = self.can_be_read(&export, self.parts.clock.now());
        let Export { id, of, created_at, expires_at, .. } = export;
        let secret = can_be_read.then(|| self.links.secret(id, caller.login));
        SeenExport { id, since: of.since(), created_at, expires_at, secret }
    }
}
