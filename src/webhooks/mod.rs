//! **Webhooks**: how do we tell **others' servers** what has happened? Following the log, in order for each conversation,
//! retried, by one node for each endpoint.
//!
//! The log is the queue. [`teller`] reads a stream and says which events count and what stands before them; [`ring`] has
//! the latest events once for all endpoints of a node, and an endpoint that is behind reads the log by itself. A [`run`]
//! knows what of an endpoint's events is under way: a *lane* for each conversation with events that were not taken yet. Its
//! memory is bounded by the number of lanes, because a lane may say that its events are in the log only. [`owner`] drives
//! the runs of one endpoint, and [`keeper`] decides which endpoints this node owns.
//!
//! **Why nothing is lost.** The cursor of a stream never passes an event that was not taken or parked, unless the
//! conversation of the event is held (`hooks.held`), and both are written in one transaction. So whatever a node forgets
//! with its memory, the next owner reads again. **Why the order holds** across a takeover: the next owner begins at or
//! before the first event that was not taken, and sends each conversation from there in order. So the first arrival of
//! each event is in order, also if an earlier owner still sends.

mod breaker;
mod endpoint;
mod keeper;
mod lane;
mod manage;
mod not_done;
mod owner;
mod reading;
mod request;
mod ring;
mod run;
mod saving;
mod sender;
mod sending;
mod teller;
mod told;

pub(crate) use endpoint::{BadEndpoint, MAX_HEADERS, Shape};
pub(crate) use keeper::{Keeper, Kept};
pub(crate) use manage::{
    AddedEndpoint, MAX_ROTATION, ROTATION, Range, SeenEndpoint, Since, Tested, Webhooks,
};
pub(crate) use not_done::WebhookError;
pub(crate) use sender::{Sender, SendingPace};

pub(crate) use crate::hooks::{Delivery, DeliveryState, endpoints::MAX_ENDPOINTS, replays::MAX_REPLAYS};
