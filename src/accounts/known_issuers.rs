//! The external issuers that the installation knows. Issuers that were added or removed since the file was last read
//! get audit events.

use std::collections::BTreeSet;

use sqlx::PgPool;
use uuid::Uuid;

use crate::{
    accounts::audit::{self, By, Stamp},
    clock::Clock,
    domain::{AuditSubject, Audited, IssuerAdded, IssuerRemoved},
};

/// Records the issuers of the file, each by the hash of its URL. If several nodes read the same new file at once, only
/// one of them finds a difference.
pub(crate) async fn note_issuers(
    pool: &PgPool,
    hashes: &BTreeSet<u128>,
    clock: &Clock,
) -> Result<(), sqlx::Error> {
    let mut transaction = pool.begin().await?;
    sqlx::query("lock table auth.known_issuer in share row exclusive mode")
        .execute(&mut *transaction)
        .await?;
    let known: Vec<Uuid> =
        sqlx::query_scalar("select hash from auth.known_issuer").fetch_all(&mut *transaction).await?;
    let known: BTreeSet<u128> = known.into_iter().map(|hash| hash.as_u128()).collect();
    let mut events = Vec::new();
    for hash in hashes.difference(&known) {
        sqlx::query("insert into auth.known_issuer (hash) values ($1)")
            .bind(Uuid::from_u128(*hash))
            .execute(&mut *transaction)
            .await?;
        events.push(Audited::IssuerAdded(AuditSubject::hash(*hash), IssuerAdded {}));
    }
    for hash in known.difference(hashes) {
        sqlx::query("delete from auth.known_issuer where hash = $1")
            .bind(Uuid::from_u128(*hash))
            .execute(&mut *transaction)
            .await?;
        events.push(Audited::IssuerRemoved(AuditSubject::hash(*hash), IssuerRemoved {}));
    }
    let stamped = |event| (Stamp::now(clock, By::default()), event);
    let events: Vec<_> = events.into_iter().map(stamped).collect();
    audit::note_all(&mut transaction, &events).await?;
    transaction.commit().await
}
