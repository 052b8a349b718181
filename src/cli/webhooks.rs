//! `webhooks`: other servers to which events are sent.

use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand};
use serde_json::Value;

use crate::{
    app::{self, AppError, AskWebhooks},
    cli::servers::Servers,
    domain::{ConversationId, Position, Time, UserId, WebhookId},
    webhooks::{Range, Shape, Since},
};

#[derive(Debug, Args)]
pub(super) struct WebhookCommand {
    #[command(subcommand)]
    what: What,

    #[command(flatten)]
    servers: Servers,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Adds a webhook and prints its secret once.
    Add(Box<Add>),
    /// Lists the webhooks.
    List,
    /// Shows a webhook and its progress.
    Show {
        /// Id of the webhook.
        id: WebhookId,
    },
    /// Replaces the secret of a webhook, and prints the new one once.
    Rotate {
        /// Id of the webhook.
        id: WebhookId,

        /// Time for which both secrets sign, in seconds.
        #[arg(long, value_name = "SECONDS", default_value_t = 86_400,
              value_parser = clap::value_parser!(u64).range(0..=604_800))]
        overlap: u64,
    },
    /// Sends a test event, and shows the answer.
    Test {
        /// Id of the webhook.
        id: WebhookId,
    },
    /// Sends events again.
    Replay(Replay),
    /// Lists the parked events of a webhook.
    Parked {
        /// Id of the webhook.
        id: WebhookId,
    },
    /// Enables a disabled webhook again, from the first event that it has not received.
    Enable {
        /// Id of the webhook.
        id: WebhookId,

        /// `now` skips the events that it has not received.
        #[arg(long, value_name = "now", value_parser = ["now"])]
        from: Option<String>,
    },
    /// Disables a webhook. When it is enabled again, it gets the events of the meantime.
    Disable {
        /// Id of the webhook.
        id: WebhookId,
    },
    /// Removes a webhook and its delivery log.
    Remove {
        /// Id of the webhook.
        id: WebhookId,
    },
}

#[derive(Debug, Args)]
struct Add {
    /// URL that receives the events.
    url: String,

    /// Types of events, separated by commas: message.sent,message.edited; `*` for all.
    #[arg(long, value_name = "TYPES", value_delimiter = ',', default_value = "*")]
    types: Vec<String>,

    /// Lanes to send, separated by commas. [default: all]
    #[arg(long, value_name = "LANES", value_delimiter = ',')]
    lanes: Option<Vec<String>>,

    /// Ids of the conversations to send, separated by commas. [default: all]
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    conversations: Option<Vec<ConversationId>>,

    /// Sends only events caused by these service accounts, separated by commas. [default: all accounts]
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    services: Option<Vec<UserId>>,

    /// First event to send: now, start, or a time.
    #[arg(long, value_name = "POINT", default_value = "now", value_parser = since)]
    from: Since,

    /// Ordering: `conversation` sends the events of a conversation one after another, `none` does not wait.
    #[arg(long, value_name = "ORDER", default_value = "conversation", value_parser = ["conversation", "none"])]
    order: String,

    /// Kind of signature: v1 (HMAC-SHA256) or v1a (Ed25519).
    #[arg(long, value_name = "KIND", default_value = "v1", value_parser = ["v1", "v1a"])]
    signature: String,

    /// Header to send with each event, like "Authorization: Bearer …". May be repeated up to ten times.
    #[arg(long, value_name = "HEADER", value_parser = header)]
    header: Vec<(String, String)>,

    /// Leaves out the data of events.
    #[arg(long)]
    thin: bool,

    /// Maximum number of concurrent requests.
    #[arg(long, value_name = "NUMBER", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=64))]
    concurrency: u16,

    /// Description of the webhook.
    #[arg(long, value_name = "TEXT", default_value = "")]
    description: String,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("events").required(true))]
struct Replay {
    /// Id of the webhook.
    id: WebhookId,

    /// First event: start, a time, or a position with --conversation.
    #[arg(long, value_name = "POINT", value_parser = since, group = "events")]
    from: Option<Since>,

    /// Conversation of the events. [default: all]
    #[arg(long, value_name = "ID", requires = "from")]
    conversation: Option<ConversationId>,

    /// Last event: a position with --conversation, or a time. [default: the current end of the log]
    #[arg(long, value_name = "POINT", value_parser = since, requires = "from")]
    until: Option<Since>,

    /// Numbers of deliveries, separated by commas.
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', group = "events")]
    deliveries: Option<Vec<i64>>,

    /// Replays the parked events, the oldest 1,000 at once.
    #[arg(long, group = "events")]
    parked: bool,
}

fn since(text: &str) -> Result<Since, String> {
    let position = || text.parse().ok().map(|number| Since::Position(Position(number)));
    match text {
        "now" => Ok(Since::Now),
        "start" => Ok(Since::Start),
        _ => position()
            .or_else(|| text.parse::<Time>().ok().map(Since::Time))
            .ok_or_else(|| "expected now, start, a position, or a time like 2026-11-24T13:10:00Z".into()),
    }
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("expected a name, a colon and a value")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

impl From<Add> for AskWebhooks {
    fn from(add: Add) -> Self {
        let shape = Shape {
            url: Some(add.url),
            types: Some(add.types),
            lanes: add.lanes,
            conversations: add.conversations,
            services: add.services,
            is_ordered: Some(add.order == "conversation"),
            is_thin: Some(add.thin),
            concurrency: Some(add.concurrency),
            headers: Some(add.header),
            description: Some(add.description),
        };
        Self::Add { shape, is_pair: add.signature == "v1a", from: add.from }
    }
}

impl From<What> for AskWebhooks {
    fn from(what: What) -> Self {
        match what {
            What::Add(add) => (*add).into(),
            What::List => Self::List,
            What::Show { id } => Self::Show(id),
            What::Rotate { id, overlap } => Self::Rotate(id, Duration::from_secs(overlap)),
            What::Test { id } => Self::Test(id),
            What::Replay(Replay { id, from, conversation, until, deliveries, .. }) => {
                let range = match (from, deliveries) {
                    (Some(from), _) => Range::Log { from, conversation, until },
                    (None, Some(deliveries)) => Range::Deliveries(deliveries),
                    (None, None) => Range::Parked,
                };
                Self::Replay(id, range)
            }
            What::Parked { id } => Self::Parked(id),
            What::Enable { id, from } => Self::Enable { id, is_from_now: from.is_some() },
            What::Disable { id } => Self::Disable(id),
            What::Remove { id } => Self::Remove(id),
        }
    }
}

pub(super) async fn webhooks(WebhookCommand { what, servers }: WebhookCommand) -> Result<(), AppError> {
    let answer = app::ask_webhooks(&servers.settings, &servers.addresses()?, what.into()).await?;
    match answer["items"].as_array() {
        Some(items) if items.is_empty() => println!("none"),
        Some(items) => items.iter().for_each(|item| println!("{}", line(item))),
        None if answer.is_null() => println!("removed the webhook"),
        None => {
            println!("{}", line(&answer));
            if answer["secret"].is_string() {
                println!("The secret is not shown again: give it to the receiver.");
            }
        }
    }
    match answer["ok"] == false {
        true => Err(AppError::Refused("the webhook did not accept the test: see `error` above".into())),
        false => Ok(()),
    }
}

/// Formats the fields of an object as one line. Empty fields are left out.
fn line(object: &Value) -> String {
    let fields = object.as_object().into_iter().flatten();
    let text = |(name, value): (&String, &Value)| match value {
        Value::String(text) if !text.is_empty() => Some(format!("{name} {text}")),
        Value::Number(number) => Some(format!("{name} {number}")),
        Value::Bool(is_so) => Some(format!("{name} {is_so}")),
        Value::Array(words) if !words.is_empty() => {
            let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
            Some(format!("{name} {}", words.join(",")))
        }
        _ => None,
    };
    // The id comes first.
    let (mut first, rest): (Vec<_>, Vec<_>) =
        fields.filter_map(text).partition(|text| text.starts_with("id "));
    first.extend(rest);
    first.join("  ")
}
