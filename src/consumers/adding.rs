//! Adding a consumer: its durables, then its account of itself, then its credentials. A command that is interrupted is
//! completed by the same command again, because each step looks whether it is done.

use std::time::Duration;

use crate::{
    accounts::{
        By, Stamp,
        consumers::{self, StoredConsumer},
    },
    authority,
    consumers::{ConsumerError, ConsumerFilter, Office},
    domain::{ConversationId, Time},
    log::{ConsumerDurable, Durables, FoundDurable, OpenError, StartAt},
};

/// A consumer that is there now.
#[derive(Debug)]
pub(crate) struct Added {
    /// The streams that it reads.
    pub(crate) streams: Vec<String>,
    /// Its credentials; `None` if it was there before.
    pub(crate) creds: Option<String>,
}

/// Whether there is a consumer of this name.
pub(crate) async fn is_there(office: &Office<'_>, name: &str) -> Result<bool, ConsumerError> {
    Ok(consumers::find(office.pool, name).await?.is_some())
}

/// Adds a consumer. The same one again is no change, and completes what an earlier try has left.
pub(crate) async fn add(
    office: &Office<'_>,
    name: &str,
    filter: &ConsumerFilter,
    from: StartAt,
    gives_commands: bool,
    life: Option<Duration>,
) -> Result<Added, ConsumerError> {
    let scoped = office.scoped()?;
    let known = consumers::find(office.pool, name).await?;
    if let Some(known) = &known {
        let its = ConsumerFilter::of(known).map_err(ConsumerError::Refused)?;
        if let Some(told) = its.differences(filter) {
            return Err(ConsumerError::Refused(format!(
                "the consumer `{name}` reads something else: {told}. Take another name, or remove it first"
            )));
        }
    }
    let mark = filter.mark();
    let of = Durables { name, filter: &mark, from };
    let durables = durables(office, name, filter);
    office.log.make_parked().await?;
    make(office, &of, &durables).await?;
    let streams =
        durables.into_iter().map(|durable| durable.stream).filter(|stream| stream != "REPLAY").collect();
    if known.is_some() {
        return Ok(Added { streams, creds: None });
    }
    let now = office.clock.now();
    let expires_at = life.map(|life| now.plus(life));
    let user = authority::Consumer {
        name,
        account: &scoped.account,
        reads_all: filter.conversations.is_empty(),
        commands: gives_commands,
        expires: expires_at.map(Time::unix_seconds),
    };
    let (user_key, creds) = user.signed(&scoped.key, now.unix_seconds());
    let new = StoredConsumer {
        name: name.to_owned(),
        id: office.clock.id(|id| id),
        lanes: filter.lane_words(),
        conversations: filter.conversations.iter().map(|id: &ConversationId| id.uuid()).collect(),
        types: filter.types.clone(),
        reads_audit: filter.reads_audit,
        gives_commands,
        user_key,
        created_at: now.datetime(),
        expires_at: expires_at.map(Time::datetime),
    };
    if !consumers::add(office.pool, &new, Stamp::now(office.clock, By::default())).await? {
        return Err(ConsumerError::Refused(format!(
            "another command has added the consumer `{name}` just now, and has its credentials"
        )));
    }
    Ok(Added { streams, creds: Some(creds) })
}

/// The durables of a consumer, that for copies of parked events among them.
pub(super) fn durables(office: &Office<'_>, name: &str, filter: &ConsumerFilter) -> Vec<ConsumerDurable> {
    let mut durables = office.log.durables_of(&filter.lanes, &filter.conversations);
    if filter.reads_audit {
        durables.push(office.log.durable_of_audit());
    }
    durables.push(office.log.durable_of_replays(name));
    durables
}

/// Makes the durables that are missing. Nothing is made while one of another consumer is in the way.
pub(super) async fn make(
    office: &Office<'_>,
    of: &Durables<'_>,
    durables: &[ConsumerDurable],
) -> Result<(), ConsumerError> {
    let mut missing = Vec::new();
    for durable in durables {
        match office.log.durable(of, &durable.stream).await? {
            FoundDurable::Same => {}
            FoundDurable::None => missing.push(durable),
            FoundDurable::Other => {
                return Err(ConsumerError::Refused(format!(
                    "{} has a durable `{}` that this command has not made, or with another filter: take another name, or \
                     remove that durable",
                    durable.stream, of.name
                )));
            }
        }
    }
    for (done, durable) in missing.iter().enumerate() {
        if let Err(e) = office.log.make_durable(of, durable).await {
            let left: Vec<&str> = missing[done..].iter().map(|durable| durable.stream.as_str()).collect();
            return Err(ConsumerError::Log(OpenError::Streams(format!(
                "{e}. No durable was made on {}: run the same command again, which completes it",
                left.join(", ")
            ))));
        }
    }
    Ok(())
}
