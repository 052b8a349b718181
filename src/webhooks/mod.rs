//! **Webhooks**: how do we tell **other servers** what has happened? One node for each endpoint follows the log, sends
//! the events of each conversation in order, and retries.
//!
//! The log is the queue. [`teller`] reads a stream and determines which events count and which event is before each in
//! its conversation. [`ring`] has the latest events, once for all endpoints of a node; for an endpoint that lags
//! further behind, the log is read separately. A [`run`] knows which events of an endpoint are in flight, with a *lane*
//! for each conversation that has events that were not taken yet. Its memory is bounded by the number of lanes, because
//! a lane may note that its events are only in the log. [`owner`] drives the runs of one endpoint. [`keeper`] decides
//! which endpoints this node owns, [`renewals`] says when their claims are renewed, and [`takeover`] makes it
//! the owner of one. [`stuck`] reports the endpoints to which the node cannot send.
//!
//! **Why nothing is lost.** The cursor of a stream never passes an event that was not taken or parked, unless the
//! conversation of the event is held (`hooks.held`), and both are written in one transaction. So the next owner reads
//! again whatever a node loses with its memory. **Why the order holds** across a takeover: the next owner begins at or
//! before the first event that was not taken, and sends each conversation in order from there. So the first arrival of
//! each event is in order, even if an earlier owner is still sending.

mod breaker;
mod endpoint;
mod keeper;
mod lane;
mod manage;
mod not_done;
mod owner;
mod range;
mod reading;
mod renewals;
mod request;
mod ring;
mod run;
mod saving;
mod sender;
mod sending;
mod stuck;
mod takeover;
mod teller;
mod told;

pub(crate) use endpoint::{BadEndpoint, MAX_HEADERS, Shape};
pub(crate) use keeper::{Keeper, Kept};
pub(crate) use manage::{
    AddedEndpoint, MAX_ROTATION, ROTATION, RotatedEndpoint, SeenEndpoint, Tested, Webhooks,
};
pub(crate) use not_done::{Bound, WebhookError};
pub(crate) use range::{Range, Since};
pub(crate) use sender::{Sender, SendingPace};

pub(crate) use crate::hooks::{Delivery, DeliveryState, endpoints::MAX_ENDPOINTS, replays::MAX_REPLAYS};
