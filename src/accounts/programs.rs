//! Service accounts: the accounts of programs, and the scopes that their keys may have.

use std::collections::BTreeMap;

use sqlx::{FromRow, PgPool, types::Json};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    accounts::{
        audit::{self, Stamp},
        people::RegisterError,
    },
    credentials::{DisplayName, Scopes, Username},
    domain::{AccountCreated, Audited, Origin, Time, UserId},
};

/// The account of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServiceAccount {
    /// The id of the user.
    pub id: UserId,
    /// The unique name.
    pub username: Username,
    /// The name to show.
    pub display_name: DisplayName,
    /// The scopes that its keys may have.
    pub scopes: Scopes,
    /// Its limits that differ from the default: a rate by the name of its policy.
    pub limits: BTreeMap<String, String>,
    /// The time at which the account was created.
    pub created_at: Time,
}

#[derive(FromRow)]
struct Row {
    id: Uuid,
    username: String,
    display_name: String,
    scopes: Vec<String>,
    limits: Json<BTreeMap<String, String>>,
    created_at: OffsetDateTime,
}

impl From<Row> for ServiceAccount {
    fn from(row: Row) -> Self {
        Self {
            id: UserId::known(row.id),
            username: Username::known(row.username),
            display_name: DisplayName::known(row.display_name),
            scopes: Scopes::known(&row.scopes),
            limits: row.limits.0,
            created_at: Time::of(row.created_at),
        }
    }
}

/// Whether an account is created in any case, or only as the first one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServicePlace {
    /// In addition to any that exist.
    Beside,
    /// Only if no service account exists.
    First,
}

/// Creates the account of a program; `None` if it must be the first one and is not.
pub(crate) async fn add(
    pool: &PgPool,
    account: &ServiceAccount,
    place: ServicePlace,
    stamp: Stamp,
) -> Result<Option<()>, RegisterError> {
    let ServiceAccount { id, username, display_name, scopes, limits, created_at } = account;
    let mut transaction = pool.begin().await?;
    if place == ServicePlace::First {
        // The lock conflicts with itself, so of two concurrent first accounts the second sees the first.
        sqlx::query("lock table auth.service_account in share row exclusive mode")
            .execute(&mut *transaction)
            .await?;
        let is_there = sqlx::query_scalar("select exists (select from auth.service_account)");
        if is_there.fetch_one(&mut *transaction).await? {
            return Ok(None);
        }
    }
    let made = sqlx::query(
        "with account as (
             insert into auth.account (id, username, username_key, display_name, kind, origin, created_at)
             values ($1, $2, $3, $4, 'service', 'service', $5)
             on conflict (username_key) do nothing returning id
         )
         insert into auth.service_account (id, scopes, limits, created_at) select id, $6, $7, $5 from account",
    )
    .bind(id.uuid())
    .bind(username.as_str())
    .bind(username.key())
    .bind(display_name.as_str())
    .bind(created_at.datetime())
    .bind(scopes.words())
    .bind(Json(limits))
    .execute(&mut *transaction)
    .await?;
    if made.rows_affected() == 0 {
        return Err(RegisterError::UsernameTaken);
    }
    let created = AccountCreated { scopes: scopes.words(), ..AccountCreated::of(Origin::Service) };
    audit::note(&mut transaction, stamp, Audited::AccountCreated((*id).into(), created)).await?;
    transaction.commit().await?;
    Ok(Some(()))
}

/// The service accounts, the latest first, from after the account that `after` names.
pub(crate) async fn list(
    pool: &PgPool,
    after: Option<(Time, UserId)>,
    limit: i64,
) -> Result<Vec<ServiceAccount>, sqlx::Error> {
    let rows: Vec<Row> = sqlx::query_as(
        "select id, account.username, account.display_name, service.scopes, service.limits,
                service.created_at
         from auth.service_account service join auth.account account using (id)
         where $1::timestamptz is null or (service.created_at, id) < ($1, $2)
         order by service.created_at desc, id desc limit $3",
    )
    .bind(after.map(|(at, _)| at.datetime()))
    .bind(after.map(|(_, id)| id.uuid()))
    .bind(limit)
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(ServiceAccount::from).collect())
}

/// The scopes that the keys of a service account may have; `None` if there is no such service account.
pub(crate) async fn scopes(pool: &PgPool, id: UserId) -> Result<Option<Scopes>, sqlx::Error> {
    let found: Option<Vec<String>> =
        sqlx::query_scalar("select scopes from auth.service_account where id = $1")
            .bind(id.uuid())
            .fetch_optional(pool)
            .await?;
    Ok(found.map(|words| Scopes::known(&words)))
}
