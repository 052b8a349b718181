//! A program that sends commands over NATS.

use async_nats::{Client, HeaderMap, Message, RequestError};
use serde_json::Value;
use verbatim::dev::NatsUser;

use super::{ALL_SCOPES, Program, World};

/// A program that sends commands under its NATS name.
pub struct Bot {
    pub client: Client,
    pub program: Program,
    /// The id of the key that represents its name.
    pub name_id: String,
}

/// The reply to a command.
#[derive(Debug)]
pub struct NatsReply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Value,
}

impl NatsReply {
    pub fn of(message: &Message) -> Self {
        let headers = message.headers.clone().expect("headers");
        let status = headers.get("Verbatim-Status").expect("a status").as_str().parse().expect("a number");
        assert!(headers.get("Verbatim-Request-Id").is_some(), "{headers:?}");
        let body = match message.payload.is_empty() {
            true => Value::Null,
            false => serde_json::from_slice(&message.payload).expect("JSON"),
        };
        Self { status, headers, body }
    }

    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        assert!(self.headers.get("Nats-Service-Error").is_none());
        self.body
    }

    pub fn refuses(self, status: u16, code: &str) -> Value {
        assert_eq!((self.status, self.body["code"].as_str()), (status, Some(code)), "{}", self.body);
        let header = |name: &str| self.headers.get(name).expect(name).as_str().to_owned();
        assert_eq!(header("Nats-Service-Error-Code"), status.to_string());
        assert_eq!(header("Nats-Service-Error"), code);
        self.body
    }
}

impl Bot {
    pub const NAME: &str = "reader";

    pub async fn begins(world: &World) -> Self {
        let operator = Program::bootstraps(world).await;
        Self::of(world, operator.makes("robot", ALL_SCOPES).await).await
    }

    /// Binds its name to an existing program.
    pub async fn of(world: &World, program: Program) -> Self {
        let client = world.nats.connect(NatsUser::Reader).await.expect("NATS");
        let name_id = Self::binds(world, &program).await;
        Self { client, program, name_id }
    }

    pub async fn asks(&self, command: &str, fields: Value) -> NatsReply {
        self.says(command, &[], fields.to_string()).await
    }

    pub async fn says(&self, command: &str, headers: &[(&str, &str)], body: impl Into<String>) -> NatsReply {
        NatsReply::of(&self.tries(command, headers, body.into()).await.expect("a reply"))
    }

    pub async fn tries(
        &self,
        command: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> Result<Message, RequestError> {
        let mut all = HeaderMap::new();
        headers.iter().for_each(|(name, value)| all.append(*name, *value));
        self.client
            .request_with_headers(format!("verbatim.commands.{}.{command}", Self::NAME), all, body.into())
            .await
    }

    /// Lets the NATS name act as the program.
    pub async fn binds(world: &World, program: &Program) -> String {
        let ran =
            world.runs(&["services", "keys", "add", &program.person.id, "--nats-name", Self::NAME]).await;
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(ran.stdout.contains(Self::NAME) && !ran.stdout.contains("vbk_"), "{ran:?}");
        let mut words = ran.stdout.split_whitespace().skip_while(|word| *word != "id");
        words.nth(1).expect("an id").to_owned()
    }
}
