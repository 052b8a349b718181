//! Writing: an event counts when JetStream has stored it.

pub(in crate::log) mod append;
pub(in crate::log) mod commit;
pub(in crate::log) mod publish;
pub(in crate::log) mod window;
pub(in crate::log) mod windows;
