//! What a node tells everybody about itself.

use crate::{
    api::operations::info::{Frames, Info},
    config::Settings,
    gateway::wire::budget,
    limits::{Policy, Rates},
    log::{Durability, Log},
};

/// The answer of `GET /v1/info`.
pub(super) fn info(settings: &Settings, log: &Log, durability: &Durability, rates: &Rates) -> Info {
    let budget::FrameRate { per_second, at_once } = budget::frames(rates.of(Policy::Frames));
    Info::new(
        log.epoch(),
        durability,
        log.layout(),
        Frames { per_second, at_once },
        rates,
        settings.registration,
        settings.exports().deadline,
    )
}
