//! `archive`: the archiver alone.

use std::time::Duration;

use crate::{
    app::{self, AppError},
    cli::{
        process::{process, until_told},
        servers::Servers,
    },
};

pub(super) async fn archive(servers: Servers) -> Result<(), AppError> {
    let process = process(until_told(), Duration::ZERO);
    app::archive_alone(&servers.settings, &servers.addresses()?, &process).await
}
