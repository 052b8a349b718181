//! The node that a command asks over the network.

use std::path::PathBuf;

use clap::Args;

use crate::{
    config::{BadSetting, secret::either},
    outbound::{NamedServer, PlainHttp, Trust},
};

/// The node that a command asks over the network, instead of Postgres and NATS.
#[derive(Debug, Clone, Args)]
pub struct RemoteSettings {
    /// Public address of a node, like `https://chat.example.com`. The command then sends requests to this node, with
    /// VERBATIM_KEY, and needs neither Postgres nor NATS. `http` is for this machine only. [default: Postgres and NATS
    /// of the settings below]
    #[arg(long, env = "VERBATIM_URL", value_name = "URL")]
    url: Option<String>,

    /// API key with the scopes that the command needs. Used only with VERBATIM_URL.
    #[arg(long, env = "VERBATIM_KEY", value_name = "KEY", hide_env_values = true)]
    key: Option<String>,

    /// File with the value of VERBATIM_KEY.
    #[arg(long, env = "VERBATIM_KEY_FILE", value_name = "FILE")]
    key_file: Option<PathBuf>,

    /// File with additional CA certificates (PEM), for a node with a certificate of a private CA.
    #[arg(long, env = "VERBATIM_CA_FILE", value_name = "FILE")]
    ca_file: Option<PathBuf>,

    /// Whether VERBATIM_URL may be an `http` address of another machine. The key is then sent unencrypted.
    #[arg(long, env = "VERBATIM_PLAIN_HTTP", default_value_t = false, value_name = "BOOLEAN",
          action = clap::ArgAction::Set)]
    plain_http: bool,
}

impl RemoteSettings {
    /// The node and the key; `None` without an address.
    ///
    /// # Errors
    /// If the address or the file with CA certificates cannot be used, or if there is no key.
    pub(crate) fn node(&self) -> Result<Option<(NamedServer, String)>, BadSetting> {
        let Some(url) = &self.url else { return Ok(None) };
        let key = either(self.key.as_ref(), self.key_file.as_ref(), "VERBATIM_KEY")?;
        let trust = Trust::load(self.ca_file.as_deref())
            .map_err(|bad| BadSetting(format!("VERBATIM_CA_FILE: {bad}")))?;
        let plain = if self.plain_http { PlainHttp::Anywhere } else { PlainHttp::Loopback };
        let node = NamedServer::new(&trust, url, plain);
        Ok(Some((node.map_err(|bad| BadSetting(format!("VERBATIM_URL: {bad}")))?, key)))
    }
}
