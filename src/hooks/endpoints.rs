//! Endpoints: adding, changing, taking over and removing them. Each change and its audit event are one transaction.

use sqlx::{FromRow, PgConnection, PgPool};
use uuid::Uuid;

use crate::{
    accounts::{
        Stamp,
        audit::{self},
    },
    domain::{
        Audited, Position, WebhookAdded, WebhookChanged, WebhookDisabled, WebhookEnabled, WebhookId,
        WebhookRemoved, WebhookRotated,
    },
    hooks::{
        StoredEndpoint,
        stored::{Disabled, Row},
    },
};

/// The most endpoints of an installation.
pub(crate) const MAX_ENDPOINTS: i64 = 500;
/// The advisory lock for counting the endpoints: "hooks" in ASCII.
const LOCK: i64 = 0x68_6f_6f_6b_73;

/// Why an endpoint was not added or changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HookError {
    /// There is no such endpoint.
    #[error("there is no webhook by this id")]
    NotFound,
    /// There are [`MAX_ENDPOINTS`].
    #[error("there are {MAX_ENDPOINTS} webhooks: remove one first")]
    TooMany,
    /// The database did not answer.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// What every node reads once a second.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Overview {
    /// The endpoint.
    pub id: WebhookId,
    /// The fence: the number of its last takeover.
    pub fence: i64,
    /// The number of its last change.
    pub version: i64,
    /// Why it is disabled, if it is.
    pub disabled: Option<&'static str>,
}

/// The reasons why endpoints are disabled.
pub(crate) const REASONS: [&str; 3] = ["operator", "gone", "failing"];

/// Adds an endpoint whose events begin after these positions.
pub(crate) async fn add(
    pool: &PgPool,
    new: &StoredEndpoint,
    from: &[(usize, Position)],
    stamp: Stamp,
) -> Result<(), HookError> {
    let mut transaction = pool.begin().await?;
    // Without the lock, each of two transactions could count the endpoints without the other's endpoint.
    sqlx::query("select pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut *transaction).await?;
    let count: i64 =
        sqlx::query_scalar("select count(*) from hooks.endpoint").fetch_one(&mut *transaction).await?;
    if count >= MAX_ENDPOINTS {
        return Err(HookError::TooMany);
    }
    sqlx::query(
        "insert into hooks.endpoint
             (id, url, types, lanes, conversations, services, is_ordered, is_thin, concurrency, signature, description,
              secret, headers, header_names, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
    )
    .bind(new.id.uuid())
    .bind(&new.url)
    .bind(&new.types)
    .bind(&new.lanes)
    .bind(new.conversations.iter().map(|id| id.uuid()).collect::<Vec<_>>())
    .bind(new.services.iter().map(|id| id.uuid()).collect::<Vec<_>>())
    .bind(new.is_ordered)
    .bind(new.is_thin)
    .bind(new.concurrency.cast_signed())
    .bind(&new.signature)
    .bind(&new.description)
    .bind(&new.secret)
    .bind(&new.headers)
    .bind(&new.header_names)
    .bind(new.created_at.datetime())
    .execute(&mut *transaction)
    .await?;
    place(&mut transaction, new.id, from).await?;
    let added = WebhookAdded { signature: new.signature.clone(), is_thin: new.is_thin };
    audit::note(&mut transaction, stamp, Audited::WebhookAdded(new.id.into(), added)).await?;
    Ok(transaction.commit().await?)
}

/// Sets the ordinary cursors of an endpoint, and forgets its held conversations.
async fn place(
    transaction: &mut PgConnection,
    id: WebhookId,
    from: &[(usize, Position)],
) -> Result<(), sqlx::Error> {
    sqlx::query("delete from hooks.held where endpoint = $1 and run = $2")
        .bind(id.uuid())
        .bind(Uuid::nil())
        .execute(&mut *transaction)
        .await?;
    sqlx::query(
        "insert into hooks.cursor (endpoint, run, stream, position)
         select $1, $2, stream, position from unnest($3::int[], $4::bigint[]) as cursor (stream, position)
         on conflict (endpoint, run, stream) do update set position = excluded.position",
    )
    .bind(id.uuid())
    .bind(Uuid::nil())
    .bind(from.iter().map(|(stream, _)| *stream as i32).collect::<Vec<_>>())
    .bind(from.iter().map(|(_, position)| position.0.cast_signed()).collect::<Vec<_>>())
    .execute(transaction)
    .await
    .map(drop)
}

/// The endpoint of this id.
pub(crate) async fn find(pool: &PgPool, id: WebhookId) -> Result<Option<StoredEndpoint>, sqlx::Error> {
    let row: Option<Row> = sqlx::query_as("select * from hooks.endpoint where id = $1")
        .bind(id.uuid())
        .fetch_optional(pool)
        .await?;
    Ok(row.map(StoredEndpoint::from))
}

/// The endpoints, the latest first, after the endpoint `after`.
pub(crate) async fn list(
    pool: &PgPool,
    after: Option<WebhookId>,
    limit: i64,
) -> Result<Vec<StoredEndpoint>, sqlx::Error> {
    let rows: Vec<Row> = sqlx::query_as(
        "select * from hooks.endpoint where $1::uuid is null or id < $1 order by id desc limit $2",
    )
    .bind(after.map(WebhookId::uuid))
    .bind(limit)
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(StoredEndpoint::from).collect())
}

/// All endpoints, with what their owners and nodes that may become owners need.
pub(crate) async fn overview(pool: &PgPool) -> Result<Vec<Overview>, sqlx::Error> {
    #[derive(FromRow)]
    struct Seen {
        id: Uuid,
        fence: i64,
        version: i64,
        disabled: Option<String>,
    }
    let rows: Vec<Seen> = sqlx::query_as(
        "select id, fence, version,
                case when disabled_at is not null then coalesce(disabled_reason, 'operator') end as disabled
         from hooks.endpoint order by id",
    )
    .fetch_all(pool)
    .await?;
    let seen = |Seen { id, fence, version, disabled }| {
        let reason = |word: String| REASONS.into_iter().find(|reason| *reason == word).unwrap_or(REASONS[0]);
        Overview { id: WebhookId::known(id), fence, version, disabled: disabled.map(reason) }
    };
    Ok(rows.into_iter().map(seen).collect())
}

/// Makes the caller the owner of an endpoint; `None` if the endpoint is gone or disabled.
pub(crate) async fn take(pool: &PgPool, id: WebhookId) -> Result<Option<StoredEndpoint>, sqlx::Error> {
    let row: Option<Row> = sqlx::query_as(
        "update hooks.endpoint set fence = fence + 1 where id = $1 and disabled_at is null returning *",
    )
    .bind(id.uuid())
    .fetch_optional(pool)
    .await?;
    Ok(row.map(StoredEndpoint::from))
}

async fn lock(transaction: &mut PgConnection, id: WebhookId) -> Result<StoredEndpoint, HookError> {
    let row: Option<Row> = sqlx::query_as("select * from hooks.endpoint where id = $1 for update")
        .bind(id.uuid())
        .fetch_optional(transaction)
        .await?;
    row.map(StoredEndpoint::from).ok_or(HookError::NotFound)
}

async fn write(transaction: &mut PgConnection, endpoint: &StoredEndpoint) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update hooks.endpoint
         set url = $2, types = $3, lanes = $4, conversations = $5, services = $6, is_ordered = $7, is_thin = $8,
             concurrency = $9, description = $10, secret = $11, old_secret = $12, old_until = $13, headers = $14,
             header_names = $15, version = version + 1
         where id = $1",
    )
    .bind(endpoint.id.uuid())
    .bind(&endpoint.url)
    .bind(&endpoint.types)
    .bind(&endpoint.lanes)
    .bind(endpoint.conversations.iter().map(|id| id.uuid()).collect::<Vec<_>>())
    .bind(endpoint.services.iter().map(|id| id.uuid()).collect::<Vec<_>>())
    .bind(endpoint.is_ordered)
    .bind(endpoint.is_thin)
    .bind(endpoint.concurrency.cast_signed())
    .bind(&endpoint.description)
    .bind(&endpoint.secret)
    .bind(endpoint.old_secret.as_ref().map(|(secret, _)| secret))
    .bind(endpoint.old_secret.as_ref().map(|(_, until)| until.datetime()))
    .bind(&endpoint.headers)
    .bind(&endpoint.header_names)
    .execute(transaction)
    .await
    .map(drop)
}

/// Changes the settings of an endpoint. `change` returns the names of the fields that it has changed.
pub(crate) async fn change(
    pool: &PgPool,
    id: WebhookId,
    change: impl FnOnce(&mut StoredEndpoint) -> Vec<String>,
    stamp: Stamp,
) -> Result<StoredEndpoint, HookError> {
    let mut transaction = pool.begin().await?;
    let mut endpoint = lock(&mut transaction, id).await?;
    let changed = change(&mut endpoint);
    if !changed.is_empty() {
        write(&mut transaction, &endpoint).await?;
        let changed = WebhookChanged { changed };
        audit::note(&mut transaction, stamp, Audited::WebhookChanged(id.into(), changed)).await?;
    }
    transaction.commit().await?;
    Ok(endpoint)
}

/// Replaces the secret, as `put` does. Without an old secret, the old one has ended now.
pub(crate) async fn rotate(
    pool: &PgPool,
    id: WebhookId,
    put: impl FnOnce(&mut StoredEndpoint),
    stamp: Stamp,
) -> Result<StoredEndpoint, HookError> {
    let mut transaction = pool.begin().await?;
    let mut endpoint = lock(&mut transaction, id).await?;
    put(&mut endpoint);
    write(&mut transaction, &endpoint).await?;
    let until = endpoint.old_secret.as_ref().map_or(stamp.at, |(_, until)| *until);
    let rotated = WebhookRotated { old_expires_at: until };
    audit::note(&mut transaction, stamp, Audited::WebhookRotated(id.into(), rotated)).await?;
    transaction.commit().await?;
    Ok(endpoint)
}

/// Disables an endpoint, unless it is disabled already. An owner gives its fence, and disables nothing if another node
/// has taken over.
pub(crate) async fn disable(
    pool: &PgPool,
    id: WebhookId,
    reason: &str,
    owner: Option<i64>,
    stamp: Stamp,
) -> Result<StoredEndpoint, HookError> {
    let mut transaction = pool.begin().await?;
    let mut endpoint = lock(&mut transaction, id).await?;
    if endpoint.disabled.is_none() && owner.is_none_or(|fence| fence == endpoint.fence) {
        endpoint.disabled = Some(Disabled { at: stamp.at, reason: reason.to_owned() });
        sqlx::query(
            "update hooks.endpoint set disabled_at = $2, disabled_reason = $3, version = version + 1 where id = $1",
        )
        .bind(id.uuid())
        .bind(stamp.at.datetime())
        .bind(reason)
        .execute(&mut *transaction)
        .await?;
        let disabled = WebhookDisabled { reason: reason.to_owned() };
        audit::note(&mut transaction, stamp, Audited::WebhookDisabled(id.into(), disabled)).await?;
    }
    transaction.commit().await?;
    Ok(endpoint)
}

/// Enables an endpoint, and resets its failures. Its owner has to take it over again. With positions, the endpoint
/// continues after these; without, where it was.
pub(crate) async fn enable(
    pool: &PgPool,
    id: WebhookId,
    from: Option<&[(usize, Position)]>,
    stamp: Stamp,
) -> Result<StoredEndpoint, HookError> {
    let mut transaction = pool.begin().await?;
    let mut endpoint = lock(&mut transaction, id).await?;
    let was_disabled = endpoint.disabled.take().is_some();
    (endpoint.failing_since, endpoint.failures) = (None, 0);
    sqlx::query(
        "update hooks.endpoint
         set disabled_at = null, disabled_reason = null, failing_since = null, failures = 0, version = version + 1,
             fence = fence + 1
         where id = $1",
    )
    .bind(id.uuid())
    .execute(&mut *transaction)
    .await?;
    // Held conversations are due at once: their last attempts no longer say anything about the receiver.
    sqlx::query("update hooks.held set next_at = $2, attempt = 0 where endpoint = $1")
        .bind(id.uuid())
        .bind(stamp.at.datetime())
        .execute(&mut *transaction)
        .await?;
    if let Some(from) = from {
        place(&mut transaction, id, from).await?;
    }
    if was_disabled || from.is_some() {
        let enabled = WebhookEnabled { is_from_now: from.is_some() };
        audit::note(&mut transaction, stamp, Audited::WebhookEnabled(id.into(), enabled)).await?;
    }
    transaction.commit().await?;
    Ok(endpoint)
}

/// Removes an endpoint with everything that is stored about its deliveries; `false` if there is none.
pub(crate) async fn remove(pool: &PgPool, id: WebhookId, stamp: Stamp) -> Result<bool, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let removed = sqlx::query("delete from hooks.endpoint where id = $1")
        .bind(id.uuid())
        .execute(&mut *transaction)
        .await?;
    let is_there = removed.rows_affected() > 0;
    if is_there {
        audit::note(&mut transaction, stamp, Audited::WebhookRemoved(id.into(), WebhookRemoved {})).await?;
    }
    transaction.commit().await?;
    Ok(is_there)
}
