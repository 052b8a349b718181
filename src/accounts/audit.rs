//! The outbox of audit events. A change and its event are stored in one transaction, so neither exists without the
//! other. Later, a node appends the event to the stream AUDIT and removes the row.

use std::collections::BTreeMap;

use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    clock::Clock,
    domain::{Audited, EventId, LoginId, LoginRevoked, RevokedBy, Time, UserId},
};

/// The channel on which Postgres notifies the relay that a transaction with an event has committed.
pub(crate) const CHANNEL: &str = "verbatim_audit";
/// The number of events that one statement stores.
const AT_ONCE: usize = 1_000;

/// The author of a change. Both fields are empty for an operator on the machine, and for a change that Verbatim makes
/// by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct By {
    /// The account that acts.
    pub actor: Option<UserId>,
    /// The service account through which it acts.
    pub via: Option<UserId>,
}

impl By {
    /// An account that acts by itself.
    pub(crate) fn account(actor: UserId) -> Self {
        Self { actor: Some(actor), via: None }
    }
}

/// The id of an audit event, its time, and the author of the change.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamp {
    /// The id of the event, by which the stream recognises a repeated append.
    pub id: EventId,
    /// The time of the change.
    pub at: Time,
    /// The author of the change.
    pub by: By,
}

impl Stamp {
    /// The stamp of a change that is made now. Each event needs a stamp of its own.
    pub(crate) fn now(clock: &Clock, by: By) -> Self {
        Self { id: clock.id(EventId::known), at: clock.now(), by }
    }
}

/// Stores an event in the transaction that makes the change.
///
/// Call this after the statement that changes or locks the row of the event's subject (an account, a key or another
/// row), and only if something has changed. The row of the event gets its number here. Because the lock is already
/// held, the numbers of one subject are in the order of its commits, and the relay keeps this order.
pub(crate) async fn note(
    transaction: &mut PgConnection,
    stamp: Stamp,
    what: Audited,
) -> Result<(), sqlx::Error> {
    note_all(transaction, &[(stamp, what)]).await
}

/// Stores several events, like [`note`].
pub(crate) async fn note_all(
    transaction: &mut PgConnection,
    events: &[(Stamp, Audited)],
) -> Result<(), sqlx::Error> {
    if events.is_empty() {
        return Ok(());
    }
    let data: Result<Vec<String>, _> = events.iter().map(|(_, what)| what.data()).collect();
    let data = data.map_err(|e| sqlx::Error::Encode(e.into()))?;
    let ids: Vec<Uuid> = events.iter().map(|(stamp, _)| stamp.id.uuid()).collect();
    let words: Vec<&str> = events.iter().map(|(_, what)| what.word()).collect();
    let subjects: Vec<&str> = events.iter().map(|(_, what)| what.subject().as_str()).collect();
    let times: Vec<_> = events.iter().map(|(stamp, _)| stamp.at.datetime()).collect();
    let uuid = |id: UserId| id.uuid();
    let actors: Vec<Option<Uuid>> = events.iter().map(|(stamp, _)| stamp.by.actor.map(uuid)).collect();
    let via: Vec<Option<Uuid>> = events.iter().map(|(stamp, _)| stamp.by.via.map(uuid)).collect();
    // Postgres notifies the relay when the transaction commits, and not at all if it is rolled back.
    sqlx::query(
        "with noted as (
             insert into auth.audit (id, word, subject, time, actor, via, data)
             select id, word, subject, time, actor, via, data::jsonb
             from unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::uuid[], $6::uuid[], $7::text[])
                  with ordinality as event (id, word, subject, time, actor, via, data, place)
             order by place
         )
         select pg_notify($8, '')",
    )
    .bind(ids)
    .bind(words)
    .bind(subjects)
    .bind(times)
    .bind(actors)
    .bind(via)
    .bind(data)
    .bind(CHANNEL)
    .execute(transaction)
    .await?;
    Ok(())
}

/// Stores that logins have ended, each with its account, in one event for each account. Returns the logins.
pub(super) async fn note_revoked(
    transaction: &mut PgConnection,
    ended: &[(Uuid, Uuid)],
    by: RevokedBy,
    clock: &Clock,
) -> Result<Vec<LoginId>, sqlx::Error> {
    let mut of_accounts = BTreeMap::<Uuid, Vec<LoginId>>::new();
    for (account, login) in ended {
        of_accounts.entry(*account).or_default().push(LoginId::known(*login));
    }
    let revoked = |(account, logins): (Uuid, Vec<LoginId>)| {
        let revoked = LoginRevoked { logins, by };
        (Stamp::now(clock, By::default()), Audited::LoginRevoked(account.into(), revoked))
    };
    let events: Vec<_> = of_accounts.into_iter().map(revoked).collect();
    for some in events.chunks(AT_ONCE) {
        note_all(transaction, some).await?;
    }
    Ok(ended.iter().map(|(_, login)| LoginId::known(*login)).collect())
}
