//! Writing: an event counts when JetStream has stored it.

pub mod append;
pub mod commit;
pub mod window;
