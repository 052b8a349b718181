//! The exports that an account requested: of its own data, or of the content that a legal hold keeps. A row has no
//! content; it only describes the range that an export reads.

use sqlx::{FromRow, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    accounts::audit::{self, Stamp},
    credentials::Scope,
    domain::{Audited, Epoch, ExportId, ExportRequested, HoldId, LoginId, Position, Time, UserId},
};

/// How long an export that has expired is still listed.
const LISTED: &str = "30 days";

/// An export that an account requested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Export {
    /// The id of the export.
    pub id: ExportId,
    /// The account.
    pub user: UserId,
    /// The subject of the export.
    pub of: ExportOf,
    /// The log that the export reads.
    pub epoch: Epoch,
    /// The position up to which the export reads each stream.
    pub upto: Vec<Position>,
    /// The time of the request.
    pub created_at: Time,
    /// The time from which the export can no longer be downloaded.
    pub expires_at: Time,
}

/// The subject of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExportOf {
    /// Its own data, with the events since a time, or all of them.
    Own(Option<Time>),
    /// The content that a legal hold keeps.
    Hold(HoldId),
}

impl ExportOf {
    /// The time from which events belong to the export.
    pub(crate) fn since(self) -> Option<Time> {
        match self {
            Self::Own(since) => since,
            Self::Hold(_) => None,
        }
    }

    /// The hold, if it is an export of one.
    pub(crate) fn hold(self) -> Option<HoldId> {
        match self {
            Self::Own(_) => None,
            Self::Hold(hold) => Some(hold),
        }
    }
}

/// Whether the login or key that received a download link still permits the download.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LinkState {
    /// The login or the key is active, and so is the account.
    Good,
    /// The login or the key has ended, or the key no longer has the scope.
    Ended,
    /// The account is deactivated.
    Suspended,
}

#[derive(FromRow)]
struct Row {
    id: Uuid,
    account_id: Uuid,
    since: Option<OffsetDateTime>,
    hold_id: Option<Uuid>,
    epoch: String,
    positions: Vec<i64>,
    created_at: OffsetDateTime,
    expires_at: OffsetDateTime,
}

impl From<Row> for Export {
    fn from(row: Row) -> Self {
        Self {
            id: ExportId::known(row.id),
            user: UserId::known(row.account_id),
            of: match row.hold_id {
                Some(hold) => ExportOf::Hold(HoldId::known(hold)),
                None => ExportOf::Own(row.since.map(Time::of)),
            },
            epoch: Epoch(row.epoch),
            upto: row.positions.into_iter().map(|position| Position(position.cast_unsigned())).collect(),
            created_at: Time::of(row.created_at),
            expires_at: Time::of(row.expires_at),
        }
    }
}

/// Stores an export, and forgets the account's exports that are no longer listed. An export of a hold is recorded in the
/// audit trail, because it shows the messages of some users to another one.
pub(crate) async fn add(pool: &PgPool, export: &Export, stamp: Stamp) -> sqlx::Result<()> {
    let (now, hold) = (export.created_at, export.of.hold());
    let mut transaction = pool.begin().await?;
    sqlx::query("delete from auth.export where account_id = $1 and expires_at < $2 - $3::interval")
        .bind(export.user.uuid())
        .bind(now.datetime())
        .bind(LISTED)
        .execute(&mut *transaction)
        .await?;
    sqlx::query(
        "insert into auth.export (id, account_id, since, epoch, positions, created_at, expires_at, hold_id)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(export.id.uuid())
    .bind(export.user.uuid())
    .bind(export.of.since().map(Time::datetime))
    .bind(&export.epoch.0)
    .bind(export.upto.iter().map(|position| position.0.cast_signed()).collect::<Vec<_>>())
    .bind(now.datetime())
    .bind(export.expires_at.datetime())
    .bind(hold.map(HoldId::uuid))
    .execute(&mut *transaction)
    .await?;
    if let Some(hold) = hold {
        let requested = ExportRequested { hold_id: hold.uuid() };
        audit::note(&mut transaction, stamp, Audited::ExportRequested(export.id.uuid().into(), requested))
            .await?;
    }
    transaction.commit().await
}

/// An export of any account.
pub(crate) async fn find(pool: &PgPool, id: ExportId) -> sqlx::Result<Option<Export>> {
    let row: Option<Row> = sqlx::query_as("select * from auth.export where id = $1")
        .bind(id.uuid())
        .fetch_optional(pool)
        .await?;
    Ok(row.map(Export::from))
}

/// The exports that an account requested of its own data, the latest first, from after the export `after`.
pub(crate) async fn list(
    pool: &PgPool,
    user: UserId,
    after: Option<(Time, ExportId)>,
    limit: i64,
) -> sqlx::Result<Vec<Export>> {
    let (time, id) = after.map(|(time, id)| (time.datetime(), id.uuid())).unzip();
    let rows: Vec<Row> = sqlx::query_as(
        "select * from auth.export
         where account_id = $1 and hold_id is null and ($2::timestamptz is null or (created_at, id) < ($2, $3))
         order by created_at desc, id desc limit $4",
    )
    .bind(user.uuid())
    .bind(time)
    .bind(id)
    .bind(limit)
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(Export::from).collect())
}

/// Whether a link that a login of a user received is still valid. A session at an issuer counts until it is ended, even
/// if its last token has expired.
pub(crate) async fn link_state(
    pool: &PgPool,
    user: UserId,
    login: LoginId,
    now: Time,
) -> sqlx::Result<LinkState> {
    let found: (bool, bool) = sqlx::query_as(
        "select exists (select from auth.account where id = $1 and deactivated_at is null),
                exists (select from auth.login
                        where id = $2 and account_id = $1 and revoked_at is null and expires_at > $3)
             or exists (select from auth.direct_login
                        where login_id = $2 and account_id = $1 and revoked_at is null)",
    )
    .bind(user.uuid())
    .bind(login.uuid())
    .bind(now.datetime())
    .fetch_one(pool)
    .await?;
    Ok(found.into())
}

/// Whether a link that a key of a service account received is still valid: the key must still have the scope that it
/// needed for the request.
pub(crate) async fn link_state_of_key(
    pool: &PgPool,
    service: UserId,
    key: LoginId,
    scope: Scope,
    now: Time,
) -> sqlx::Result<LinkState> {
    let found: (bool, bool) = sqlx::query_as(
        "select exists (select from auth.account where id = $1 and deactivated_at is null),
                exists (select from auth.api_key key join auth.service_account service on service.id = key.account_id
                        where key.id = $2 and service.id = $1 and key.revoked_at is null
                              and (key.expires_at is null or key.expires_at > $3)
                              and $4 = any(key.scopes) and $4 = any(service.scopes))",
    )
    .bind(service.uuid())
    .bind(key.uuid())
    .bind(now.datetime())
    .bind(scope.word())
    .fetch_one(pool)
    .await?;
    Ok(found.into())
}

/// The state from two facts: whether the account is active, and whether its login or key is active.
impl From<(bool, bool)> for LinkState {
    fn from(found: (bool, bool)) -> Self {
        match found {
            (false, _) => Self::Suspended,
            (true, false) => Self::Ended,
            (true, true) => Self::Good,
        }
    }
}
