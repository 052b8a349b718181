//! The shapes of consumers in requests and responses.

use std::{path, time::Duration};

use poem_openapi::{Object, param::Path, types::Example};
use serde::{Deserialize, Serialize};

use crate::{
    api::{
        Few, Problem, given, given_word,
        http::{examples, or_null::OrNull, since::SinceValue, values::words},
    },
    consumers::{
        Added, ConsumerActivity, ConsumerError, ConsumerFilter, Language, ListedConsumer, Snippet,
        WantedConsumer,
    },
    credentials::NatsName,
    domain::{ConversationId, Time, UserId},
    log::StartAt,
    webhooks::Since,
};

/// The maximum number of conversations, and of types.
const MOST: usize = 100;
/// The maximum number of lanes.
const LANES: usize = 16;
/// Credentials for an example. They belong to no user of any server.
pub(in crate::api) const CREDENTIALS: &str =
    "-----BEGIN NATS USER JWT-----\neyJ0eXAiOiJKV1QiLCJhbGciOiJlZDI1NTE5LW5rZXkifQ…";

words! {
    /// `live`: it is asking for events, or received some within the last 30 seconds; `idle`: it has asked for events
    /// before; `stuck`: events have waited for a minute, and it has acknowledged none for a minute;
    /// `never_connected`: it has never asked for events
    ConsumerActivity as "ConsumerState": "live" "idle" "stuck" "never_connected";
}

/// A programming language
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ProgramLanguage {
    Rust,
    Python,
    Ts,
    Go,
}

words! {
    /// A programming language
    ProgramLanguage as "ProgramLanguage": "rust" "python" "ts" "go";
}

impl From<ProgramLanguage> for Language {
    fn from(language: ProgramLanguage) -> Self {
        match language {
            ProgramLanguage::Rust => Self::Rust,
            ProgramLanguage::Python => Self::Python,
            ProgramLanguage::Ts => Self::TypeScript,
            ProgramLanguage::Go => Self::Go,
        }
    }
}

/// A consumer to add
#[derive(Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(example)]
pub(in crate::api) struct NewConsumer {
    /// The name, which cannot be changed later: a letter a-z, followed by 1 to 31 of a-z, 0-9 and -, but not `sweep`
    #[oai(validator(pattern = "^[a-z][a-z0-9-]{1,31}$"))]
    pub(in crate::api) name: String,
    /// The lanes that it reads: `roster`, `timeline`, `receipts` and `control`. The default is all
    #[serde(default, deserialize_with = "given")]
    lanes: Option<Few<String, LANES>>,
    /// The conversations that it reads. The default is all. The number of conversations times the number of lanes may
    /// be at most 100
    #[serde(default, deserialize_with = "given")]
    conversations: Option<Few<ConversationId, MOST>>,
    /// The types of events that its program handles, such as `message.sent`; the server delivers all types of a lane.
    /// The default is all
    #[serde(default, deserialize_with = "given")]
    types: Option<Few<String, MOST>>,
    /// Where it begins: `now`, `start`, a position or a time. The default is `now`
    #[serde(default, deserialize_with = "given")]
    from: Option<SinceValue>,
    /// Whether it also reads audit events. The default is `false`
    #[serde(default, deserialize_with = "given")]
    audit: Option<bool>,
    /// The service account in whose name it sends commands. This also needs the scope `admin:services`
    #[serde(default, deserialize_with = "given")]
    pub(in crate::api) bot: Option<UserId>,
    /// Whether it only sends commands and reads nothing. The default is `false`
    #[serde(default, deserialize_with = "given")]
    commands_only: Option<bool>,
    /// Whether only one of its processes reads at a time, while the others stand by. The default is `false`
    #[serde(default, deserialize_with = "given")]
    exclusive: Option<bool>,
    /// The lifetime of its credentials in seconds, at most ten years. Without it they are valid until they are
    /// revoked
    #[serde(default, deserialize_with = "given")]
    #[oai(validator(minimum(value = "1"), maximum(value = "315360000")))]
    expires_in: Option<u64>,
    /// The programming language of the snippet in the response. The default is `python`
    #[serde(default, deserialize_with = "given_word")]
    lang: Option<ProgramLanguage>,
}

/// The name of a consumer in a path. A text that cannot be the name of a consumer is not looked up.
pub(in crate::api) fn named(name: Path<String>) -> Result<String, Problem> {
    NatsName::parse(&name.0).map(|name| name.to_string()).ok_or_else(Problem::not_found)
}

/// Converts the field `from` to one starting point for all streams. An error points at the field.
pub(in crate::api) fn start_at(from: SinceValue) -> Result<StartAt, Problem> {
    match from.0 {
        Since::Now => Ok(StartAt::Now),
        Since::Start => Ok(StartAt::First),
        Since::Position(position) => Ok(StartAt::Position(position.0)),
        Since::Time(time) => Ok(StartAt::Time(time)),
        Since::Streams(_) => {
            let detail = "must be one point for all streams: `now`, `start`, a time or a position";
            Err(Problem::invalid("/from", "invalid", detail))
        }
    }
}

impl NewConsumer {
    /// The filter that selects what the consumer reads.
    pub(in crate::api) fn filter(&self) -> Result<ConsumerFilter, Problem> {
        let Self { lanes, conversations, types, audit, bot, commands_only, exclusive, .. } = self;
        let list = |words: &Option<Few<String, MOST>>| words.clone().map(Few::into_vec).unwrap_or_default();
        if commands_only.unwrap_or(false) {
            let reads = lanes.is_some() || conversations.is_some() || types.is_some();
            let reads = reads || self.from.is_some() || audit.unwrap_or(false) || exclusive.unwrap_or(false);
            return match (bot, reads) {
                (Some(_), false) => Ok(ConsumerFilter::nothing()),
                _ => {
                    let detail = "requires `bot`, and excludes the fields that choose what a consumer reads";
                    Err(Problem::invalid("/commands_only", "ambiguous", detail))
                }
            };
        }
        let lanes = lanes.clone().map(Few::into_vec).unwrap_or_default();
        let ids = conversations.clone().map(Few::into_vec).unwrap_or_default();
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let filter = ConsumerFilter::read(&lanes, &ids, &list(types), audit.unwrap_or(false));
        Ok(filter.map_err(ConsumerError::from)?.exclusive(exclusive.unwrap_or(false)))
    }

    /// The consumer to add, with this filter.
    pub(in crate::api) fn wanted<'a>(
        &'a self,
        filter: &'a ConsumerFilter,
    ) -> Result<WantedConsumer<'a>, Problem> {
        let from = self.from.clone().map(start_at).transpose()?.unwrap_or(StartAt::Now);
        let life = match self.expires_in {
            Some(seconds) if !(1..=315_360_000).contains(&seconds) => {
                let detail = "must be 1 to 315360000 seconds";
                return Err(Problem::invalid("/expires_in", "out_of_range", detail));
            }
            life => life.map(Duration::from_secs),
        };
        let gives_commands = self.bot.is_some();
        Ok(WantedConsumer { name: &self.name, filter, from, gives_commands, life, has_password: false })
    }
}

impl Example for NewConsumer {
    fn example() -> Self {
        Self {
            name: "search".into(),
            lanes: Some(["roster".to_owned(), "timeline".to_owned()].into_iter().collect()),
            conversations: None,
            types: None,
            from: Some(SinceValue(Since::Start)),
            audit: None,
            bot: None,
            commands_only: None,
            exclusive: None,
            expires_in: Some(7_776_000),
            lang: None,
        }
    }
}

/// A consumer and, if it is new, its credentials
#[derive(Serialize, Object)]
#[oai(example)]
pub(in crate::api) struct AddedConsumer {
    /// The name of the consumer
    name: String,
    /// Whether this request added the consumer. If it existed already, the response has no credentials
    added: bool,
    /// The contents of its `.creds` file. Shown only once: the server does not store it
    #[serde(skip_serializing_if = "Option::is_none")]
    credentials: Option<String>,
    /// The streams that it reads, each through a durable consumer of its name
    streams: Vec<String>,
    /// The URLs at which this node reaches nats-server
    servers: Vec<String>,
    /// The prefix of the JetStream API that its program has to use
    api_prefix: String,
    /// The prefix of inboxes that its program has to use
    inbox_prefix: String,
    /// How to run the program
    run: String,
    /// A program that reads the events. It expects the credentials in `<name>.creds`
    snippet: String,
}

impl AddedConsumer {
    pub(in crate::api) fn of(new: &NewConsumer, added: Added, servers: &[String]) -> Self {
        let name = &new.name;
        let creds = format!("{name}.creds");
        let types = new.types.clone().map(Few::into_vec).unwrap_or_default();
        let language = Language::from(new.lang.unwrap_or(ProgramLanguage::Python));
        let snippet = Snippet {
            name,
            servers,
            creds: path::Path::new(&creds),
            streams: &added.streams,
            types: &types,
            is_exclusive: new.exclusive.unwrap_or(false),
        }
        .text(language);
        Self {
            added: added.is_new,
            credentials: added.creds,
            servers: servers.to_vec(),
            api_prefix: "log.api".into(),
            inbox_prefix: format!("_INBOX_{name}"),
            run: language.hint(name),
            snippet,
            name: name.clone(),
            streams: added.streams,
        }
    }
}

impl Example for AddedConsumer {
    fn example() -> Self {
        Self {
            name: "search".into(),
            added: true,
            credentials: Some(CREDENTIALS.into()),
            streams: vec!["CHAT_0".into()],
            servers: vec!["nats://nats.example.com:4222".into()],
            api_prefix: "log.api".into(),
            inbox_prefix: "_INBOX_search".into(),
            run: "python3 search.py".into(),
            snippet: "# Reads the log of Verbatim as the consumer search.".into(),
        }
    }
}

/// An external program that reads the log
#[derive(Serialize, Object)]
#[oai(example)]
pub(in crate::api) struct Consumer {
    /// The name of the consumer
    name: String,
    /// The lanes that it reads; empty if it only sends commands
    lanes: Vec<String>,
    /// The conversations that it reads; empty for all
    conversations: Vec<ConversationId>,
    /// The types of events that its program handles; empty for all
    types: Vec<String>,
    /// Whether it reads audit events
    reads_audit: bool,
    /// Whether only one of its processes reads at a time
    exclusive: bool,
    /// Whether it sends commands
    gives_commands: bool,
    /// The number of events that it has not acknowledged
    lag_events: u64,
    /// The age of the oldest event that it has not acknowledged, in seconds; 0 if there is none
    lag_seconds: u64,
    /// The number of its parked events, which nats-server has stopped delivering
    parked: u64,
    /// The number of events that were delivered to it more than once
    redelivered: u64,
    /// When it last received or acknowledged an event; null if it never has
    last_active: OrNull<Time>,
    /// The number of its connections to nats-server; null if the servers do not report it
    connections: OrNull<u64>,
    /// The state of the consumer
    state: ConsumerActivity,
    /// When the consumer was added
    created_at: Time,
    /// When its credentials expire; null if they never do
    expires_at: OrNull<Time>,
    /// Whether old credentials are overdue for revocation. If so, an operator has to run `verbatim consumers sweep`
    overdue: bool,
}

impl From<ListedConsumer> for Consumer {
    fn from(listed: ListedConsumer) -> Self {
        Self {
            name: listed.name,
            lanes: listed.lanes,
            conversations: listed.conversations,
            types: listed.types,
            reads_audit: listed.reads_audit,
            exclusive: listed.exclusive,
            gives_commands: listed.gives_commands,
            lag_events: listed.lag_events,
            lag_seconds: listed.lag_seconds,
            parked: listed.parked,
            redelivered: listed.redelivered,
            last_active: OrNull(listed.last_active),
            connections: OrNull(listed.connections),
            state: listed.state,
            created_at: listed.created_at,
            expires_at: OrNull(listed.expires_at),
            overdue: listed.overdue,
        }
    }
}

impl Example for Consumer {
    fn example() -> Self {
        Self {
            name: "search".into(),
            lanes: vec!["roster".into(), "timeline".into()],
            conversations: Vec::new(),
            types: Vec::new(),
            reads_audit: false,
            exclusive: false,
            gives_commands: false,
            lag_events: 3,
            lag_seconds: 1,
            parked: 0,
            redelivered: 0,
            last_active: OrNull(Some(examples::time())),
            connections: OrNull(Some(1)),
            state: ConsumerActivity::Live,
            created_at: examples::time(),
            expires_at: OrNull(Some(examples::time().plus(Duration::from_secs(7_776_000)))),
            overdue: false,
        }
    }
}
