//! Registering, finding and changing accounts.

use std::collections::HashSet;

use sqlx::{FromRow, PgPool};
use thiserror::Error;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    accounts::{
        audit::{self, Stamp},
        budgets::{self, Budget},
        invite_codes,
    },
    credentials::{AvatarUrl, DisplayName, OneTimeHash, PasswordHash, Username},
    domain::{AccountCreated, AccountField, AccountUpdated, Audited, Origin, Time, UserId, UserKind},
};

/// An account as others may see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    /// The id of the user.
    pub id: UserId,
    /// The unique name, by which other users find the account.
    pub username: Username,
    /// The name to show, which need not be unique.
    pub display_name: DisplayName,
    /// The address of the user's picture.
    pub avatar_url: Option<AvatarUrl>,
    /// Whether the user is a person or a program.
    pub kind: UserKind,
    /// The time of the registration.
    pub created_at: Time,
    /// The time at which the user was last online; `None` before the first time.
    pub last_seen_at: Option<Time>,
}

/// A change of the public profile of an account. `None` keeps a value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct AccountChanges {
    /// The new name to show.
    pub display_name: Option<DisplayName>,
    /// The new address of the picture, or `Some(None)` for no picture.
    pub avatar_url: Option<Option<AvatarUrl>>,
}

/// Why an account was not created.
#[derive(Debug, Error)]
pub(crate) enum RegisterError {
    /// Another account has this name or a similar-looking one.
    #[error("the user name is taken: choose another one")]
    UsernameTaken,
    /// The invitation code is not valid.
    #[error("the invitation code is not valid: ask for another one")]
    InvalidInvite,
    /// The database did not answer.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// The columns of an [`AccountRow`].
macro_rules! columns {
    () => {
        "id, username, display_name, avatar_url, kind, created_at, last_seen_at"
    };
}

#[derive(FromRow)]
pub(super) struct AccountRow {
    id: Uuid,
    username: String,
    display_name: String,
    avatar_url: Option<String>,
    kind: String,
    created_at: OffsetDateTime,
    last_seen_at: Option<OffsetDateTime>,
}

impl From<AccountRow> for Account {
    fn from(row: AccountRow) -> Self {
        Self {
            id: UserId::known(row.id),
            username: Username::known(row.username),
            display_name: DisplayName::known(row.display_name),
            avatar_url: row.avatar_url.map(AvatarUrl::known),
            kind: if row.kind == "service" { UserKind::Service } else { UserKind::User },
            created_at: Time::of(row.created_at),
            last_seen_at: row.last_seen_at.map(Time::of),
        }
    }
}

/// Creates an account, with an invitation code if one is given. Of several concurrent requests for one name, exactly
/// one succeeds.
pub(crate) async fn register(
    pool: &PgPool,
    id: UserId,
    username: &Username,
    display_name: &DisplayName,
    password: &PasswordHash,
    invite: Option<&OneTimeHash>,
    stamp: Stamp,
) -> Result<Account, RegisterError> {
    let mut transaction = pool.begin().await?;
    let row: Option<AccountRow> = sqlx::query_as(concat!(
        "insert into auth.account (id, username, username_key, display_name, password_hash, created_at)
         values ($1, $2, $3, $4, $5, $6)
         on conflict (username_key) do nothing
         returning ",
        columns!()
    ))
    .bind(id.uuid())
    .bind(username.as_str())
    .bind(username.key())
    .bind(display_name.as_str())
    .bind(password.as_str())
    .bind(stamp.at.datetime())
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(row) = row else { return Err(RegisterError::UsernameTaken) };
    let invite_id = match invite {
        None => None,
        // The code is used after the row of the account is inserted, so that a taken name uses no code.
        Some(code) => match invite_codes::take(&mut transaction, code, stamp.at).await? {
            None => return Err(RegisterError::InvalidInvite),
            taken => taken,
        },
    };
    let created = AccountCreated { invite_id, ..AccountCreated::of(Origin::Registered) };
    let created = Audited::AccountCreated(id.into(), created);
    audit::note(&mut transaction, stamp, created).await?;
    transaction.commit().await?;
    Ok(row.into())
}

/// Whether an account has this name, or one that looks like it.
pub(crate) async fn is_taken(pool: &PgPool, username: &Username) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("select exists (select from auth.account where username_key = $1)")
        .bind(username.key())
        .fetch_one(pool)
        .await
}

/// The user name of an account, and whether the account has a password.
pub(crate) async fn name_and_password(
    pool: &PgPool,
    id: UserId,
) -> Result<Option<(Username, bool)>, sqlx::Error> {
    let row: Option<(String, bool)> =
        sqlx::query_as("select username, password_hash is not null from auth.account where id = $1")
            .bind(id.uuid())
            .fetch_optional(pool)
            .await?;
    Ok(row.map(|(name, has_password)| (Username::known(name), has_password)))
}

/// The account with this id.
pub(crate) async fn find(pool: &PgPool, id: UserId) -> Result<Option<Account>, sqlx::Error> {
    Ok(find_many(pool, &[id]).await?.pop())
}

/// The accounts with these ids, in no order. Ids without an account are left out.
pub(crate) async fn find_many(pool: &PgPool, ids: &[UserId]) -> Result<Vec<Account>, sqlx::Error> {
    let rows: Vec<AccountRow> =
        sqlx::query_as(concat!("select ", columns!(), " from auth.account where id = any($1)"))
            .bind(uuids(ids))
            .fetch_all(pool)
            .await?;
    Ok(rows.into_iter().map(Account::from).collect())
}

/// The account with exactly this name. An account with a name that only looks like it is not found.
pub(crate) async fn by_username(pool: &PgPool, username: &Username) -> Result<Option<Account>, sqlx::Error> {
    let row: Option<AccountRow> = sqlx::query_as(concat!(
        "select ",
        columns!(),
        " from auth.account where username_key = $1 and username = $2"
    ))
    .bind(username.key())
    .bind(username.as_str())
    .fetch_optional(pool)
    .await?;
    Ok(row.map(Account::from))
}

/// Changes the public profile of an account. `None` if nothing changes, or if there is no such account. The change
/// makes an audit event as long as the budget `events` lasts: nothing can be deleted from the stream of these events,
/// so a user must not be able to fill it.
pub(crate) async fn change(
    pool: &PgPool,
    id: UserId,
    changes: &AccountChanges,
    stamp: Stamp,
    events: &Budget,
) -> Result<Option<Account>, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    // The lock makes a concurrent change wait, so that of two equal changes only one has an effect.
    let before: Option<AccountRow> =
        sqlx::query_as(concat!("select ", columns!(), " from auth.account where id = $1 for no key update"))
            .bind(id.uuid())
            .fetch_optional(&mut *transaction)
            .await?;
    let Some(before) = before.map(Account::from) else { return Ok(None) };
    let after = Account {
        display_name: changes.display_name.clone().unwrap_or_else(|| before.display_name.clone()),
        avatar_url: changes.avatar_url.clone().unwrap_or_else(|| before.avatar_url.clone()),
        ..before.clone()
    };
    let mut changed = Vec::new();
    if after.display_name != before.display_name {
        changed.push(AccountField::DisplayName);
    }
    if after.avatar_url != before.avatar_url {
        changed.push(AccountField::AvatarUrl);
    }
    if changed.is_empty() {
        return Ok(None);
    }
    sqlx::query("update auth.account set display_name = $2, avatar_url = $3 where id = $1")
        .bind(id.uuid())
        .bind(after.display_name.as_str())
        .bind(after.avatar_url.as_ref().map(AvatarUrl::as_str))
        .execute(&mut *transaction)
        .await?;
    if budgets::take_on(&mut transaction, events).await?.is_ok() {
        let updated = AccountUpdated { changed, logins_revoked: None };
        audit::note(&mut transaction, stamp, Audited::AccountUpdated(id.into(), updated)).await?;
    }
    transaction.commit().await?;
    Ok(Some(after))
}

/// Stores the times at which users were online. A time before the stored one changes nothing, and an erased account keeps
/// none.
pub(crate) async fn saw(pool: &PgPool, seen: &[(UserId, Time)]) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update auth.account set last_seen_at = seen.at
         from unnest($1::uuid[], $2::timestamptz[]) as seen (id, at)
         where account.id = seen.id and erased_at is null
               and (last_seen_at is null or last_seen_at < seen.at)",
    )
    .bind(seen.iter().map(|(id, _)| id.uuid()).collect::<Vec<_>>())
    .bind(seen.iter().map(|(_, at)| at.datetime()).collect::<Vec<_>>())
    .execute(pool)
    .await?;
    Ok(())
}

/// The ids among `ids` that have an account.
pub(crate) async fn existing(pool: &PgPool, ids: &[UserId]) -> Result<HashSet<UserId>, sqlx::Error> {
    let found: Vec<Uuid> = sqlx::query_scalar("select id from auth.account where id = any($1)")
        .bind(uuids(ids))
        .fetch_all(pool)
        .await?;
    Ok(found.into_iter().map(UserId::known).collect())
}

fn uuids(ids: &[UserId]) -> Vec<Uuid> {
    ids.iter().map(|id| id.uuid()).collect()
}
