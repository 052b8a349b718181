//! The addresses of the servers, as the settings name them.

use crate::{
    app::{Addresses, AppError},
    config::{BadSetting, ServerSettings},
    log::NatsServers,
};

/// The addresses of the servers. The NATS user is the one that may create and change streams, if it is set.
pub(super) fn operators_addresses(servers: &ServerSettings) -> Result<Addresses, AppError> {
    with(servers.operators_nats(), servers)
}

/// The addresses of the servers. The NATS user is the one that may delete from the log, if it is set.
pub(super) fn erasers_addresses(servers: &ServerSettings) -> Result<Addresses, AppError> {
    with(servers.erasers_nats(), servers)
}

/// The addresses of the servers in the settings.
pub(super) fn addresses(servers: &ServerSettings) -> Result<Addresses, AppError> {
    with(servers.nats(), servers)
}

fn with(nats: Result<NatsServers, BadSetting>, servers: &ServerSettings) -> Result<Addresses, AppError> {
    let named = || Ok(Addresses { nats: nats?, database: servers.database_url()? });
    named().map_err(AppError::Servers)
}
