//! Assembles the exports of a node from the parts that they need.

use std::sync::Arc;

use sqlx::PgPool;

use crate::{
    config::Settings,
    exports::{ExportParts, Exports},
    limits::RateLimits,
    overload::Overload,
    reading::Events,
};

/// The exports of a node. All nodes share `key`.
pub(super) fn exports(
    settings: &Settings,
    events: &Events,
    pool: &PgPool,
    limits: &Arc<RateLimits>,
    overload: &Overload,
    key: &[u8; 32],
) -> Exports {
    let parts = ExportParts {
        log: events.log.clone(),
        conversations: events.conversations.clone(),
        feed: events.feed.clone(),
        pool: pool.clone(),
        revoked: events.revoked.clone(),
        limits: limits.clone(),
        overload: overload.clone(),
        clock: events.clock.clone(),
        public_url: settings.public_url.clone(),
        stopping: events.stopping.clone(),
        settings: settings.exports(),
    };
    Exports::new(parts, key)
}
