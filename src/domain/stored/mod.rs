//! The stored form of events: a long-term contract.

mod about;
pub(in crate::domain) mod audit_event;
pub(in crate::domain) mod audited;
pub(in crate::domain) mod audited_erasures;
pub(in crate::domain) mod audited_readers;
pub(in crate::domain) mod erased;
pub(in crate::domain) mod event;
pub(in crate::domain) mod lane;
pub(in crate::domain) mod recorded;
pub(in crate::domain) mod shapes;
pub(in crate::domain) mod skeleton;
