//! Which **webhooks** there are, and how far their events have been sent: the Postgres schema `hooks`, SQL only.
//!
//! The owner of an endpoint is the node that was the last to take it over ([`endpoints::take`]). Each takeover raises
//! the number `fence`, and [`progress::save`] writes nothing for a node with an older number. So a node that was frozen
//! while another node took over cannot move a cursor back.

pub(crate) mod deliveries;
pub(crate) mod endpoints;
pub(crate) mod figures;
mod passed;
pub(crate) mod progress;
pub(crate) mod replays;
pub(crate) mod stored;

pub(crate) use deliveries::{Delivery, DeliveryState, MadeDelivery};
pub(crate) use endpoints::{HookError, Overview};
pub(crate) use figures::{Figures, Summary};
pub(crate) use passed::passed;
pub(crate) use progress::{Changes, EndpointProgress, Held, Saved, StreamCursor};
pub(crate) use replays::ReplayWanted;
pub(crate) use stored::StoredEndpoint;
