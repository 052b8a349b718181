//! How a command reaches an installation: through one of its nodes, or directly on its servers.

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
    /// The node; `None` if the command uses the servers.
    pub(super) fn remote(&self) -> Result<Option<Remote>, AppError> {
        Ok(self.remote.node()?.map(Remote::new))
    }
}
