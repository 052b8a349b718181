//! The findings of `check` about mirrors and other copies of the log.

use crate::{
    app::AppError,
    cli::addresses::erasers_addresses,
    config::{ServerSettings, Settings},
    log::{Log, MirrorName, NotMirrored, Unavailable},
    supervise::Supervisor,
};

/// Checks each mirror in the settings, with the eraser's NATS user.
pub(super) async fn mirrors(
    servers: &ServerSettings,
    settings: &Settings,
) -> Result<Vec<Result<String, String>>, AppError> {
    let mut found = Vec::new();
    if settings.erasing.mirrors.names.iter().next().is_some() {
        let nats = erasers_addresses(servers)?.nats;
        let log = Log::open(&nats, settings.layout(), &Supervisor::new()).await?;
        for name in settings.erasing.mirrors.names.iter() {
            found.push(erasable(&log, name).await.map_err(|e| e.to_string()));
        }
    }
    Ok(found)
}

/// Fails if the eraser cannot delete from a mirror.
async fn erasable(log: &Log, name: &MirrorName) -> Result<String, NotMirrored> {
    let mirror = log.mirror(name).await?;
    if let Some(why) = mirror.forbids() {
        return Err(NotMirrored::NoMirror(why));
    }
    let away = |e: Unavailable| NotMirrored::Away(e.to_string());
    let behind = mirror.behind(log.last(mirror.origin).await.map_err(away)?);
    let origin = log.stream_name(mirror.origin);
    Ok(format!("{name} mirrors {origin} and lacks its last {behind} events"))
}

/// Fails if there are copies of the log that no setting names, because the eraser does not delete from them.
pub(super) async fn all_are_named(log: &Log, settings: &Settings) -> Result<String, String> {
    let others = log.copies_besides(&settings.erasing.mirrors.names).await.map_err(|e| e.to_string())?;
    match others.is_empty() {
        true => Ok("no stream beside those of VERBATIM_MIRRORS has copies of the log".into()),
        false => Err(format!(
            "{} copies the log, and what is erased stays there: name mirrors in VERBATIM_MIRRORS, or see \"Mirrors\" in \
             docs/erasure.md",
            others.join(", ")
        )),
    }
}
