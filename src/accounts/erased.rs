//! Erasing an account: its row keeps the id and a meaningless name. The messages of the account are in the log, and are
//! not erased here.

use std::{collections::BTreeSet, time::Duration};

use sqlx::{PgPool, Postgres, Transaction};
use uuid::Uuid;

use crate::{
    accounts::{
        TENANT, WhichAccount,
        activity::deactivate,
        audit::{self, Stamp},
        erasure_scope::ErasureScope,
        external_logouts::refuse_tokens_until,
        kept::keep_account,
    },
    domain::{AccountErased, Audited, ConversationId, ErasureCancelled, ErasureId, LoginId, Time, UserId},
};

/// The result of erasing an account, now or earlier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Emptied {
    /// The logins of the account that ended lately: only these may still have a valid access token.
    pub ended: Vec<LoginId>,
    /// The number of rows that were emptied or removed; 0 if this was done before.
    pub rows: u64,
}

/// The tables with rows of an account, and the column with its id. `auth.login` is not among them: its rows are
/// emptied, not deleted, because nodes read from it which logins have ended.
const OF_ACCOUNT: &[(&str, &str)] = &[
    ("auth.external_identity", "account_id"),
    ("auth.external_id", "account_id"),
    ("auth.direct_login", "account_id"),
    ("auth.recovery", "account_id"),
    ("auth.conversation_setting", "account_id"),
    ("auth.block", "account_id"),
    ("auth.invitation", "invited_id"),
    ("auth.invitation", "by_id"),
    ("auth.export", "account_id"),
];

/// The id of an account that can be erased: not the account of a program, and an erased account only if its content is
/// still to be erased.
pub(crate) async fn erasable(
    pool: &PgPool,
    which: WhichAccount<'_>,
    scope: ErasureScope,
) -> sqlx::Result<Option<UserId>> {
    let query = match which {
        WhichAccount::Id(id) => sqlx::query_scalar(
            "select id from auth.account where id = $1 and kind = 'user'
               and (erased_at is null
                    or ($2 = 'account_and_content'
                        and not exists (select from auth.erasure where account_id = $1 and scope = $2)))",
        )
        .bind(id.uuid())
        .bind(scope.word()),
        WhichAccount::External(id) => sqlx::query_scalar(
            "select id from auth.external_id join auth.account on id = account_id
             where tenant = $1 and external_id = $2 and erased_at is null",
        )
        .bind(TENANT)
        .bind(id.as_str()),
    };
    let found: Option<Uuid> = query.fetch_optional(pool).await?;
    Ok(found.map(UserId::known))
}

/// Which of these accounts exist and are not erased.
pub(crate) async fn not_erased_of(pool: &PgPool, accounts: &BTreeSet<UserId>) -> sqlx::Result<Vec<UserId>> {
    let ids: Vec<Uuid> = accounts.iter().map(|account| account.uuid()).collect();
    let found: Vec<Uuid> =
        sqlx::query_scalar("select id from auth.account where id = any($1) and erased_at is null")
            .bind(ids)
            .fetch_all(pool)
            .await?;
    Ok(found.into_iter().map(UserId::known).collect())
}

/// Whether a login of the account began within the last `age`.
pub(crate) async fn is_fresh(
    pool: &PgPool,
    user: UserId,
    login: LoginId,
    now: Time,
    age: Duration,
) -> sqlx::Result<bool> {
    sqlx::query_scalar(
        "select exists (select from auth.login
                        where id = $1 and account_id = $2 and created_at > $3 - make_interval(secs => $4))",
    )
    .bind(login.uuid())
    .bind(user.uuid())
    .bind(now.datetime())
    .bind(age.as_secs_f64())
    .fetch_one(pool)
    .await
}

/// Deactivates an account for good, and empties its row and all rows about it in other tables. `name` becomes its user
/// name and must be new. Calling it again changes nothing.
pub(crate) async fn erase(
    pool: &PgPool,
    user: UserId,
    name: &str,
    [deactivating, stamp]: [Stamp; 2],
) -> sqlx::Result<Option<Emptied>> {
    let ended = deactivate(pool, WhichAccount::Id(user), deactivating).await?;
    let Some((user, ended)) = ended else { return Ok(None) };
    let mut transaction = pool.begin().await?;
    keep_account(&mut transaction, user).await?;
    let emptied = sqlx::query(
        "update auth.account
         set username = $2, username_key = $2, display_name = $2, password_hash = null, avatar_url = null,
             last_seen_at = null, created_at = $3, erased_at = $3
         where id = $1 and erased_at is null",
    )
    .bind(user.uuid())
    .bind(name)
    .bind(stamp.at.datetime())
    .execute(&mut *transaction)
    .await?
    .rows_affected();
    if emptied == 0 {
        return Ok(Some(Emptied { ended, rows: 0 }));
    }
    // The account may have been deactivated long ago, and a token that its issuer created since would otherwise make a new
    // account with the names of the user.
    refuse_tokens_until(&mut transaction, Some(user), stamp.at).await?;
    let rows = emptied + empty_others(&mut transaction, user).await?;
    audit::note(&mut transaction, stamp, Audited::AccountErased(user.into(), AccountErased {})).await?;
    transaction.commit().await?;
    Ok(Some(Emptied { ended, rows }))
}

async fn empty_others(transaction: &mut Transaction<'_, Postgres>, user: UserId) -> sqlx::Result<u64> {
    let logins = sqlx::query("update auth.login set device = null, place = null where account_id = $1");
    let of_issuers = sqlx::query(
        "delete from auth.external_login where login_id in (select id from auth.login where account_id = $1)",
    );
    let mut rows = 0;
    for statement in [logins, of_issuers] {
        rows += statement.bind(user.uuid()).execute(&mut **transaction).await?.rows_affected();
    }
    for (table, column) in OF_ACCOUNT {
        let sql = format!("delete from {table} where {column} = $1");
        let removed = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(user.uuid());
        rows += removed.execute(&mut **transaction).await?.rows_affected();
    }
    Ok(rows)
}

/// Cancels the erasure that an account requested for itself, if it has not begun. Returns whether there was one.
pub(crate) async fn cancel_erasure(pool: &PgPool, account: UserId, stamp: Stamp) -> sqlx::Result<bool> {
    let mut transaction = pool.begin().await?;
    let cancelled: Option<Uuid> = sqlx::query_scalar(
        "delete from auth.erasure
         where account_id = $1 and actor = $1 and starts_at > $2 and account_erased_at is null and done_at is null
           and claimed_until is null
         returning id",
    )
    .bind(account.uuid())
    .bind(stamp.at.datetime())
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(id) = cancelled else { return Ok(false) };
    audit::note(&mut transaction, stamp, Audited::ErasureCancelled(id.into(), ErasureCancelled {})).await?;
    transaction.commit().await?;
    Ok(true)
}

/// Records that the account of a request is emptied, and in which conversations it may have sent messages.
pub(crate) async fn account_is_emptied(
    pool: &PgPool,
    id: ErasureId,
    rows: u64,
    at: Time,
    conversations: &[ConversationId],
) -> sqlx::Result<()> {
    let mut transaction = pool.begin().await?;
    sqlx::query(
        "update auth.erasure set account_erased_at = coalesce(account_erased_at, $2), rows = greatest(rows, $3)
         where id = $1",
    )
    .bind(id.uuid())
    .bind(at.datetime())
    .bind(i32::try_from(rows).unwrap_or(i32::MAX))
    .execute(&mut *transaction)
    .await?;
    sqlx::query(
        "insert into auth.erasure_conversation (erasure_id, conversation_id, positions)
         select $1, id, '{}' from unnest($2::uuid[]) as id on conflict do nothing",
    )
    .bind(id.uuid())
    .bind(conversations.iter().map(|id| id.uuid()).collect::<Vec<_>>())
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await
}
