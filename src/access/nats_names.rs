//! NATS names bound to service accounts: a program with the credentials of a name sends commands as its account.

use sqlx::PgPool;

use super::{
    needs::Access,
    programs::{ServiceError, granted, revoke_key},
};
use crate::{
    accounts::{
        By, Stamp,
        api_keys::{self, KeyError, NewKey},
        key_use,
    },
    clock::Clock,
    credentials::{KeyId, MadeKey, NatsName, Scopes},
    domain::{LoginId, UserId},
};

/// A NATS name that is bound to a service account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BoundName {
    /// The key that represents the name.
    pub(crate) key: LoginId,
    /// Whether the request bound it.
    pub(crate) is_new: bool,
}

/// A NATS name that is not bound any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UnboundName {
    /// The key that represented the name.
    pub(crate) key: LoginId,
    /// Whether the request unbound it.
    pub(crate) is_new: bool,
}

/// Binds a NATS name to a service account, as a key whose text nobody has. Binding it again to the same account changes
/// nothing.
pub(crate) async fn bind_name(
    pool: &PgPool,
    clock: &Clock,
    account: UserId,
    name: &NatsName,
    scopes: Option<Scopes>,
    by: By,
) -> Result<BoundName, ServiceError> {
    let key = NewKey {
        id: clock.id(LoginId::known),
        public: KeyId::of_name(name),
        // This is the hash of a key whose text is dropped here, so that no bearer text can ever match it.
        hash: MadeKey::draw().hash,
        name: format!("nats {name}"),
        scopes: granted(pool, account, scopes).await?,
        addresses: Vec::new(),
        expires_at: None,
    };
    match api_keys::add(pool, account, &key, Stamp::now(clock, by)).await {
        Ok(()) => Ok(BoundName { key: key.id, is_new: true }),
        // The name is already bound; a repeated request changes nothing.
        Err(KeyError::Taken) => match key_use::find(pool, key.public).await? {
            Some(bound) if bound.account == account => Ok(BoundName { key: bound.id, is_new: false }),
            _ => Err(ServiceError::NameTaken),
        },
        Err(error) => Err(error.into()),
    }
}

/// Revokes the key of a NATS name in the database and returns the key. The caller must notify the nodes, even if the key
/// was revoked before ([`revoke_key`]). `None` if the name was never bound.
pub(crate) async fn unbind_name(
    pool: &PgPool,
    clock: &Clock,
    name: &NatsName,
    by: By,
) -> Result<Option<UnboundName>, ServiceError> {
    let Some(bound) = key_use::find(pool, KeyId::of_name(name)).await? else { return Ok(None) };
    revoke_key(pool, clock, bound.account, bound.id, by).await?;
    Ok(Some(UnboundName { key: bound.id, is_new: !bound.is_revoked }))
}

impl Access {
    /// Binds a NATS name to a service account ([`bind_name`]).
    pub(crate) async fn bind_name(
        &self,
        account: UserId,
        name: &NatsName,
        by: By,
    ) -> Result<BoundName, ServiceError> {
        bind_name(&self.pool, &self.clock, account, name, None, by).await
    }

    /// Revokes the key of a NATS name on all nodes. Returns whether the request unbound the name.
    pub(crate) async fn unbind_name(&self, name: &NatsName, by: By) -> Result<bool, ServiceError> {
        let Some(unbound) = unbind_name(&self.pool, &self.clock, name, by).await? else { return Ok(false) };
        self.cut_off(&[unbound.key]).await;
        Ok(unbound.is_new)
    }
}
