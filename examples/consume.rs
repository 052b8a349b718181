//! A microservice that reads every event from the log with its own durable consumer. After a restart, it
//! continues where it stopped.
//!
//! In dev mode, run `cargo run --example consume -- archive` with the settings in `.verbatim/dev.env`. With
//! real servers, name the user of the microservice in the URL or use its `.creds` file, which has its name,
//! and pass its name as the argument; see deploy/README.md.

use std::{env, error::Error, path::Path};

use async_nats::{
    ConnectOptions, ToServerAddrs as _,
    jetstream::{
        self, Message,
        consumer::{Consumer, pull},
    },
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream::SelectAll};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let name = env::args().nth(1).unwrap_or_else(|| "reader".into());
    let url = env::var("VERBATIM_NATS_URL").map_err(|_| "VERBATIM_NATS_URL is not set")?;
    // The user of a microservice reads from a separate account, through the durable with its name.
    let (mut options, is_reader) = match env::var("VERBATIM_NATS_CREDENTIALS_FILE") {
        Ok(file) => {
            let is_reader = Path::new(&file).file_stem().is_some_and(|stem| *stem == *name);
            (ConnectOptions::with_credentials_file(file).await?, is_reader)
        }
        Err(_) => {
            let server = url.to_server_addrs()?.next().ok_or("VERBATIM_NATS_URL names no server")?;
            let (user, password) = server.username().zip(server.password()).ok_or("the URL has no user")?;
            let options = ConnectOptions::with_user_and_password(user.to_owned(), password.to_owned());
            (options, user == name)
        }
    };
    if is_reader {
        options = options.custom_inbox_prefix(format!("_INBOX_{name}"));
    }
    let client = options.connect(url).await?;
    let log = match is_reader {
        true => jetstream::with_prefix(client, "log.api"),
        false => jetstream::new(client),
    };

    let mut events = SelectAll::new();
    let streams: Vec<String> = log.stream_names().try_collect().await?;
    for stream in streams.iter().filter(|stream| stream.starts_with("CHAT_")) {
        // A reader has no permission to request more about a stream than its name.
        let stream = log.get_stream_no_info(stream).await?;
        let consumer: Consumer<pull::Config> = match is_reader {
            true => stream.get_consumer(&name).await?,
            false => {
                let durable = pull::Config { durable_name: Some(name.clone()), ..pull::Config::default() };
                stream.get_or_create_consumer(&name, durable).await?
            }
        };
        events.push(consumer.messages().await?);
    }
    while let Some(event) = events.next().await {
        let event = event?;
        show(&event)?;
        // Only processed events are acknowledged. All others are delivered again.
        event.ack().await?;
    }
    Ok(())
}

fn show(event: &Message) -> Result<(), Box<dyn Error + Send + Sync>> {
    let info = event.info()?;
    let header = |name: &str| {
        let value = event.headers.as_ref().and_then(|headers| headers.get(name));
        value.map_or("-", async_nats::HeaderValue::as_str)
    };
    let (stream, position) = (info.stream, info.stream_sequence);
    println!("{stream} {position:>6} {} {}", header("ce-time"), header("ce-type"));
    println!("    by {} on {}", header("ce-actor"), event.subject);
    println!("    {}", String::from_utf8_lossy(&event.payload));
    Ok(())
}
