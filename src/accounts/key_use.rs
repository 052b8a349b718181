//! The use of API keys: the queries and updates of authentication.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use sqlx::{FromRow, PgPool, types::Json};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    credentials::{KeyId, KeyNetworks, Network, Scopes},
    domain::{LoginId, Time, UserId},
};

/// A key as stored.
#[derive(Debug)]
pub(crate) struct StoredKey {
    /// The id of the key.
    pub id: LoginId,
    /// The service account.
    pub account: UserId,
    /// The hash of the whole key.
    pub hash: Vec<u8>,
    /// The scopes that both the key and its service account have.
    pub scopes: Scopes,
    /// The networks from which it may be used.
    pub networks: KeyNetworks,
    /// The time at which it expires.
    pub expires_at: Option<Time>,
    /// The limits of the service account that differ from the default, by policy.
    pub limits: BTreeMap<String, String>,
    /// Whether it was revoked.
    pub is_revoked: bool,
    /// Whether the service account is deactivated.
    pub is_suspended: bool,
}

#[derive(FromRow)]
struct Row {
    id: Uuid,
    account_id: Uuid,
    hash: Vec<u8>,
    scopes: Vec<String>,
    granted: Vec<String>,
    addresses: Vec<String>,
    expires_at: Option<OffsetDateTime>,
    limits: Json<BTreeMap<String, String>>,
    is_revoked: bool,
    is_suspended: bool,
}

/// The key with this id.
pub(crate) async fn find(pool: &PgPool, id: KeyId) -> Result<Option<StoredKey>, sqlx::Error> {
    let row: Option<Row> = sqlx::query_as(
        "select key.id, key.account_id, key.hash, key.scopes, service.scopes as granted, key.addresses,
                key.expires_at, service.limits, key.revoked_at is not null as is_revoked,
                account.deactivated_at is not null as is_suspended
         from auth.api_key key
         join auth.service_account service on service.id = key.account_id
         join auth.account account on account.id = key.account_id
         where key.public_id = $1",
    )
    .bind(id.as_str())
    .fetch_optional(pool)
    .await?;
    let stored = |row: Row| {
        Some(StoredKey {
            id: LoginId::known(row.id),
            account: UserId::known(row.account_id),
            hash: row.hash,
            scopes: Scopes::known(&row.scopes).and(Scopes::known(&row.granted)),
            networks: row
                .addresses
                .iter()
                .map(|text| Network::parse(text))
                .collect::<Option<KeyNetworks>>()?,
            expires_at: row.expires_at.map(Time::of),
            limits: row.limits.0,
            is_revoked: row.is_revoked,
            is_suspended: row.is_suspended,
        })
    };
    // An unreadable network must not admit every address.
    let unreadable = || sqlx::Error::Decode("a network of an API key cannot be read".into());
    row.map(|row| stored(row).ok_or_else(unreadable)).transpose()
}

/// Records the use of a key, unless a use within the last `pause` is recorded.
pub(crate) async fn note(
    pool: &PgPool,
    key: LoginId,
    from: Option<IpAddr>,
    now: Time,
    pause: Duration,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update auth.api_key set last_used_at = $2, last_used_address = $3
         where id = $1 and (last_used_at is null or last_used_at < $2 - make_interval(secs => $4))",
    )
    .bind(key.uuid())
    .bind(now.datetime())
    .bind(from.map(|from| from.to_string()))
    .bind(pause.as_secs_f64())
    .execute(pool)
    .await?;
    Ok(())
}

/// The keys that ended within the last `age`: by revocation or expiry.
pub(crate) async fn ended_since(
    pool: &PgPool,
    now: Time,
    age: Duration,
) -> Result<Vec<LoginId>, sqlx::Error> {
    let ids: Vec<Uuid> = sqlx::query_scalar(
        "select id from auth.api_key
         where (revoked_at is not null or expires_at is not null)
           and least(revoked_at, expires_at) > least($1, now()) - make_interval(secs => $2)
           and least(revoked_at, expires_at) <= $1",
    )
    .bind(now.datetime())
    .bind(age.as_secs_f64())
    .fetch_all(pool)
    .await?;
    Ok(ids.into_iter().map(LoginId::known).collect())
}
