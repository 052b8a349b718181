//! The users of external issuers.

use sqlx::{FromRow, PgPool, Postgres, Transaction};
use uuid::Uuid;

use crate::{
    accounts::{
        audit::{self, Stamp},
        external_logouts::{IssuerProof, Subject, hold_off_logouts, is_over, refusal},
    },
    credentials::{DisplayName, Username},
    domain::{AccountCreated, AccountField, AccountUpdated, Audited, Origin, Time, UserId},
};

/// An account to create for a user of an issuer.
#[derive(Debug)]
pub(crate) struct Newcomer<'a> {
    /// The id of the account.
    pub id: UserId,
    /// The user names to try, in this order.
    pub usernames: &'a [Username],
    /// The name to show, if it differs from the user name.
    pub display_name: Option<&'a DisplayName>,
    /// The roles that follow from the user's groups.
    pub roles: &'a [String],
    /// A keyed hash of the issuer and the subject, for the audit trail.
    pub origin_hash: &'a str,
}

/// The result of creating an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Creation {
    /// The account of this user, which was created now or by another request a moment ago.
    Is(UserId),
    /// All user names are taken.
    NamesTaken,
    /// The user has logged out at the issuer since it created the token, or was erased since.
    Over,
}

/// The account of a user, with the data copied from the issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    /// The account.
    pub user: UserId,
    /// The name to show.
    pub display_name: DisplayName,
    /// The roles that follow from the user's groups.
    pub roles: Vec<String>,
}

/// The account of a user.
pub(crate) async fn find(pool: &PgPool, of: Subject<'_>) -> Result<Option<Known>, sqlx::Error> {
    #[derive(FromRow)]
    struct Row {
        id: Uuid,
        display_name: String,
        roles: Vec<String>,
    }
    let row: Option<Row> = sqlx::query_as(
        "select a.id, a.display_name, i.roles
         from auth.external_identity i join auth.account a on a.id = i.account_id
         where i.issuer = $1 and i.subject = $2",
    )
    .bind(of.issuer)
    .bind(of.subject)
    .fetch_optional(pool)
    .await?;
    Ok(row.map(|row| Known {
        user: UserId::known(row.id),
        display_name: DisplayName::known(row.display_name),
        roles: row.roles,
    }))
}

/// Creates the account of a user, unless the token no longer counts. Of several requests for one user at the same time,
/// one creates the account, and the others find it.
pub(crate) async fn create(
    pool: &PgPool,
    by: &IssuerProof<'_>,
    newcomer: &Newcomer<'_>,
    stamp: Stamp,
) -> Result<Creation, sqlx::Error> {
    let of = by.of;
    let mut transaction = pool.begin().await?;
    hold_off_logouts(&mut transaction, of.issuer).await?;
    if is_over(&mut transaction, by).await? {
        return Ok(Creation::Over);
    }
    let mut is_created = false;
    for username in newcomer.usernames {
        is_created = insert_account(&mut transaction, newcomer, username, stamp.at).await?;
        if is_created {
            break;
        }
    }
    if !is_created {
        return Ok(Creation::NamesTaken);
    }
    // The primary key makes a concurrent request wait here until the first one has ended.
    let inserted = sqlx::query(
        "insert into auth.external_identity (issuer, subject, account_id, roles, created_at)
         values ($1, $2, $3, $4, $5) on conflict do nothing",
    )
    .bind(of.issuer)
    .bind(of.subject)
    .bind(newcomer.id.uuid())
    .bind(newcomer.roles)
    .bind(stamp.at.datetime())
    .execute(&mut *transaction)
    .await?;
    if inserted.rows_affected() == 1 {
        let origin_hash = Some(newcomer.origin_hash.to_owned());
        let created = AccountCreated { origin_hash, ..AccountCreated::of(Origin::External) };
        audit::note(&mut transaction, stamp, Audited::AccountCreated(newcomer.id.into(), created)).await?;
        transaction.commit().await?;
        return Ok(Creation::Is(newcomer.id));
    }
    transaction.rollback().await?;
    let other = find(pool, of).await?;
    Ok(other.map_or(Creation::NamesTaken, |other| Creation::Is(other.user)))
}

async fn insert_account(
    transaction: &mut Transaction<'_, Postgres>,
    newcomer: &Newcomer<'_>,
    username: &Username,
    now: Time,
) -> Result<bool, sqlx::Error> {
    let default = DisplayName::of_username(username.as_str()).ok();
    let display_name = newcomer.display_name.or(default.as_ref());
    let inserted = sqlx::query(
        "insert into auth.account (id, username, username_key, display_name, created_at, origin)
         values ($1, $2, $3, $4, $5, 'external')
         on conflict (username_key) do nothing",
    )
    .bind(newcomer.id.uuid())
    .bind(username.as_str())
    .bind(username.key())
    .bind(display_name.map_or(username.as_str(), DisplayName::as_str))
    .bind(now.datetime())
    .execute(&mut **transaction)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// Copies the data of a user from the issuer: the roles, and the display name if there is one to copy. Copies nothing
/// from a token that no longer counts. Returns whether other users see another name now.
pub(crate) async fn update(
    pool: &PgPool,
    by: &IssuerProof<'_>,
    user: UserId,
    display_name: Option<&DisplayName>,
    roles: &[String],
    stamp: Stamp,
) -> Result<bool, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    if refusal(&mut transaction, user, by).await?.is_some() {
        return Ok(false);
    }
    let renamed =
        sqlx::query("update auth.account set display_name = $2 where id = $1 and display_name <> $2")
            .bind(user.uuid())
            .bind(display_name.map(DisplayName::as_str))
            .execute(&mut *transaction)
            .await?;
    let other_roles = sqlx::query(
        "update auth.external_identity set roles = $3 where issuer = $1 and subject = $2 and roles <> $3",
    )
    .bind(by.of.issuer)
    .bind(by.of.subject)
    .bind(roles)
    .execute(&mut *transaction)
    .await?;
    let is_renamed = renamed.rows_affected() > 0;
    let fields =
        [(is_renamed, AccountField::DisplayName), (other_roles.rows_affected() > 0, AccountField::Roles)];
    let changed: Vec<_> = fields.into_iter().filter(|(done, _)| *done).map(|(_, field)| field).collect();
    if !changed.is_empty() {
        let updated = AccountUpdated { changed, logins_revoked: None };
        audit::note(&mut transaction, stamp, Audited::AccountUpdated(user.into(), updated)).await?;
    }
    transaction.commit().await?;
    Ok(is_renamed)
}
