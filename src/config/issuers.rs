//! The external issuers, and how their keys are fetched.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use crate::{
    config::BadSetting,
    credentials::OURS,
    issuers::{Issuers, Pace},
    networks::{BadNetwork, Networks},
    outbound::{Outbound, Trust},
};

const FILE: &str = "VERBATIM_ISSUERS_FILE";

/// The settings of external issuers.
#[derive(Debug, Clone, Args)]
pub(super) struct IssuerSettings {
    /// File that describes external issuers, whose tokens can be exchanged for tokens of this server (TOML; see
    /// docs/issuers.md). The node reloads it on SIGHUP. [default: none; only this server's own tokens are accepted]
    #[arg(long, env = FILE, value_name = "FILE")]
    issuers_file: Option<PathBuf>,

    /// Private networks from which keys of issuers may be fetched: a comma-separated list, as in `10.1.0.0/16`.
    /// [default: none; only from public addresses]
    #[arg(
        long,
        env = "VERBATIM_ISSUERS_ALLOW",
        default_value = "",
        hide_default_value = true,
        value_name = "NETWORKS",
        value_parser = allowed
    )]
    issuers_allow: Networks,

    /// Shortest time before the keys of an issuer are fetched again, in seconds. The issuer can extend it by `max-age`,
    /// up to 570 s, so a removed key is rejected within ten minutes.
    #[arg(long, env = "VERBATIM_ISSUERS_REFRESH", default_value_t = 300, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(1..=570))]
    issuers_refresh: u64,

    /// Shortest time between two fetches after an unknown key or a failure, in seconds.
    #[arg(long, env = "VERBATIM_ISSUERS_RETRY", default_value_t = 30, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(1..=300))]
    issuers_retry: u64,

    /// File with CA certificates (PEM) that this server trusts for outbound requests, in addition to those of the
    /// system.
    #[arg(long, env = "VERBATIM_OUTBOUND_CA_FILE", value_name = "FILE")]
    outbound_ca_file: Option<PathBuf>,
}

fn allowed(list: &str) -> Result<Networks, BadNetwork> {
    Networks::parse(list, "this would allow every address: name the networks of your issuers")
}

impl IssuerSettings {
    /// The certificate authorities that this server trusts in its requests to other servers.
    pub(super) fn trust(&self) -> Result<Trust, BadSetting> {
        Trust::load(self.outbound_ca_file.as_deref())
            .map_err(|bad| BadSetting(format!("VERBATIM_OUTBOUND_CA_FILE: {bad}")))
    }

    /// Reads the issuers from the file; `None` if no file is set.
    pub(super) fn read(&self) -> Result<Option<Issuers>, BadSetting> {
        let Some(file) = &self.issuers_file else { return Ok(None) };
        let trust = self.trust()?;
        let outbound = Outbound::new(&trust, self.issuers_allow.clone());
        let pace = Pace {
            refresh: Duration::from_secs(self.issuers_refresh),
            retry: Duration::from_secs(self.issuers_retry),
        };
        let issuers = Issuers::read(file, OURS, outbound, pace);
        issuers.map(Some).map_err(|bad| BadSetting(format!("{FILE}: {bad}")))
    }
}
