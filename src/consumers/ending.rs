//! The end of credentials: replaced, revoked, or gone with their consumer.

use std::time::Duration;

use crate::{
    accounts::{By, Stamp, consumers},
    authority::{self, Claims, signed_account},
    consumers::{ConsumerError, Office},
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

/// Gives a consumer new credentials. The old ones are to be revoked after the overlap.
pub(crate) async fn rotate(
    office: &Office<'_>,
    name: &str,
    overlap: Duration,
) -> Result<NewCredentials, ConsumerError> {
    let scoped = office.scoped()?;
    let old = office.named(name).await?;
    let now = office.clock.now();
    // The new ones live as long as the old ones were meant to.
    let life = old.expires_at.map(|end| Time::of(end).since(Time::of(old.created_at)));
    let expires_at = life.map(|life| now.plus(life));
    let user = authority::Consumer {
        name,
        account: &scoped.account,
        reads_all: old.conversations.is_empty(),
        commands: old.gives_commands,
        expires: expires_at.map(Time::unix_seconds),
    };
    let (key, creds) = user.signed(&scoped.key, now.unix_seconds());
    let due = now.plus(overlap);
    let stamp = Stamp::now(office.clock, By::default());
    if !consumers::rotate(office.pool, &old, (&key, expires_at), due, stamp).await? {
        return Err(ConsumerError::Refused(format!(
            "another command has changed the consumer `{name}` just now"
        )));
    }
    Ok(NewCredentials { creds, old_expires_at: due })
}

/// Removes a consumer: its credentials first, so that it cannot ask for durables that go.
pub(crate) async fn remove(office: &Office<'_>, name: &str) -> Result<(), ConsumerError> {
    if office.revoker.is_none() {
        return Err(ConsumerError::NotConfigured(
            "VERBATIM_NATS_OPERATOR_KEY_FILE or VERBATIM_NATS_SYS_CREDENTIALS_FILE",
        ));
    }
    let old = consumers::find(office.pool, name).await?;
    let streams = office.log.streams_read_by(name).await?;
    if let Some(old) = &old {
        consumers::remove(office.pool, old, Stamp::now(office.clock, By::default())).await?;
    } else if streams.is_empty() {
        return Err(ConsumerError::NotFound(name.to_owned()));
    }
    sweep(office).await?;
    for stream in streams {
        office.log.remove_durable(name, &stream).await?;
    }
    Ok(())
}

/// Revokes the credentials whose time has come; the number of them, or `None` without the keys that it needs.
pub(crate) async fn sweep(office: &Office<'_>) -> Result<Option<usize>, ConsumerError> {
    let (Some(revoker), Ok(scoped)) = (&office.revoker, office.scoped()) else { return Ok(None) };
    let now = office.clock.now();
    let overdue = consumers::overdue(office.pool, now).await?;
    if overdue.is_empty() {
        return Ok(Some(0));
    }
    // Two commands at once would each tell the servers an account without the other's revocations.
    let mut turn = office.pool.acquire().await?;
    consumers::take_turn(&mut turn).await?;
    let system = SystemAccount::connect(&revoker.system).await?;
    let account = system.account(&scoped.account).await?;
    let mut claims = Claims::of_account(&account)
        .map_err(|bad| OpenError::Streams(format!("nats-server's answer: {bad}")))?;
    for credentials in &overdue {
        claims.revoke(&credentials.user_key, now.unix_seconds());
    }
    system.tell(signed_account(&revoker.operator, claims, now.unix_seconds())).await?;
    let keys: Vec<String> = overdue.into_iter().map(|credentials| credentials.user_key).collect();
    consumers::revoked(office.pool, &keys).await?;
    consumers::end_turn(&mut turn).await?;
    Ok(Some(keys.len()))
}
