//! The addresses of the servers, as the settings name them.

use crate::{
    app::{Addresses, AppError},
    config::ServerSettings,
};

/// The addresses of the servers. The NATS user is the one that may create and change streams, if it is set.
pub(super) fn operators_addresses(servers: &ServerSettings) -> Result<Addresses, AppError> {
    Ok(Addresses { nats: servers.operators_nats()?, database: servers.database_url()? })
}

/// The addresses of the servers. The NATS user is the one that may delete from the log, if it is set.
pub(super) fn erasers_addresses(servers: &ServerSettings) -> Result<Addresses, AppError> {
    Ok(Addresses { nats: servers.erasers_nats()?, database: servers.database_url()? })
}

/// The addresses of the servers in the settings.
pub(super) fn addresses(servers: &ServerSettings) -> Result<Addresses, AppError> {
    Ok(Addresses { nats: servers.nats()?, database: servers.database_url()? })
}
