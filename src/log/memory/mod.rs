//! What this process remembers of the streams, without asking the servers: which events are stored, how old that
//! knowledge is, and what became of the latest requests. All readers and writers share it.

pub(in crate::log) mod age;
pub(in crate::log) mod erased;
pub(in crate::log) mod gathered;
pub(in crate::log) mod holes;
pub(in crate::log) mod known;
pub(in crate::log) mod outcomes;
pub(in crate::log) mod places;
pub(in crate::log) mod reports;
pub(in crate::log) mod snapshots;
pub(in crate::log) mod tail;
pub(in crate::log) mod wanted;
pub(in crate::log) mod window;
