//! What all deliveries share: the client, the clock, the key of the secrets, and the pace of the retries.

use std::{sync::Arc, time::Duration};

use crate::{
    clock::Clock,
    credentials::MasterKey,
    domain::RetentionRules,
    log::PublicUrl,
    outbound::{Outbound, Schemes},
};

/// When a failed delivery is retried, and when an endpoint is disabled.
#[derive(Debug, Clone)]
pub(crate) struct SendingPace {
    /// The waits before the retries of an event.
    pub retries: Vec<Duration>,
    /// An endpoint is disabled when all attempts have failed for this long.
    pub disable_after: Duration,
}

/// What all deliveries share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Sender {
    /// The client, which guards addresses.
    pub outbound: Outbound,
    /// The schemes that URLs may have.
    pub schemes: Schemes,
    /// The clock.
    pub clock: Clock,
    /// The key that encrypts secrets; `None` if no file is set.
    pub master: Option<Arc<MasterKey>>,
    /// Where receivers find the schemas of events.
    pub public_url: Option<Arc<PublicUrl>>,
    /// The pace of retries.
    pub pace: Arc<SendingPace>,
    /// The rules for how long messages are kept: an event that has waited for longer is sent without its text.
    pub retention: RetentionRules,
}
