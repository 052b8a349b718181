//! Adding a consumer: its durables, then its row, then its credentials. If a command is interrupted, the same command
//! completes it, because each step checks whether it is already done.

use std::time::Duration;

use crate::{
    accounts::{
        By, Stamp,
        consumers::{self, StoredConsumer},
    },
    authority,
    consumers::{ConsumerError, ConsumerFilter, Office, filter::BadFilter},
    domain::{ConversationId, Time},
    log::{ConsumerDurable, Durables, FoundDurable, OpenError, StartAt},
};

/// The name that no consumer can have: `/admin/consumers/sweep` is another operation.
const SWEEP: &str = "sweep";

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

impl<'a> WantedConsumer<'a> {
    /// The settings of its durables, with the mark of its filter.
    fn durables(&self, mark: &'a str) -> Durables<'a> {
        Durables { name: self.name, filter: mark, from: self.from, is_exclusive: self.filter.is_exclusive }
    }
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

/// Checks whether a consumer may be added, and changes nothing. Returns whether there is one already, which is the same.
pub(crate) async fn may_add(office: &Office, wanted: &WantedConsumer<'_>) -> Result<bool, ConsumerError> {
    let WantedConsumer { name, filter, gives_commands, has_password, .. } = *wanted;
    if !has_password {
        office.scoped()?;
    }
    let known = consumers::find(&office.pool, name).await?;
    if let Some(known) = &known {
        let word = |gives: bool| if gives { "set" } else { "none" };
        let (is, wanted) = (word(known.gives_commands), word(gives_commands));
        let bot = (is != wanted).then(|| format!("bot is {is} and not {wanted}"));
        let told: Vec<_> = ConsumerFilter::of(known)?.differences(filter).into_iter().chain(bot).collect();
        if !told.is_empty() {
            return Err(ConsumerError::Refused(format!(
                "the consumer `{name}` exists with other settings: {}. Choose another name, or remove it first",
                told.join("; ")
            )));
        }
    } else if name == SWEEP {
        return Err(BadFilter::reserved(name).into());
    } else if consumers::is_to_be_revoked(&office.pool, name).await? {
        // With the credentials of an earlier consumer of this name, a program could read as the new one.
        return Err(ConsumerError::Refused(format!(
            "the credentials of an earlier consumer `{name}` still work: revoke them with `verbatim consumers sweep`, then \
             add it again"
        )));
    }
    missing(office, &wanted.durables(&filter.mark()), &durables(office, name, filter)).await?;
    Ok(known.is_some())
}

/// Whether an attempt to add a consumer was refused, and no other command has added one that needs the binding of the
/// name.
pub(crate) async fn needs_no_binding(
    office: &Office,
    name: &str,
    added: &Result<Added, ConsumerError>,
) -> Result<bool, ConsumerError> {
    let is_needed = |known: StoredConsumer| known.gives_commands;
    Ok(matches!(added, Err(ConsumerError::Refused(_)))
        && !consumers::find(&office.pool, name).await?.is_some_and(is_needed))
}

/// Adds a consumer. Adding the same one again changes nothing, and completes an earlier attempt that was interrupted.
pub(crate) async fn add(office: &Office, wanted: WantedConsumer<'_>, by: By) -> Result<Added, ConsumerError> {
    let is_known = may_add(office, &wanted).await?;
    let WantedConsumer { name, filter, gives_commands, life, has_password, .. } = wanted;
    let mark = filter.mark();
    let durables = durables(office, name, filter);
    office.log.make_parked().await?;
    if !is_known && filter.reads() {
        office.log.forget_parked(name).await?;
    }
    make(office, &wanted.durables(&mark), &durables).await?;
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
        life_s: life.filter(|_| expires_at.is_some()).map(consumers::in_seconds),
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

/// The durables that do not exist yet. Fails if another consumer's durable has the same name.
async fn missing<'a>(
    office: &Office,
    of: &Durables<'_>,
    durables: &'a [ConsumerDurable],
) -> Result<Vec<&'a ConsumerDurable>, ConsumerError> {
    let mut missing = Vec::new();
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
    Ok(missing)
}

/// Creates the missing durables. Creates none if another consumer's durable has the same name.
pub(super) async fn make(
    office: &Office,
    of: &Durables<'_>,
    durables: &[ConsumerDurable],
) -> Result<(), ConsumerError> {
    let missing = missing(office, of, durables).await?;
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
