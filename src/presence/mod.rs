//! Which users are **here**: sessions, merged over nodes, and the changes that are worth an event.
//!
//! Each node writes an entry for each of its users into a bucket, and all nodes watch the bucket in one order. The node
//! whose entry changes a user's merged status notifies the user's conversations. A node counts as alive as long as it
//! renews its lease, and the other nodes mark the users of a dead node as offline.
//!
//! Writing, renewing, watching and notifying are separate tasks, because none may wait for another: a node that writes
//! thousands of entries must renew its lease meanwhile, or it is declared dead while alive. The tasks share the state
//! of each user (`local`, `pending`), so there is no queue that could overflow and lose an end.

mod board;
mod changed;
mod entries;
mod here;
mod local;
mod news;
mod pending;
mod settings;

pub use changed::ChangedUser;
pub use here::Presence;
pub use settings::PresenceSettings;
