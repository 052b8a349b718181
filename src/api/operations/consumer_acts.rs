//! Actions on consumers: rotating credentials, replaying events, listing parked events, checking for overdue
//! credentials.

use std::time::Duration;

use poem_openapi::{Object, OpenApi, param::Path, types::Example};
use serde::{Deserialize, Serialize};

use crate::{
    access::{MAX_OVERLAP, OVERLAP},
    api::{
        Body, BodyIfAny, Caller, Few, Found, Page, Problem, Reply, Ruled, SignedIn, given,
        http::{examples, or_null::OrNull, since::SinceValue},
        operations::{
            consumer::{CREDENTIALS, named, start_at},
            tag::Tag,
        },
    },
    consumers::{self, Office},
    domain::{Position, Time},
    log::DeadLetter,
    webhooks::Since,
};

/// The maximum number of parked events that a request can name.
const MOST: usize = 1_000;

/// The options of a rotation of credentials
#[derive(Default, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(example)]
struct CredentialRotation {
    /// How long the old credentials keep working beside the new ones, in seconds: 0 to 604800. The default is 86400
    #[serde(default, deserialize_with = "given")]
    #[oai(validator(maximum(value = "604800")))]
    overlap_s: Option<u64>,
}

impl Example for CredentialRotation {
    fn example() -> Self {
        Self { overlap_s: Some(3_600) }
    }
}

/// New credentials of a consumer
#[derive(Serialize, Object)]
#[oai(example)]
struct RotatedCredentials {
    /// The name of the consumer
    name: String,
    /// The contents of the new `.creds` file. Shown only once: the server does not store it
    credentials: String,
    /// When the old credentials are due for revocation by the next `verbatim consumers sweep`
    old_expires_at: Time,
}

impl Example for RotatedCredentials {
    fn example() -> Self {
        let old_expires_at = examples::time().plus(OVERLAP);
        Self { name: "search".into(), credentials: CREDENTIALS.into(), old_expires_at }
    }
}

/// The events to deliver again: all events from a point on, or copies of parked events
#[derive(Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(example)]
struct ConsumerReplay {
    /// Where the consumer starts reading again: `start`, a position or a time
    #[serde(default, deserialize_with = "given")]
    from: Option<SinceValue>,
    /// Whether to move the consumer even if it is `live`. The default is `false`
    #[serde(default, deserialize_with = "given")]
    yes: Option<bool>,
    /// Whether to deliver copies of parked events
    #[serde(default, deserialize_with = "given")]
    parked: Option<bool>,
    /// The positions of the parked events to copy. The default is all of them
    #[serde(default, deserialize_with = "given")]
    ids: Option<Few<Position, MOST>>,
}

impl Example for ConsumerReplay {
    fn example() -> Self {
        Self { from: Some(SinceValue(Since::Start)), yes: None, parked: None, ids: None }
    }
}

/// The result of a replay
#[derive(Serialize, Object)]
#[oai(example)]
struct GivenAgain {
    /// The number of copies; null if the consumer starts reading again from a point
    given: OrNull<u32>,
}

impl Example for GivenAgain {
    fn example() -> Self {
        Self { given: OrNull(Some(1)) }
    }
}

/// An event that nats-server has stopped delivering to a consumer
#[derive(Serialize, Object)]
#[oai(example)]
struct ParkedEvent {
    /// The stream of the event
    stream: String,
    /// The position of the event
    position: Position,
    /// `max_deliveries`: the consumer never acknowledged it; `terminated`: the consumer rejected it for good
    reason: String,
    /// The reason that the consumer gave when it rejected the event
    #[serde(skip_serializing_if = "Option::is_none")]
    said: Option<String>,
    /// How often it was delivered
    deliveries: u64,
    /// When nats-server first gave up delivering it
    first_at: Time,
    /// When nats-server last gave up delivering it
    last_at: Time,
}

impl From<DeadLetter> for ParkedEvent {
    fn from(letter: DeadLetter) -> Self {
        let DeadLetter { stream, position, reason, said, deliveries, first_at, last_at, .. } = letter;
        let (position, reason) = (Position(position), reason.to_owned());
        Self { stream, position, reason, said, deliveries, first_at, last_at }
    }
}

impl Example for ParkedEvent {
    fn example() -> Self {
        Self {
            stream: "CHAT_0".into(),
            position: examples::position(),
            reason: "max_deliveries".into(),
            said: None,
            deliveries: 10,
            first_at: examples::time(),
            last_at: examples::time(),
        }
    }
}

/// The credentials that are overdue for revocation
#[derive(Serialize, Object)]
#[oai(example)]
struct OverdueCredentials {
    /// The number of credentials that are overdue for revocation: always 0
    overdue: u32,
}

impl Example for OverdueCredentials {
    fn example() -> Self {
        Self { overdue: 0 }
    }
}

pub(in crate::api) struct ConsumerActs {
    pub(in crate::api) office: Office,
}

#[OpenApi(tag = "Tag::Consumers")]
impl ConsumerActs {
    /// Replace the credentials of a consumer
    ///
    /// Replaces the credentials of a consumer. The old ones are due for revocation when the overlap ends. Revoking
    /// them needs the operator's signing key, which no node holds: `verbatim consumers sweep` does it. Needs the
    /// scope `admin:consumers`.
    #[oai(path = "/admin/consumers/:name/rotate", method = "post", operation_id = "rotate_consumer")]
    async fn rotate(
        &self,
        caller: Caller,
        name: Path<String>,
        body: BodyIfAny<CredentialRotation>,
    ) -> Result<Reply<RotatedCredentials>, Ruled> {
        self.office.scoped()?;
        let overlap = body.0.unwrap_or_default().overlap_s.map_or(OVERLAP, Duration::from_secs);
        if overlap > MAX_OVERLAP {
            let detail = format!("must be 0 to {} seconds", MAX_OVERLAP.as_secs());
            return Err(Problem::invalid("/overlap_s", "out_of_range", detail).into());
        }
        let name = named(name)?;
        let rotated = consumers::rotate(&self.office, &name, overlap, caller.by()).await?;
        let (credentials, old_expires_at) = (rotated.creds, rotated.old_expires_at);
        Ok(Reply(RotatedCredentials { name, credentials, old_expires_at }))
    }

    /// Replay events to a consumer
    ///
    /// Delivers events to a consumer again. With `from` the consumer reads everything from that point on again; this
    /// is a `conflict` while it is `live`, unless `yes` is set. With `parked` it receives copies of parked events,
    /// each once. Needs the scope `admin:consumers`.
    #[oai(path = "/admin/consumers/:name/replay", method = "post", operation_id = "replay_consumer")]
    async fn replay(
        &self,
        caller: Caller,
        name: Path<String>,
        body: Body<ConsumerReplay>,
    ) -> Result<Reply<GivenAgain>, Ruled> {
        self.office.scoped()?;
        let (name, ConsumerReplay { from, yes, parked, ids }) = (named(name)?, body.0);
        match (from, parked.unwrap_or(false), ids) {
            (Some(from), false, None) => {
                let (from, insists) = (start_at(from)?, yes.unwrap_or(false));
                consumers::read_anew(&self.office, &name, from, insists, caller.by()).await?;
                Ok(Reply(GivenAgain { given: OrNull(None) }))
            }
            (None, true, ids) => {
                let ids = ids.map(Few::into_vec).unwrap_or_default();
                let ids: Vec<u64> = ids.into_iter().map(|position: Position| position.0).collect();
                let given = consumers::replay_parked(&self.office, &name, &ids, caller.by()).await?;
                Ok(Reply(GivenAgain { given: OrNull(Some(given)) }))
            }
            _ => {
                let detail = "send either `from` or `parked`; `ids` requires `parked`";
                Err(Problem::invalid("", "ambiguous", detail).into())
            }
        }
    }

    /// List the parked events of a consumer
    ///
    /// Lists the events that nats-server has stopped delivering to a consumer in the last seven days, by stream and
    /// position, at most 10,000. Needs the scope `admin:consumers`.
    #[oai(path = "/admin/consumers/:name/parked", method = "get", operation_id = "list_parked_events")]
    async fn parked(&self, _caller: Caller, name: Path<String>) -> Result<Reply<Page<ParkedEvent>>, Found> {
        self.office.scoped()?;
        let letters = consumers::parked(&self.office, &named(name)?).await?;
        Ok(Reply(Page::of(letters, None).map(ParkedEvent::from)))
    }

    /// Check for overdue credentials
    ///
    /// Checks whether credentials are overdue for revocation. A node cannot revoke them itself, because it does not
    /// hold the key for it. The response is 503 `not_configured` if some are overdue: an operator then has to run
    /// `verbatim consumers sweep`. Needs the scope `admin:consumers`.
    #[oai(path = "/admin/consumers/sweep", method = "post", operation_id = "sweep_consumers")]
    async fn sweep(&self, _caller: Caller) -> Result<Reply<OverdueCredentials>, SignedIn> {
        self.office.scoped()?;
        consumers::nothing_is_overdue(&self.office).await?;
        Ok(Reply(OverdueCredentials { overdue: 0 }))
    }
}
