//! Writing: the queue in front of each stream. An event counts once JetStream has stored it.

pub(in crate::log) mod commit;
pub(in crate::log) mod publish;
