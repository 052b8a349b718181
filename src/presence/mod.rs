//! Who is **here**: sessions, merged over nodes, and when a change of that is worth an event.
//!
//! Each node writes what it knows of a user into a bucket, and all nodes watch it in one order. The
//! node whose entry tips a user's status tells that user's conversations. A node lives as long as
//! it renews its lease; the entries of a dead one are written off by those that live.
//!
//! Each of these has a task of its own, for none may wait for another: who writes thousands of entries
//! renews the lease meanwhile, or is written off while alive. What waits between them is kept for each
//! user (`local`, `pending`), so that there is no queue that could overflow and lose an end.

mod board;
mod entries;
mod here;
mod local;
mod news;
mod pending;
mod settings;

pub use here::Presence;
pub use settings::PresenceSettings;
