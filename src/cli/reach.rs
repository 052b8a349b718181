//! How a command reaches an installation: over the network by one of its nodes, or on the machine by its servers.

use clap::Args;

use crate::{
    app::AppError,
    cli::{remote::Remote, servers::Servers},
    config::RemoteSettings,
};

/// The node or the servers that the settings name.
#[derive(Debug, Args)]
pub(super) struct Reach {
    #[command(flatten)]
    remote: RemoteSettings,

    #[command(flatten)]
    pub(super) servers: Servers,
}

impl Reach {
    /// The node to ask; `None` if the servers are used.
    pub(super) fn remote(&self) -> Result<Option<Remote>, AppError> {
        Ok(self.remote.node()?.map(Remote::new))
    }
}
