//! The roles of a process.

use clap::ValueEnum;

/// A part of the work that a process takes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum NodeRole {
    /// Serves REST.
    Api,
    /// Serves WebSockets.
    Gateway,
    /// Keeps the views in Postgres up to date with the log.
    Projector,
    /// Sends events to webhooks.
    Webhooks,
    /// Archives the log and the accounts.
    Archiver,
    /// Deletes from the log what it lists as erased.
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
