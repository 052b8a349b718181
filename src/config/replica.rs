//! The replica of Postgres from which requests read.

use std::path::PathBuf;

use clap::Args;

use crate::config::{BadSetting, secret::either, servers::of_postgres};

const NAME: &str = "VERBATIM_DATABASE_REPLICA_URL";

/// Where the replica is.
#[derive(Debug, Clone, Args)]
pub(super) struct ReplicaSettings {
    /// URL of a replica of Postgres (streaming replication). Requests read the views there while the replica answers and is
    /// at most a second behind, and from VERBATIM_DATABASE_URL otherwise. Name one server. [default: none]
    #[arg(long, env = NAME, value_name = "URL", hide_env_values = true)]
    database_replica_url: Option<String>,

    /// File with the value of VERBATIM_DATABASE_REPLICA_URL.
    #[arg(long, env = "VERBATIM_DATABASE_REPLICA_URL_FILE", value_name = "FILE")]
    database_replica_url_file: Option<PathBuf>,
}

impl ReplicaSettings {
    /// The URL of the replica, if there is one.
    pub(super) fn url(&self) -> Result<Option<String>, BadSetting> {
        let (url, file) = (self.database_replica_url.as_ref(), self.database_replica_url_file.as_ref());
        if url.is_none() && file.is_none() {
            return Ok(None);
        }
        of_postgres(either(url, file, NAME)?, NAME).map(Some)
    }
}
