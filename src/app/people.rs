//! Management of people's accounts and logins by an operator with direct access to the servers.

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::PgPool;

use crate::{
    access::{self, AccessError, Account, InviteCode, Recovery},
    accounts::{self, AccountEnds, By, Stamp, WhichAccount},
    app::{Addresses, AppError, database, is_migrated, telling::tell_nodes},
    clock::Clock,
    credentials::Username,
    domain::{LoginId, Time, UserId},
    log::Signal,
};

/// How the command line names an account.
pub(crate) enum WhichUser {
    /// Its id.
    Id(UserId),
    /// Its user name, as typed.
    Username(String),
}

/// A new invitation code.
pub(crate) struct NewCode {
    /// The id of the code.
    pub id: LoginId,
    /// The code.
    pub code: String,
    /// The time at which it expires.
    pub expires_at: Time,
}

/// Makes an invitation code.
pub(crate) async fn add_invite(
    addresses: &Addresses,
    uses: u32,
    life: Duration,
) -> Result<NewCode, AppError> {
    let pool = open(addresses).await?;
    let made = access::add_invite(&pool, &Clock::system(), By::default(), uses, life).await;
    let (InviteCode { id, expires_at, .. }, code) = made.map_err(told)?;
    Ok(NewCode { id: LoginId::known(id), code: code.to_string(), expires_at })
}

/// The latest invitation codes.
pub(crate) async fn list_invites(addresses: &Addresses) -> Result<Vec<Value>, AppError> {
    let codes = access::list_invites(&open(addresses).await?, None, 200).await.map_err(told)?;
    Ok(codes.iter().map(shown).collect())
}

/// A code as the admin API shows it.
fn shown(code: &InviteCode) -> Value {
    let InviteCode { id, uses, used, created_at, expires_at, revoked_at } = code;
    json!({
        "id": LoginId::known(*id), "uses": uses, "used": used, "created_at": created_at, "expires_at": expires_at,
        "revoked_at": revoked_at,
    })
}

/// Revokes an invitation code.
pub(crate) async fn revoke_invite(addresses: &Addresses, id: LoginId) -> Result<(), AppError> {
    let pool = open(addresses).await?;
    access::revoke_invite(&pool, &Clock::system(), By::default(), id.uuid()).await.map_err(told)
}

/// Makes a recovery token for an account.
pub(crate) async fn recover_user(
    addresses: &Addresses,
    named: &WhichUser,
    life: Duration,
) -> Result<Recovery, AppError> {
    let pool = open(addresses).await?;
    let user = find(&pool, named).await?.id;
    match access::issue_recovery(&pool, &Clock::system(), By::default(), user, life).await {
        Err(AccessError::NotFound) => Err(AppError::Refused(
            "this account cannot be recovered: it belongs to a program, or is deactivated".into(),
        )),
        made => made.map_err(told),
    }
}

/// Deactivates an account, and notifies the nodes, which close its sockets.
pub(crate) async fn deactivate_user(addresses: &Addresses, named: &WhichUser) -> Result<(), AppError> {
    let pool = open(addresses).await?;
    let id = find(&pool, named).await?.id;
    let stamp = Stamp::now(&Clock::system(), By::default());
    let ended = accounts::deactivate(&pool, WhichAccount::Id(id), stamp).await?;
    let (user, logins) = ended.ok_or_else(of_program)?;
    let ended = logins.into_iter().map(|login| Signal::Revoked { login, suspended: Some(user) });
    tell_nodes(&pool, addresses, std::iter::once(Signal::Suspended { user }).chain(ended)).await?;
    match accounts::ends_of(&pool, id).await?.erased_at {
        None => Ok(()),
        Some(_) => Err(AppError::Refused("this account is erased: it is deactivated for good".into())),
    }
}

/// Reactivates a deactivated account, and notifies the nodes.
pub(crate) async fn reactivate_user(addresses: &Addresses, named: &WhichUser) -> Result<(), AppError> {
    let pool = open(addresses).await?;
    let id = find(&pool, named).await?.id;
    let stamp = Stamp::now(&Clock::system(), By::default());
    let Some(user) = accounts::reactivate(&pool, WhichAccount::Id(id), stamp).await? else {
        let is_erased = accounts::ends_of(&pool, id).await?.erased_at.is_some();
        return Err(if is_erased { erased() } else { of_program() });
    };
    tell_nodes(&pool, addresses, [Signal::Restored { user }]).await
}

/// Revokes every login that began before `since`, refuses earlier tokens of issuers, and notifies the nodes, which close its sockets. Returns the
/// number of revoked logins.
pub(crate) async fn revoke_logins(addresses: &Addresses, since: Time) -> Result<usize, AppError> {
    let pool = open(addresses).await?;
    let ended = accounts::revoke_begun_before(&pool, since, &Clock::system()).await?;
    let signal = |login: &LoginId| Signal::Revoked { login: *login, suspended: None };
    tell_nodes(&pool, addresses, ended.iter().map(signal)).await?;
    Ok(ended.len())
}

fn erased() -> AppError {
    AppError::Refused("this account is erased: it cannot be reactivated, register a new one".into())
}

fn of_program() -> AppError {
    AppError::Refused(
        "this account belongs to a program: revoke its keys with `verbatim services keys revoke`".into(),
    )
}

/// Finds an account, and when it was deactivated and erased.
pub(crate) async fn show_user(
    addresses: &Addresses,
    named: &WhichUser,
) -> Result<(Account, AccountEnds), AppError> {
    let pool = open(addresses).await?;
    let account = find(&pool, named).await?;
    let ends = accounts::ends_of(&pool, account.id).await?;
    Ok((account, ends))
}

async fn find(pool: &PgPool, named: &WhichUser) -> Result<Account, AppError> {
    let found = match named {
        WhichUser::Id(id) => accounts::find(pool, *id).await?,
        WhichUser::Username(typed) => match Username::parse(typed) {
            Ok(username) => accounts::by_username(pool, &username).await?,
            Err(_) => None,
        },
    };
    found.ok_or_else(|| AppError::Refused("there is no account with this name or id: check it".into()))
}

async fn open(addresses: &Addresses) -> Result<PgPool, AppError> {
    let pool = database(&addresses.database, 2).await?;
    is_migrated(&pool).await?;
    Ok(pool)
}

fn told(error: AccessError) -> AppError {
    match error {
        AccessError::Database(outage) => outage.into(),
        AccessError::NotFound => {
            AppError::Refused("there is no such code: see the ids with `verbatim invites list`".into())
        }
        other => AppError::Refused(other.to_string()),
    }
}
