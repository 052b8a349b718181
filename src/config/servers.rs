//! The addresses of the servers, and the credentials for them.

use std::path::PathBuf;

use clap::Args;

use crate::{
    config::{BadSetting, nats::NatsSettings, secret::either},
    log,
};

/// Where the servers are.
#[derive(Debug, Clone, Args)]
pub struct ServerSettings {
    #[command(flatten)]
    nats: NatsSettings,

    /// URL of Postgres, with user and password percent-encoded: postgres://user:password@host:5432/database.
    #[arg(long, env = "VERBATIM_DATABASE_URL", value_name = "URL", hide_env_values = true)]
    database_url: Option<String>,

    /// File with the value of VERBATIM_DATABASE_URL.
    #[arg(long, env = "VERBATIM_DATABASE_URL_FILE", value_name = "FILE")]
    database_url_file: Option<PathBuf>,
}

impl ServerSettings {
    /// The address of nats-server, with the login of this process.
    pub fn nats(&self) -> Result<log::NatsServers, BadSetting> {
        self.nats.servers()
    }

    /// The address of nats-server, with the login of the user that may create and change streams; without one,
    /// [`Self::nats`].
    pub fn operators_nats(&self) -> Result<log::NatsServers, BadSetting> {
        self.nats.operators()
    }

    /// The address of nats-server, with the login of the user that may delete from the log; without one,
    /// [`Self::nats`].
    pub fn erasers_nats(&self) -> Result<log::NatsServers, BadSetting> {
        self.nats.erasers()
    }

    /// The address of nats-server, with the login from the text of a `.creds` file.
    pub fn nats_with(&self, creds: &str) -> Result<log::NatsServers, BadSetting> {
        self.nats.with_credentials(creds)
    }

    /// Whether a setting names nats-server.
    pub fn has_nats(&self) -> bool {
        self.nats.is_set()
    }

    /// The URL of Postgres. The scheme is checked here because sqlx accepts every scheme.
    pub fn database_url(&self) -> Result<String, BadSetting> {
        const NAME: &str = "VERBATIM_DATABASE_URL";
        of_postgres(either(self.database_url.as_ref(), self.database_url_file.as_ref(), NAME)?, NAME)
    }
}

/// Checks that a URL has the scheme of Postgres.
pub(super) fn of_postgres(url: String, setting: &str) -> Result<String, BadSetting> {
    match url.split_once("://") {
        Some((scheme, _)) if scheme != "postgres" && scheme != "postgresql" => Err(BadSetting(format!(
            "{setting} cannot be used: its scheme is `{scheme}`. Expected \
             postgres://user:password@host:5432/database"
        ))),
        _ => Ok(url),
    }
}
