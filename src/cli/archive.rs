//! `archive`: the archiver alone.

use std::time::Duration;

use crate::{
    app::{self, AppError},
    cli::{
        process::{outlive_hangups, process, until_told},
        servers::Servers,
    },
};

pub(super) async fn archive(servers: Servers) -> Result<(), AppError> {
    outlive_hangups();
    let process = process(until_told(), Duration::ZERO);
    app::archive_alone(&servers.settings, &servers.addresses()?, &process).await
}
