//! Restoring an installation from an archive. Nodes refuse the log until the last step is done. If a restore is killed,
//! the same command continues it.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    accounts::{self, By, Stamp, WhichAccount},
    app::{
        Addresses, AppError, database,
        installation::{migrate, migrate_to},
    },
    archive::{self, Aim, ArchiveTarget, Backup, Plan, RestoreError, Restored, RestoredEnd, TablesError},
    clock::Clock,
    domain::{AuditEvent, AuditSubject, Audited, Epoch, EventId, LogRestored, Position, UserId},
    erasures::{Hiding, erased_name},
    log::{
        AUDIT_PAGE, AuditRange, Log, NotAudited, NotRestored, OpenError, Remade, Remake, Restoring,
        Unavailable, Wanted,
    },
    projector::{self, Consent, NotBuilt, Work},
    supervise::Supervisor,
    views::{self, Progress},
};
use sqlx::PgPool;
use tokio::time::sleep;

/// How often a restore is tried that fails with an error that may pass with time, and the wait between. A cluster that has
/// just lost a server answers late, and at first for each new stream anew.
const ATTEMPTS: u32 = 12;
const PAUSE: Duration = Duration::from_secs(1);

impl From<RestoreError> for AppError {
    fn from(error: RestoreError) -> Self {
        match error {
            RestoreError::Log(NotRestored::Open(error)) => error.into(),
            error => Self::Refused(error.to_string()),
        }
    }
}

impl From<TablesError> for AppError {
    fn from(error: TablesError) -> Self {
        match error {
            TablesError::Database(outage) => outage.into(),
            error => Self::Refused(error.to_string()),
        }
    }
}

impl From<NotBuilt> for AppError {
    fn from(error: NotBuilt) -> Self {
        match error {
            NotBuilt::Log(outage) => Self::Log(outage),
            NotBuilt::Database(outage) => outage.into(),
            error => Self::Refused(error.to_string()),
        }
    }
}

/// The operator's order.
#[derive(Debug)]
pub(crate) struct RestoreOrder {
    /// The archive.
    pub from: ArchiveTarget,
    /// The epoch of the archive; `None` for the latest one.
    pub epoch: Option<Epoch>,
    /// The point up to which the log is restored.
    pub aim: Aim,
    /// Whether the servers have to be empty.
    pub into_empty: bool,
}

/// What a restore will do.
#[derive(Debug)]
pub(crate) struct RestorePlan {
    /// The log.
    pub log: Plan,
    /// The backup whose accounts are copied; `None` if the database has accounts, which stay.
    pub accounts: Option<Backup>,
    /// Why later backups cannot be used.
    pub unusable: Vec<String>,
    /// Whether the database has accounts.
    pub has_accounts: bool,
}

/// A connection to the servers with a plan.
pub(crate) struct PlannedRestore {
    restoring: Restoring,
    order: RestoreOrder,
    database: String,
    /// The plan.
    pub plan: RestorePlan,
}

/// Plans a restore from the state of the archive and the servers. Changes nothing.
pub(crate) async fn plan_restore(
    addresses: &Addresses,
    wanted: Wanted,
    order: RestoreOrder,
) -> Result<PlannedRestore, AppError> {
    let restoring = Restoring::connect(addresses.nats.clone()).await?;
    let log = archive::plan(&order.from, &restoring, order.epoch.as_ref(), &order.aim, wanted.replicas).await;
    let log = log.map_err(|e| what_to_do(e.into()))?;
    let streams = log.remake.layout.streams;
    if let Some(other) = wanted.streams.filter(|wanted| *wanted != streams) {
        return Err(AppError::Refused(format!(
            "the archived log has {streams} streams, but {other} are configured: set VERBATIM_STREAMS={streams}"
        )));
    }
    let pool = database(&addresses.database, 2).await?;
    let has_accounts = archive::has_accounts(&pool).await?;
    let is_begun = log.streams.iter().any(|planned| matches!(planned.found, Some(Remade::Begun { .. })));
    let is_empty = log.streams.iter().all(|planned| matches!(planned.found, None | Some(Remade::Empty)))
        && !has_accounts;
    if order.into_empty && !is_empty && !is_begun {
        return Err(AppError::Refused(
            "the servers are not empty, but --into-empty is set: name empty ones in VERBATIM_NATS_URL and \
             VERBATIM_DATABASE_URL"
                .into(),
        ));
    }
    if has_accounts
        && let Some(its) = accounts::epoch_of_log(&pool).await?
        && its != log.remake.from
        && its != log.remake.epoch
        && !log.epochs.contains(&its)
        && !accounts::former_epochs(&pool).await?.contains(&log.remake.from)
    {
        return Err(AppError::Refused(format!(
            "the database belongs to the log of epoch {its}, but the archive has epoch {}: check \
             VERBATIM_DATABASE_URL and --from",
            log.remake.from
        )));
    }
    let (accounts, unusable) = match has_accounts {
        true => (None, Vec::new()),
        false => archive::choose(&order.from, &log.remake.begins_from()).await?,
    };
    pool.close().await;
    let plan = RestorePlan { log, accounts, unusable, has_accounts };
    Ok(PlannedRestore { restoring, order, database: addresses.database.clone(), plan })
}

/// Adds the next step to an error that may pass with time.
fn what_to_do(error: AppError) -> AppError {
    match error.passes() {
        true => AppError::Refused(format!(
            "{error}. Run the same command again when nats-server and Postgres answer: it continues where it was"
        )),
        false => error,
    }
}

/// Carries out the plan. Returns the last position of each stream.
pub(crate) async fn restore(
    planned: PlannedRestore,
    written: impl Fn(u64),
) -> Result<BTreeMap<String, Position>, AppError> {
    for _ in 1..ATTEMPTS {
        match go_on(&planned, &written).await {
            Err(error) if error.passes() => {
                tracing::warn!(%error, "could not restore everything; continuing");
                sleep(PAUSE).await;
            }
            ended => return ended,
        }
    }
    go_on(&planned, &written).await.map_err(what_to_do)
}

/// Restores what is not restored yet.
async fn go_on(
    PlannedRestore { restoring, order, database: url, plan }: &PlannedRestore,
    written: impl Fn(u64),
) -> Result<BTreeMap<String, Position>, AppError> {
    let mut restored = archive::restore(&order.from, restoring, &plan.log, written).await?;
    if !plan.has_accounts {
        restore_accounts(url, &order.from, plan.accounts.as_ref()).await?;
    }
    migrate(url).await?;
    let pool = database(url, 8).await?;
    let tasks = Supervisor::new();
    let log = restoring.log(&tasks).await?;
    apply_audit(&log, &pool, &restored, plan.has_accounts).await?;
    // If this is interrupted before, the next run copies the accounts once more.
    accounts::keep_epoch(&pool, log.epoch()).await?;
    accounts::keep_audit(&pool).await?;
    hide_again(&log, &pool, plan, &mut restored.ends).await?;
    rebuild_views(&log, &pool).await?;
    make_parked(&log).await?;
    tell(&log, &plan.log, &restored.ends).await?;
    restoring.finish(&plan.log.remake).await?;
    pool.close().await;
    Ok(restored.ends.into_iter().map(|(stream, end)| (stream, end.last)).collect())
}

async fn restore_accounts(url: &str, from: &ArchiveTarget, backup: Option<&Backup>) -> Result<(), AppError> {
    let Some(backup) = backup else { return Ok(()) };
    let pool = database(url, 1).await?;
    let mut connection = pool.acquire().await?.detach();
    // These schemas contain no account. They are dropped because they may have a later migration than the dump.
    sqlx::raw_sql("drop schema if exists hooks cascade; drop schema if exists auth cascade")
        .execute(&mut connection)
        .await?;
    migrate_to(url, backup.auth_dump.migration).await?;
    archive::load(&mut connection, from, &backup.auth_dump).await?;
    sqlx::Connection::close(connection).await?;
    pool.close().await;
    Ok(())
}

/// Erases and suspends again the accounts that AUDIT lists as erased or suspended. The backup may be older than these
/// events, and nobody would request them a second time. An account that is erased or suspended in the backup already does
/// not change. In accounts that were there before, the suspensions are right: they may have ended after the last audit
/// event of the archive. But an erased account never comes back, so there it comes from an older copy of the database.
async fn apply_audit(
    log: &Log,
    pool: &PgPool,
    restored: &Restored,
    had_accounts: bool,
) -> Result<(), AppError> {
    let mut fates = restored.fates.clone();
    // A stream AUDIT that was not lost may have later events than the archive.
    let last = restored.ends.get("AUDIT").map_or(Position::START, |end| end.last);
    let mut range = AuditRange { after: restored.audited, ..AuditRange::default() };
    while range.after < last {
        let page = log.audits(&range, AUDIT_PAGE).await?;
        if page.end <= range.after {
            let why = format!("a replica of AUDIT has nothing after {}, but its end is {last}", range.after);
            return Err(Unavailable::because(why).into());
        }
        page.events.iter().for_each(|audit| fates.read(&audit.event));
        range.after = page.end;
    }
    let clock = Clock::system();
    let stamp = || Stamp::now(&clock, By::default());
    if !had_accounts {
        for account in fates.suspended.difference(&fates.erased) {
            accounts::deactivate(pool, WhichAccount::Id(*account), stamp()).await?;
        }
    }
    for account in accounts::not_erased_of(pool, &fates.erased).await? {
        accounts::erase(pool, account, &erased_name(&clock), [stamp(), stamp()]).await?;
    }
    Ok(())
}

/// Hides again what requests for erasure had hidden after the end of the restored log. The streams then end later.
async fn hide_again(
    log: &Log,
    pool: &PgPool,
    plan: &RestorePlan,
    ends: &mut BTreeMap<String, RestoredEnd>,
) -> Result<(), AppError> {
    let Remake { epoch, from, .. } = &plan.log.remake;
    // By now the database has the new epoch, after the one to which its requests belong.
    let epochs = accounts::epochs_of_log(pool).await?;
    let before = epochs.iter().rev().find(|known| *known != epoch);
    let is_their_log = !plan.has_accounts || before.is_none_or(|before| before == from);
    let streams = 0..log.layout().streams;
    let kept = |stream| ends.get(&log.stream_name(stream)).map_or(Position::MAX, |end| end.kept);
    let kept: Vec<Position> = streams.clone().map(kept).collect();
    let (progress, clock) = (Progress::new(pool.clone()), Clock::system());
    Hiding { log: log.clone(), pool: pool.clone(), progress, clock }.hide_again(&kept, is_their_log).await?;
    for stream in streams {
        if let Some(end) = ends.get_mut(&log.stream_name(stream)) {
            end.last = log.last(stream).await?;
        }
    }
    Ok(())
}

/// Creates the streams of parked events. The log is complete without them, so a server that is away does not hold it up.
async fn make_parked(log: &Log) -> Result<(), OpenError> {
    match log.make_parked().await {
        Err(error @ OpenError::NoPlace { .. }) => {
            tracing::warn!(%error, "could not create the streams of parked events: run `verbatim migrate` later");
            Ok(())
        }
        made => made,
    }
}

async fn rebuild_views(log: &Log, pool: &PgPool) -> Result<(), AppError> {
    let mut connection = pool.acquire().await?;
    for schema in views::other_sets(pool).await?.into_iter().chain([views::schema()]) {
        views::discard(&mut connection, &schema).await?;
    }
    views::create(&mut connection, &views::schema()).await?;
    drop(connection);
    Ok(projector::rebuild(log, pool, &views::schema(), None, Consent::Given, &Work::default()).await?)
}

/// Appends one event to AUDIT that says that the log was restored.
async fn tell(log: &Log, plan: &Plan, ends: &BTreeMap<String, RestoredEnd>) -> Result<(), AppError> {
    let positions =
        |of: fn(&RestoredEnd) -> Position| ends.iter().map(move |(stream, end)| (stream.clone(), of(end)));
    let what = LogRestored {
        old_epoch: plan.remake.from.to_string(),
        new_epoch: plan.remake.epoch.to_string(),
        positions: positions(|end| end.last).collect(),
        lost_after: positions(|end| end.kept).filter(|(stream, _)| stream != "AUDIT").collect(),
    };
    let refused = |error: &dyn std::fmt::Display| AppError::Refused(error.to_string());
    let epoch = u128::from_str_radix(&plan.remake.epoch.0, 16).map_err(|e| refused(&e))?;
    let audited = Audited::LogRestored(AuditSubject::hash(epoch), what);
    let clock = Clock::system();
    let event = AuditEvent {
        id: clock.id(EventId::known),
        time: clock.now(),
        word: audited.word().to_owned(),
        subject: audited.subject().as_str().to_owned(),
        actor: None,
        via: None,
        data: audited.data().and_then(|data| data.parse()).map_err(|e| refused(&e))?,
    };
    match log.append_audit(&event, Position::START).await {
        // An earlier run of this restore, which was killed after this step, has already appended the event.
        Ok(_) | Err(NotAudited::Overtaken) => Ok(()),
        Err(NotAudited::Unavailable(outage)) => Err(outage.into()),
    }
}

/// The maximum number of ghosts in a list.
pub(crate) const GHOSTS: i64 = 1_000;

/// Ghosts are members of conversations whose account is lost, because the accounts were restored from an older copy
/// than the log.
pub(crate) async fn ghosts(pool: &PgPool) -> Result<Vec<UserId>, AppError> {
    // All memberships are read once, so the settings for requests, which find few rows by an index, do not fit.
    let begin = "begin read only; set local statement_timeout = 0;
                 set local enable_hashjoin = on; set local enable_seqscan = on";
    let mut transaction = pool.begin_with(begin).await?;
    let found: Vec<uuid::Uuid> = sqlx::query_scalar(
        "select distinct user_id from member
         where not exists (select from auth.account where id = member.user_id) order by 1 limit $1",
    )
    .bind(GHOSTS)
    .fetch_all(&mut *transaction)
    .await?;
    transaction.rollback().await?;
    Ok(found.into_iter().map(UserId::known).collect())
}
