//! What the monitor checks.

use sqlx::PgPool;

use crate::{clock::Clock, live::Conversations, log::Log, overload::Overload, views::ReadViews};

/// The parts of a process that the monitor checks.
pub(crate) struct Watched {
    /// The log.
    pub log: Log,
    /// Postgres.
    pub pool: PgPool,
    /// Where requests read the views.
    pub views: ReadViews,
    /// How far this process has followed the log.
    pub conversations: Conversations,
    /// The level of overload.
    pub overload: Overload,
    /// The clock of this node, which is compared with the clocks of the servers.
    pub clock: Clock,
    /// The roles of this process, in words.
    pub roles: Vec<String>,
}
