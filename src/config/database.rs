//! How requests use Postgres: the number of connections, and the replica from which they read.

use std::path::PathBuf;

use clap::Args;

use crate::config::{BadSetting, secret::either, servers::of_postgres};

const NAME: &str = "VERBATIM_DATABASE_REPLICA_URL";

/// The connections of requests, and the replica.
#[derive(Debug, Clone, Args)]
pub(crate) struct DatabaseSettings {
    /// Number of Postgres connections that requests share. In addition, a projector uses one for each stream, and every
    /// process one or two for audit events.
    #[arg(long, env = "VERBATIM_DATABASE_CONNECTIONS", default_value_t = 16, value_name = "NUMBER",
          value_parser = clap::value_parser!(u32).range(2..=1_000))]
    pub(crate) database_connections: u32,

    /// URL of a Postgres replica (streaming replication). Requests read the views there while the replica answers and
    /// is at most one second behind, and from VERBATIM_DATABASE_URL otherwise. Name one server. [default: none]
    #[arg(long, env = NAME, value_name = "URL", hide_env_values = true)]
    database_replica_url: Option<String>,

    /// File with the value of VERBATIM_DATABASE_REPLICA_URL.
    #[arg(long, env = "VERBATIM_DATABASE_REPLICA_URL_FILE", value_name = "FILE")]
    database_replica_url_file: Option<PathBuf>,
}

impl DatabaseSettings {
    /// The URL of the replica, if there is one.
    pub(crate) fn replica_url(&self) -> Result<Option<String>, BadSetting> {
        let (url, file) = (self.database_replica_url.as_ref(), self.database_replica_url_file.as_ref());
        if url.is_none() && file.is_none() {
            return Ok(None);
        }
        of_postgres(either(url, file, NAME)?, NAME).map(Some)
    }
}
