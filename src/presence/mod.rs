//! Who is **here**: sessions, merged over nodes, and the changes that are worth an event.
//!
//! Each node writes an entry for each of its users into a bucket, and all nodes watch the bucket in one order. The
//! node whose entry tips a user's status tells the user's conversations. A node lives as long as it renews its lease,
//! and the living nodes write off the entries of a dead node.
//!
//! Writing, renewing, watching and telling are tasks of their own, because none may wait for another: a node that
//! writes thousands of entries must renew its lease meanwhile, or it is written off while alive. Between the tasks the
//! state of each user is kept (`local`, `pending`), so that there is no queue that could overflow and lose an end.

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
