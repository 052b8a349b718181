//! Commands from programs, by request and reply over core NATS. The nodes form one service as defined by NATS ADR-32
//! (`nats micro ls`), and nats-server gives each request to one of them.

use async_nats::{
    HeaderMap, HeaderValue, Subject,
    service::{Request, Service, ServiceExt as _, endpoint::Endpoint},
};
use bytes::Bytes;
use futures_util::StreamExt as _;

use crate::log::{Log, Unavailable};

/// `verbatim.commands.<NATS name>.<command>`. nats-server lets a program publish under its own name only.
const COMMANDS: &str = "verbatim.commands.*.*";
const QUEUE: &str = "commands";

/// The requests that this node gets.
pub struct CommandRequests {
    endpoint: Endpoint,
    /// Answers `$SRV.PING`, `$SRV.INFO` and `$SRV.STATS` until it is dropped.
    _service: Service,
}

/// One request.
pub struct CommandRequest(Request);

impl Log {
    /// Joins the nodes that answer commands.
    pub async fn command_requests(&self) -> Result<CommandRequests, Unavailable> {
        let service = self.client.service_builder().description("Commands: see docs/commands.md");
        let service = service.start("verbatim", env!("CARGO_PKG_VERSION")).await;
        let service = service.map_err(Unavailable::because)?;
        let endpoint = service.endpoint_builder().name("commands").queue_group(QUEUE).add(COMMANDS).await;
        Ok(CommandRequests { endpoint: endpoint.map_err(Unavailable::because)?, _service: service })
    }
}

impl CommandRequests {
    /// The next request; `None` when the connection is closed for good.
    pub async fn next(&mut self) -> Option<CommandRequest> {
        self.endpoint.next().await.map(CommandRequest)
    }
}

impl CommandRequest {
    /// The NATS name of the program.
    pub fn name(&self) -> &str {
        self.token(2)
    }

    /// The word of the command.
    pub fn command(&self) -> &str {
        self.token(3)
    }

    fn token(&self, number: usize) -> &str {
        self.0.message.subject.split('.').nth(number).unwrap_or_default()
    }

    /// Whether the program waits for a reply. A reply is sent to an inbox and nowhere else: nats-server does not check
    /// permissions on the reply subject that a client names, and this node may publish events.
    pub fn wants_a_reply(&self) -> bool {
        let is_inbox = |reply: &Subject| reply.starts_with("_INBOX") || reply.starts_with("_R_.");
        self.0.message.reply.as_ref().is_some_and(is_inbox)
    }

    /// The values of a header. Its name is case-insensitive, as in HTTP.
    pub fn header(&self, name: &str) -> impl Iterator<Item = &str> {
        let all = self.0.message.headers.iter().flat_map(HeaderMap::iter);
        let named = all.filter(move |(here, _)| {
            let here: &str = here.as_ref();
            here.eq_ignore_ascii_case(name)
        });
        named.flat_map(|(_, values)| values).map(HeaderValue::as_str)
    }

    /// The body.
    pub fn payload(&self) -> &Bytes {
        &self.0.message.payload
    }

    /// Sends a reply.
    pub async fn reply<'a>(
        &self,
        headers: impl Iterator<Item = (&'static str, &'a str)>,
        body: Bytes,
    ) -> Result<(), Unavailable> {
        let mut all = HeaderMap::new();
        headers.for_each(|(name, value)| all.insert(name, value));
        self.0.respond_with_headers(Ok(body), all).await.map_err(Unavailable::because)
    }
}
