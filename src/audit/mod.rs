//! The **audit trail**: what has happened to accounts, keys and issuers, from the outbox in Postgres to the stream AUDIT.

mod relay;
mod trail;

pub(crate) use crate::log::{Audit, AuditRange};
pub(crate) use relay::relay;
pub(crate) use trail::Trail;
