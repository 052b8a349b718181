//! The **audit trail**: what has happened to accounts, keys and issuers, from the outbox in Postgres to the stream AUDIT.

mod relay;

pub(crate) use relay::relay;
