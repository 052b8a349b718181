//! Adding a consumer: its durables, then its row, then its credentials. If a command is interrupted, the same command
//! completes it, because each step checks whether it is already done.

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

/// A consumer to add.
#[derive(Debug)]
pub(crate) struct WantedConsumer<'a> {
    pub(crate) name: &'a str,
    pub(crate) filter: &'a ConsumerFilter,
    /// Where it begins to read.
    pub(crate) from: StartAt,
    pub(crate) gives_commands: bool,
    /// The lifetime of its credentials; `None` if they are valid until they are revoked.
    pub(crate) life: Option<Duration>,
    /// Whether it logs in with a password from nats-server's configuration, and gets no credentials.
    pub(crate) has_password: bool,
}

/// A consumer after the command.
#[derive(Debug)]
pub(crate) struct Added {
    /// The streams that it reads.
    pub(crate) streams: Vec<String>,
    /// Whether this command added it.
    pub(crate) is_new: bool,
    /// Its credentials; `None` if it existed before, or has a password.
    pub(crate) creds: Option<String>,
}

/// Whether there is a consumer of this name.
pub(crate) async fn is_there(office: &Office, name: &str) -> Result<bool, ConsumerError> {
    Ok(consumers::find(&office.pool, name).await?.is_some())
}

/// Refuses a consumer if another consumer with this name has a different filter.
pub(crate) async fn is_the_same(
    office: &Office,
    name: &str,
    filter: &ConsumerFilter,
) -> Result<(), ConsumerError> {
    let Some(known) = consumers::find(&office.pool, name).await? else { return Ok(()) };
    match ConsumerFilter::of(&known)?.differences(filter) {
        None => Ok(()),
        Some(told) => Err(ConsumerError::Refused(format!(
            "the consumer `{name}` exists with other settings: {told}. Choose another name, or remove it first"
        ))),
    }
}

/// Adds a consumer. Adding the same one again changes nothing, and completes an earlier attempt that was interrupted.
pub(crate) async fn add(office: &Office, wanted: WantedConsumer<'_>, by: By) -> Result<Added, ConsumerError> {
    let WantedConsumer { name, filter, from, gives_commands, life, has_password } = wanted;
    if !has_password {
        office.scoped()?;
    }
    is_the_same(office, name, filter).await?;
    let is_known = is_there(office, name).await?;
    // With the credentials of an earlier consumer of this name, a program could read as the new one.
    if !is_known && consumers::is_to_be_revoked(&office.pool, name).await? {
        return Err(ConsumerError::Refused(format!(
            "the credentials of an earlier consumer `{name}` still work: revoke them with `verbatim consumers sweep`, then \
             add it again"
        )));
    }
    let mark = filter.mark();
    let of = Durables { name, filter: &mark, from, is_exclusive: filter.is_exclusive };
    let durables = durables(office, name, filter);
    office.log.make_parked().await?;
    make(office, &of, &durables).await?;
    let streams =
        durables.into_iter().map(|durable| durable.stream).filter(|stream| stream != "REPLAY").collect();
    if is_known {
        return Ok(Added { streams, is_new: false, creds: None });
    }
    let now = office.clock.now();
    let expires_at = life.map(|life| now.plus(life)).filter(|_| !has_password);
    let signed = match has_password {
        true => None,
        false => {
            let scoped = office.scoped()?;
            let user = authority::Consumer {
                name,
                account: &scoped.account,
                reads_all: filter.reads() && filter.conversations.is_empty(),
                commands: gives_commands,
                expires: expires_at.map(Time::unix_seconds),
            };
            Some(user.signed(&scoped.key, now.unix_seconds()))
        }
    };
    let (user_key, creds) = signed.unzip();
    let new = StoredConsumer {
        name: name.to_owned(),
        id: office.clock.id(|id| id),
        lanes: filter.lane_words(),
        conversations: filter.conversations.iter().map(|id: &ConversationId| id.uuid()).collect(),
        types: filter.types.clone(),
        reads_audit: filter.reads_audit,
        gives_commands,
        is_exclusive: filter.is_exclusive,
        user_key,
        created_at: now.datetime(),
        expires_at: expires_at.map(Time::datetime),
    };
    if !consumers::add(&office.pool, &new, Stamp::now(&office.clock, by)).await? {
        return Err(ConsumerError::Refused(format!(
            "another command has just added the consumer `{name}` and has its credentials"
        )));
    }
    Ok(Added { streams, is_new: true, creds })
}

/// The durables of a consumer, including the one for copies of parked events.
pub(super) fn durables(office: &Office, name: &str, filter: &ConsumerFilter) -> Vec<ConsumerDurable> {
    if !filter.reads() {
        return Vec::new();
    }
    let mut durables = office.log.durables_of(&filter.lanes, &filter.conversations);
    if filter.reads_audit {
        durables.push(office.log.durable_of_audit());
    }
    durables.push(office.log.durable_of_replays(name));
    durables
}

/// Creates the missing durables. Creates none if another consumer's durable has the same name.
pub(super) async fn make(
    office: &Office,
    of: &Durables<'_>,
    durables: &[ConsumerDurable],
) -> Result<(), ConsumerError> {
    let mut missing = Vec::new();
        life_s: life.filter(|_| expires_at.is_some()).map(consumers::in_seconds),
    for durable in durables {
        match office.log.durable(of, &durable.stream).await? {
            FoundDurable::Same => {}
            FoundDurable::None => missing.push(durable),
            FoundDurable::Other => {
                return Err(ConsumerError::Refused(format!(
                    "{} has a durable consumer `{}` that another program created, or that has another filter: choose \
                     another name, or remove that durable consumer",
                    durable.stream, of.name
                )));
            }
        }
    }
    for (done, durable) in missing.iter().enumerate() {
        if let Err(e) = office.log.make_durable(of, durable).await {
            let left: Vec<&str> = missing[done..].iter().map(|durable| durable.stream.as_str()).collect();
            return Err(ConsumerError::Log(OpenError::Streams(format!(
                "{e}. No durable was created on {}: run the same command again to complete it",
                left.join(", ")
            ))));
        }
    }
    Ok(())
}
