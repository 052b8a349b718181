//! Forgets the rows of accounts and logins that no longer count.

use sqlx::PgConnection;

/// Deletes full budgets, expired failures, invitations that expired more than a day ago, and log-outs at issuers that no
/// token can be older than, up to 1,000 rows of each. Rows that another node is deleting are skipped, so concurrent nodes
/// share the work.
pub(crate) async fn forget_old(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query(
        "with expired as (
             delete from auth.invitation where (invited_id, conversation_id) in (
                 select invited_id, conversation_id from auth.invitation
                 where expires_at < now() - interval '1 day' limit 1000 for update skip locked)
         ), over as (
             delete from auth.external_logout where (issuer, kind, value) in (
                 select issuer, kind, value from auth.external_logout
                 where until < now() - interval '1 hour' limit 1000 for update skip locked)
         ), full_again as (
             delete from auth.budget where key in (
                 select key from auth.budget where full_at < now() limit 1000 for update skip locked)
         )
         delete from auth.failure where key in (
             select key from auth.failure where forgotten_at < now() limit 1000 for update skip locked)",
    )
    .execute(connection)
    .await
    .map(drop)
}
