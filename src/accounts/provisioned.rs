//! The users of a host application, by the ids of that application. The table of the host application is the source of
//! truth, and rows here follow it.

use std::collections::HashMap;

use sqlx::{FromRow, PgPool, Postgres, Transaction};
use thiserror::Error;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    accounts::{
        audit::{self, Stamp},
        people::{Account, AccountRow},
    },
    credentials::{AvatarUrl, DisplayName, Username},
    domain::{
        AccountCreated, AccountField, AccountUpdated, Audited, ExternalId, HostRole, Json, Metadata, Origin,
        Time, UserId,
    },
};

/// The only tenant, until there are namespaces. All service accounts share the ids of its users and conversations.
pub(crate) const TENANT: &str = "default";

/// A user as the host application describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostUser {
    /// The id from the host application.
    pub external_id: ExternalId,
    /// The name to show.
    pub display_name: DisplayName,
    /// The user name. `None` keeps the current one, or derives one from the name to show.
    pub username: Option<Username>,
    /// The address of the user's picture.
    pub avatar_url: Option<AvatarUrl>,
    /// The metadata that the host application stores with its user.
    pub metadata: Option<Metadata>,
    /// The roles from the host application, in order and without duplicates.
    pub roles: Vec<HostRole>,
}

/// A user of the host application as stored.
#[derive(Debug, Clone)]
pub(crate) struct ProvisionedUser {
    /// The id from the host application.
    pub external_id: ExternalId,
    /// The account.
    pub account: Account,
    /// The metadata that the host application stores with its user.
    pub metadata: Option<Json>,
    /// The roles from the host application.
    pub roles: Vec<HostRole>,
    /// The time at which the account was deactivated; `None` for an active account.
    pub deactivated_at: Option<Time>,
}

impl ProvisionedUser {
    /// Whether the stored user equals the host application's description.
    pub(crate) fn is_as(&self, wanted: &HostUser) -> bool {
        self.differences(wanted).is_empty()
    }

    fn differences(&self, wanted: &HostUser) -> Vec<AccountField> {
        let Account { username, display_name, avatar_url, .. } = &self.account;
        let metadata_differ = match (&self.metadata, &wanted.metadata) {
            (Some(is), Some(wanted)) => !is.means(wanted.json()),
            (is, wanted) => is.is_some() || wanted.is_some(),
        };
        let differs = [
            (AccountField::Username, wanted.username.as_ref().is_some_and(|wanted| wanted != username)),
            (AccountField::DisplayName, wanted.display_name != *display_name),
            (AccountField::AvatarUrl, wanted.avatar_url != *avatar_url),
            (AccountField::Metadata, metadata_differ),
            (AccountField::Roles, wanted.roles != self.roles),
        ];
        differs.into_iter().filter(|(_, differs)| *differs).map(|(field, _)| field).collect()
    }
}

/// Why a user was not written.
#[derive(Debug, Error)]
pub(crate) enum ProvisionError {
    /// Another account has the user name or a similar-looking one.
    #[error("the user name is taken: choose another one")]
    UsernameTaken,
    /// A concurrent request created the user.
    #[error("the user has just been made")]
    JustMade,
    /// The database did not answer.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

#[derive(FromRow)]
struct Row {
    external_id: String,
    #[sqlx(flatten)]
    account: AccountRow,
    metadata: Option<String>,
    roles: Vec<String>,
    deactivated_at: Option<OffsetDateTime>,
}

impl From<Row> for ProvisionedUser {
    fn from(row: Row) -> Self {
        Self {
            external_id: ExternalId::known(row.external_id),
            account: row.account.into(),
            metadata: row.metadata.and_then(|text| text.parse().ok()),
            roles: row.roles.into_iter().map(HostRole::known).collect(),
            deactivated_at: row.deactivated_at.map(Time::of),
        }
    }
}

macro_rules! provisioned {
    ($end:literal) => {
        concat!(
            "select external_id, metadata, roles, deactivated_at, id, username, display_name, avatar_url, kind,
                    created_at, last_seen_at
             from auth.external_id join auth.account on id = account_id ",
            $end
        )
    };
}

/// The users with these external ids, in no order. Ids without a user are left out.
pub(crate) async fn provisioned(pool: &PgPool, ids: &[ExternalId]) -> sqlx::Result<Vec<ProvisionedUser>> {
    let rows: Vec<Row> = sqlx::query_as(provisioned!("where tenant = $1 and external_id = any($2)"))
        .bind(TENANT)
        .bind(ids.iter().map(ExternalId::as_str).collect::<Vec<_>>())
        .fetch_all(pool)
        .await?;
    Ok(rows.into_iter().map(ProvisionedUser::from).collect())
}

/// The user with an external id.
pub(crate) async fn provisioned_one(pool: &PgPool, id: &ExternalId) -> sqlx::Result<Option<ProvisionedUser>> {
    Ok(provisioned(pool, std::slice::from_ref(id)).await?.pop())
}

/// The external ids of these users. Users whom no host application added are left out.
pub(crate) async fn external_ids(
    pool: &PgPool,
    users: &[UserId],
) -> sqlx::Result<HashMap<UserId, ExternalId>> {
    let rows: Vec<(Uuid, String)> =
        sqlx::query_as("select account_id, external_id from auth.external_id where account_id = any($1)")
            .bind(users.iter().map(|user| user.uuid()).collect::<Vec<_>>())
            .fetch_all(pool)
            .await?;
    Ok(rows.into_iter().map(|(user, id)| (UserId::known(user), ExternalId::known(id))).collect())
}

/// Creates the account of a user. Of several concurrent requests for one external id or one user name, exactly one
/// succeeds.
pub(crate) async fn make_provisioned(
    pool: &PgPool,
    id: UserId,
    user: &HostUser,
    username: &Username,
    stamp: Stamp,
) -> Result<(), ProvisionError> {
    let mut transaction = pool.begin().await?;
    // Both statements wait for a transaction that inserts the same name or the same id, and see its result. All
    // requests insert the name first, so they cannot deadlock.
    let made = sqlx::query(
        "insert into auth.account
             (id, username, username_key, display_name, avatar_url, password_hash, created_at, kind, origin)
         values ($1, $2, $3, $4, $5, null, $6, 'user', 'provisioned')
         on conflict (username_key) do nothing",
    )
    .bind(id.uuid())
    .bind(username.as_str())
    .bind(username.key())
    .bind(user.display_name.as_str())
    .bind(user.avatar_url.as_ref().map(AvatarUrl::as_str))
    .bind(stamp.at.datetime())
    .execute(&mut *transaction)
    .await?;
    if made.rows_affected() == 0 {
        return Err(ProvisionError::UsernameTaken);
    }
    let named = sqlx::query(
        "insert into auth.external_id (tenant, external_id, account_id, metadata, roles)
         values ($1, $2, $3, $4, $5)
         on conflict (tenant, external_id) do nothing",
    )
    .bind(TENANT)
    .bind(user.external_id.as_str())
    .bind(id.uuid())
    .bind(user.metadata.as_ref().map(|metadata| metadata.json().as_str()))
    .bind(words(&user.roles))
    .execute(&mut *transaction)
    .await?;
    if named.rows_affected() == 0 {
        return Err(ProvisionError::JustMade);
    }
    let created = Audited::AccountCreated(id.into(), AccountCreated::of(Origin::Provisioned));
    audit::note(&mut transaction, stamp, created).await?;
    transaction.commit().await?;
    Ok(())
}

/// Changes a stored user to match the host application's description. `false` if it matches already, `None` if there is
/// no such user.
pub(crate) async fn change_provisioned(
    pool: &PgPool,
    wanted: &HostUser,
    stamp: Stamp,
) -> Result<Option<bool>, ProvisionError> {
    let mut transaction = pool.begin().await?;
    let Some(is) = locked(&mut transaction, &wanted.external_id).await? else { return Ok(None) };
    let changed = is.differences(wanted);
    if changed.is_empty() {
        return Ok(Some(false));
    }
    let username = wanted.username.as_ref().unwrap_or(&is.account.username);
    sqlx::query(
        "update auth.account set username = $2, username_key = $3, display_name = $4, avatar_url = $5 where id = $1",
    )
    .bind(is.account.id.uuid())
    .bind(username.as_str())
    .bind(username.key())
    .bind(wanted.display_name.as_str())
    .bind(wanted.avatar_url.as_ref().map(AvatarUrl::as_str))
    .execute(&mut *transaction)
    .await
    .map_err(|error| match error.as_database_error() {
        Some(of_database) if of_database.is_unique_violation() => ProvisionError::UsernameTaken,
        _ => error.into(),
    })?;
    sqlx::query("update auth.external_id set metadata = $2, roles = $3 where account_id = $1")
        .bind(is.account.id.uuid())
        .bind(wanted.metadata.as_ref().map(|metadata| metadata.json().as_str()))
        .bind(words(&wanted.roles))
        .execute(&mut *transaction)
        .await?;
    let updated = AccountUpdated { changed, logins_revoked: None };
    audit::note(&mut transaction, stamp, Audited::AccountUpdated(is.account.id.into(), updated)).await?;
    transaction.commit().await?;
    Ok(Some(true))
}

/// The stored user. The row of the account is locked until the end of the transaction, so that concurrent changes
/// happen one after the other.
async fn locked(
    transaction: &mut Transaction<'_, Postgres>,
    id: &ExternalId,
) -> sqlx::Result<Option<ProvisionedUser>> {
    let row: Option<Row> =
        sqlx::query_as(provisioned!("where tenant = $1 and external_id = $2 for no key update of account"))
            .bind(TENANT)
            .bind(id.as_str())
            .fetch_optional(&mut **transaction)
            .await?;
    Ok(row.map(ProvisionedUser::from))
}

fn words(roles: &[HostRole]) -> Vec<&str> {
    roles.iter().map(HostRole::as_str).collect()
}
