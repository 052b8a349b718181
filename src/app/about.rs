//! What a server tells of itself.

use crate::{
    api::operations::info::{Chosen, Frames, Info},
    commands::Durability,
    config::Settings,
    domain::RetentionRules,
    log::Log,
};

/// What this server tells of itself.
pub(super) fn info(
    settings: &Settings,
    log: &Log,
    durability: &Durability,
    frames: Frames,
    retention: RetentionRules,
) -> Info {
    let chosen = Chosen {
        registration: settings.registration,
        export_deadline: settings.exports().deadline,
        retention,
    };
    Info::new(log.epoch(), durability, log.layout(), frames, &settings.rates(), chosen)
}
