//! The addresses of the servers, which contain passwords.

use std::path::PathBuf;

use clap::Args;

use crate::{
    config::{BadSetting, secret::either},
    log,
};

/// Where the servers are.
#[derive(Debug, Clone, Args)]
pub struct ServerSettings {
    /// URL of nats-server, with user and password percent-encoded: nats://user:password@host:4222. Separate the URLs
    /// of several servers by commas.
    #[arg(long, env = "VERBATIM_NATS_URL", value_name = "URL", hide_env_values = true)]
    nats_url: Option<String>,

    /// File with the value of VERBATIM_NATS_URL.
    #[arg(long, env = "VERBATIM_NATS_URL_FILE", value_name = "FILE")]
    nats_url_file: Option<PathBuf>,

    /// URL of nats-server with a user that may make and change streams. Only `migrate` and `log` use this setting;
    /// without it, they use VERBATIM_NATS_URL.
    #[arg(long, env = "VERBATIM_NATS_OPERATOR_URL", value_name = "URL", hide_env_values = true)]
    nats_operator_url: Option<String>,

    /// File with the value of VERBATIM_NATS_OPERATOR_URL.
    #[arg(long, env = "VERBATIM_NATS_OPERATOR_URL_FILE", value_name = "FILE")]
    nats_operator_url_file: Option<PathBuf>,

    /// URL of Postgres, with user and password percent-encoded: postgres://user:password@host:5432/database.
    #[arg(long, env = "VERBATIM_DATABASE_URL", value_name = "URL", hide_env_values = true)]
    database_url: Option<String>,

    /// File with the value of VERBATIM_DATABASE_URL.
    #[arg(long, env = "VERBATIM_DATABASE_URL_FILE", value_name = "FILE")]
    database_url_file: Option<PathBuf>,
}

impl ServerSettings {
    /// The URL of nats-server.
    pub fn nats_url(&self) -> Result<String, BadSetting> {
        either(self.nats_url.as_ref(), self.nats_url_file.as_ref(), "VERBATIM_NATS_URL")
    }

    /// The URL of nats-server with the user that may make and change streams; without one,
    /// [`Self::nats_url`].
    pub fn operators_nats_url(&self) -> Result<String, BadSetting> {
        let (url, file) = (self.nats_operator_url.as_ref(), self.nats_operator_url_file.as_ref());
        if url.is_none() && file.is_none() {
            return self.nats_url();
        }
        let url = either(url, file, "VERBATIM_NATS_OPERATOR_URL")?;
        // The log names VERBATIM_NATS_URL in its errors, and that setting may be right.
        let bad = |bad| BadSetting(format!("VERBATIM_NATS_OPERATOR_URL cannot be used: {bad}"));
        log::can_be_url(&url).map_err(bad)?;
        Ok(url)
    }

    /// Whether a setting names nats-server.
    pub fn has_nats(&self) -> bool {
        let (urls, files) =
            ([&self.nats_url, &self.nats_operator_url], [&self.nats_url_file, &self.nats_operator_url_file]);
        urls.iter().any(|url| url.is_some()) || files.iter().any(|file| file.is_some())
    }

    /// The URL of Postgres. The scheme is checked here because sqlx accepts every scheme.
    pub fn database_url(&self) -> Result<String, BadSetting> {
        let url =
            either(self.database_url.as_ref(), self.database_url_file.as_ref(), "VERBATIM_DATABASE_URL")?;
        match url.split_once("://") {
            Some((scheme, _)) if scheme != "postgres" && scheme != "postgresql" => Err(BadSetting(format!(
                "VERBATIM_DATABASE_URL cannot be used: its scheme is `{scheme}`, and only Postgres is spoken. Expected \
                 postgres://user:password@host:5432/database"
            ))),
            _ => Ok(url),
        }
    }
}
