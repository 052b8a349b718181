//! Public information about a node.

use crate::{
    api::operations::info::{Chosen, Frames, Info},
    config::Settings,
    domain::RetentionRules,
    gateway::wire::budget,
    limits::{Policy, Rates},
    log::{Durability, Log},
};

/// The answer of `GET /v1/info`.
pub(super) fn info(
    settings: &Settings,
    log: &Log,
    durability: &Durability,
    rates: &Rates,
    retention: RetentionRules,
) -> Info {
    let budget::FrameRate { per_second, at_once } = budget::frames(rates.of(Policy::Frames));
    let frames = Frames { per_second, at_once };
    let chosen = Chosen {
        registration: settings.registration,
        export_deadline: settings.exports().deadline,
        retention,
    };
    Info::new(log.epoch(), durability, log.layout(), frames, rates, chosen)
}
