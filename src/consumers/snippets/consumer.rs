// Reads the log of Verbatim as the consumer @NAME@. Needs: async-nats, futures-util, tokio.
use async_nats::{
    ConnectOptions, Event,
    jetstream::{
        self,
        consumer::{Consumer, pull},
    },
};
use futures_util::{StreamExt as _, stream::SelectAll};

const NAME: &str = "@NAME@";
const SERVERS: &[&str] = &["@SERVERS@"];
const CREDS: &str = "@CREDS@";
const STREAMS: &[&str] = &["@STREAMS@"];
/// Events of other types are acknowledged and passed over; an empty list means all.
const TYPES: &[&str] = &["@TYPES@"];

#[tokio::main]
async fn main() -> Result<(), async_nats::Error> {
    let servers: Vec<async_nats::ServerAddr> =
        SERVERS.iter().map(|url| url.parse()).collect::<Result<_, _>>()?;
    let client = ConnectOptions::with_credentials_file(CREDS)
        .await?
        .name(NAME)
        .custom_inbox_prefix(format!("_INBOX_{NAME}"))
        .event_callback(|event| async move {
            // Credentials that were revoked do not come back: without this, the client tries for ever.
            if let Event::ServerError(async_nats::ServerError::AuthorizationViolation) = event {
                std::process::exit(1);
            }
        })
        .connect(servers)
        .await?;
    let log = jetstream::with_prefix(client, "log.api");
    let mut events = SelectAll::new();
    for stream in STREAMS {
        let stream = log.get_stream_no_info(*stream).await?;
        let consumer: Consumer<pull::Config> = stream.get_consumer(NAME).await?;
        // An event comes again if it is not acknowledged within a second, so few are fetched at once.
        let pull = consumer.stream().max_messages_per_batch(20) /*@GROUP@*/;
        events.push(pull.messages().await?);
    }
    while let Some(event) = events.next().await {
        let event = event?;
        let header = |name: &str| {
            event.headers.as_ref().and_then(|all| all.get(name)).map(async_nats::HeaderValue::as_str)
        };
        let kind = header("ce-type").unwrap_or_default().trim_start_matches("verbatim.");
        let kind = kind.rsplit_once(".v").map_or(kind, |(kind, _)| kind);
        // A copy of a parked event says where the event lies.
        let own = event.info()?.stream_sequence;
        let position = header("verbatim-position").and_then(|text| text.parse().ok()).unwrap_or(own);
        let subject = header("verbatim-subject").unwrap_or(event.subject.as_str());
        if TYPES.is_empty() || TYPES.contains(&kind) {
            println!("{position} {subject} {kind} {}", String::from_utf8_lossy(&event.payload));
        }
        // Only what is done is acknowledged; the rest comes again.
        event.ack().await?;
    }
    Ok(())
}
