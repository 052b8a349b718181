//! A moderation bot: reads messages from the log with its own consumer, and deletes those with a forbidden word by
//! commands over NATS. After a restart, it continues where it stopped.
//!
//! ```sh
//! verbatim services add guard --scopes conversations:read,messages:write
//! verbatim consumers add guard --lanes timeline --bot <service id>       # writes guard.creds
//! cargo run --example moderate -- guard guard.creds nats://127.0.0.1:4222 heck
//! ```
//!
//! The bot has to be a member of a conversation, with the role `admin`, to delete the messages of others.

use std::{env, error::Error, time::Duration};

use async_nats::{
    Client, ConnectOptions, RequestErrorKind,
    jetstream::{
        self, Message,
        consumer::{Consumer, pull},
    },
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream::SelectAll};
use serde_json::{Value, json};
use tokio::time::sleep;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Outcome<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [name, creds, server, word] = arguments.as_slice() else {
        return Err("write: moderate NAME CREDS SERVER WORD".into());
    };
    let client = ConnectOptions::with_credentials_file(creds)
        .await?
        .custom_inbox_prefix(format!("_INBOX_{name}"))
        .connect(server.as_str())
        .await?;
    let log = jetstream::with_prefix(client.clone(), "log.api");
    let mut events = SelectAll::new();
    let streams: Vec<String> = log.stream_names().try_collect().await?;
    for stream in streams.iter().filter(|stream| stream.starts_with("CHAT_")) {
        let stream = log.get_stream_no_info(stream).await?;
        let consumer: Consumer<pull::Config> = stream.get_consumer(name).await?;
        events.push(consumer.messages().await?);
    }
    while let Some(event) = events.next().await {
        let event = event?;
        if let Some((conversation, message)) = offence(&event, word) {
            let deleted = delete(&client, name, &conversation, &message).await?;
            println!("{message} in {conversation}: {deleted}");
        }
        // Only processed events are acknowledged. If the bot is killed, the event is delivered again, and the bot
        // repeats its command, which gets the same answer as before.
        event.ack().await?;
    }
    Ok(())
}

/// The conversation and the message of an event whose text contains the word.
fn offence(event: &Message, word: &str) -> Option<(String, String)> {
    let kind = event.headers.as_ref()?.get("ce-type")?.as_str();
    if !matches!(kind, "verbatim.message.sent.v1" | "verbatim.message.edited.v1") {
        return None;
    }
    let data: Value = serde_json::from_slice(&event.payload).ok()?;
    let is_offence =
        data["text"].as_str()?.to_lowercase().split(|c: char| !c.is_alphanumeric()).any(|w| w == word);
    let conversation = event.subject.split('.').nth(2)?;
    is_offence.then(|| (conversation.to_owned(), data["message_id"].as_str().unwrap_or_default().to_owned()))
}

/// Deletes a message. The idempotency key is the id of the message, so the command is executed once, however often it
/// is sent.
async fn delete(client: &Client, name: &str, conversation: &str, message: &str) -> Outcome<String> {
    let subject = format!("verbatim.commands.{name}.delete");
    let fields = json!({ "conversation_id": conversation, "message_id": message, "client_id": message });
    loop {
        let reply = match client.request(subject.clone(), fields.to_string().into()).await {
            Ok(reply) => reply,
            // Without a reply, the result of the command is unknown, and without responders nothing has happened. Both
            // are worth a retry.
            Err(error)
                if matches!(error.kind(), RequestErrorKind::TimedOut | RequestErrorKind::NoResponders) =>
            {
                sleep(Duration::from_secs(1)).await;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let header = |name: &str| Some(reply.headers.as_ref()?.get(name)?.as_str().to_owned());
        match header("Verbatim-Status").as_deref() {
            Some("429" | "503") => {
                let wait = header("Retry-After").and_then(|wait| wait.parse().ok()).unwrap_or(1);
                sleep(Duration::from_secs(wait)).await;
            }
            // The command is done, was done before, or is refused for good: the bot is not a member, or not an admin.
            _ => return Ok(header("Nats-Service-Error").unwrap_or_else(|| "deleted".into())),
        }
    }
}
