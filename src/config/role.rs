//! The roles of a process.

use clap::ValueEnum;

/// A part of the work that a process takes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum NodeRole {
    /// Serves REST.
    Api,
    /// Serves WebSockets.
    Gateway,
    /// Updates the views in Postgres from the log.
    Projector,
    /// Sends events to webhooks.
    Webhooks,
    /// Archives the log and the accounts.
    Archiver,
    /// Deletes erased events from the log.
    Eraser,
}

impl NodeRole {
    /// The word of the setting.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Gateway => "gateway",
            Self::Projector => "projector",
            Self::Webhooks => "webhooks",
            Self::Archiver => "archiver",
            Self::Eraser => "eraser",
        }
    }
}
