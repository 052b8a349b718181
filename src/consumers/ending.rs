//! The end of credentials: they are replaced, revoked, or removed together with their consumer.

use std::time::Duration;

use sqlx::PgPool;

use crate::{
    accounts::{By, Stamp, consumers},
    authority::{self, Claims, signed_account},
    consumers::{ConsumerError, Office, Revoker, ScopedKey, office::REVOKER},
    domain::Time,
    log::{OpenError, SystemAccount},
};

/// New credentials of a consumer.
#[derive(Debug)]
pub(crate) struct NewCredentials {
    pub(crate) creds: String,
    /// When the old ones end.
    pub(crate) old_expires_at: Time,
}

/// How far the clock of the machine that signed credentials may be ahead of the clock of the machine that revokes them.
/// Each of our JWTs has its own key, so that no later JWT of the key is revoked by mistake.
const AHEAD: Duration = Duration::from_secs(86_400);

/// Gives a consumer new credentials. The old ones become due for revocation after the overlap.
pub(crate) async fn rotate(
    office: &Office,
    name: &str,
    overlap: Duration,
    by: By,
) -> Result<NewCredentials, ConsumerError> {
    let scoped = office.scoped()?;
    let old = office.named(name).await?;
    if old.user_key.is_none() {
        return Err(ConsumerError::Refused(format!(
            "the consumer `{name}` has no credentials from Verbatim: change its password in the configuration of \
             nats-server, and reload the configuration"
        )));
    }
    let now = office.clock.now();
    let expires_at = old.life().map(|life| now.plus(life));
    let user = authority::Consumer {
        name,
        account: &scoped.account,
        reads_all: !old.lanes.is_empty() && old.conversations.is_empty(),
        commands: old.gives_commands,
        expires: expires_at.map(Time::unix_seconds),
    };
    let (key, creds) = user.signed(&scoped.key, now.unix_seconds());
    let due = now.plus(overlap);
    let stamp = Stamp::now(&office.clock, by);
    if !consumers::rotate(&office.pool, &old, (&key, expires_at), due, stamp).await? {
        return Err(ConsumerError::Refused(format!(
            "another command has just changed the consumer `{name}`: try again"
        )));
    }
    Ok(NewCredentials { creds, old_expires_at: due })
}

/// Removes a consumer: first its credentials, so that it cannot read from its durables while they are deleted. Returns
/// whether there was one. The caller then unbinds its name in any case: an interrupted command may have left the name
/// bound, and nothing else.
///
/// With `at_once`, it is refused if the keys that revoke are missing. Otherwise the credentials are due for the next
/// sweep. Until then they give access to no event, because the durables are gone.
pub(crate) async fn remove(
    office: &Office,
    name: &str,
    at_once: bool,
    by: By,
) -> Result<bool, ConsumerError> {
    let old = consumers::find(&office.pool, name).await?;
    let has_credentials = old.as_ref().is_some_and(|old| old.user_key.is_some());
    if at_once && has_credentials && office.revoker.is_none() {
        return Err(ConsumerError::NotConfigured(REVOKER));
    }
    let streams = office.log.streams_read_by(name).await?;
    match &old {
        Some(old) => consumers::remove(&office.pool, old, Stamp::now(&office.clock, by)).await?,
        None if streams.is_empty() => return Ok(false),
        None => {}
    }
    sweep(office).await?;
    for stream in &streams {
        office.log.remove_durable(name, stream).await?;
    }
    // The next consumer of this name forgets what is left.
    if !streams.is_empty()
        && let Err(error) = office.log.forget_parked(name).await
    {
        tracing::warn!(%error, name, "could not delete the parked events of a consumer");
    }
    Ok(true)
}

/// Refuses if credentials are overdue for revocation.
pub(crate) async fn nothing_is_overdue(office: &Office) -> Result<(), ConsumerError> {
    match consumers::overdue(&office.pool, office.clock.now()).await?.len() {
        0 => Ok(()),
        overdue => Err(ConsumerError::NeedsOperator(overdue)),
    }
}

/// Revokes the overdue credentials and returns their number, or `None` without the keys for that.
pub(crate) async fn sweep(office: &Office) -> Result<Option<usize>, ConsumerError> {
    let (Some(revoker), Some(scoped)) = (&office.revoker, &office.scoped) else { return Ok(None) };
    revoke_overdue(&office.pool, office.clock.now(), scoped, revoker).await.map(Some)
}

/// Revokes the overdue credentials and returns their number.
pub(crate) async fn revoke_overdue(
    pool: &PgPool,
    now: Time,
    scoped: &ScopedKey,
    revoker: &Revoker,
) -> Result<usize, ConsumerError> {
    if consumers::overdue(pool, now).await?.is_empty() {
        return Ok(0);
    }
    // Without turns, two concurrent commands would each send the servers an account without the other's revocations.
    // The turn ends with this connection, however the revocation ends.
    let mut turn = pool.acquire().await?.detach();
    consumers::take_turn(&mut turn).await?;
    let overdue = consumers::overdue(pool, now).await?;
    let system = SystemAccount::connect(&revoker.system).await?;
    let account = system.account(&scoped.account).await?;
    let mut claims = Claims::of_account(&account)
        .map_err(|bad| OpenError::Streams(format!("nats-server's answer: {bad}")))?;
    for credentials in &overdue {
        claims.revoke(&credentials.user_key, now.plus(AHEAD).unix_seconds());
    }
    system.tell(signed_account(&revoker.operator, claims, now.unix_seconds())).await?;
    let keys: Vec<String> = overdue.into_iter().map(|credentials| credentials.user_key).collect();
    consumers::revoked(pool, &keys).await?;
    consumers::end_turn(turn).await?;
    Ok(keys.len())
}
