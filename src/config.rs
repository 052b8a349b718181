//! Settings: flags or `VERBATIM_*` variables, each with its default and unit in `--help`. Secrets
//! also come from files.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};

use crate::{
    credentials, gateway,
    listen::{self, Origins},
    live,
    log::{PublicUrl, Wanted},
    presence,
    telemetry::LogFormat,
};

/// The settings of `serve` and `dev`.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// Address and port of the public listener (REST, WebSocket, documentation).
    #[arg(long, env = "VERBATIM_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDRESS:PORT")]
    pub listen: SocketAddr,

    /// Address and port of the admin listener (/livez, /readyz, /metrics). Keep this listener private.
    #[arg(
        long,
        env = "VERBATIM_ADMIN_LISTEN",
        default_value = "127.0.0.1:8081",
        value_name = "ADDRESS:PORT"
    )]
    pub admin_listen: SocketAddr,

    #[command(flatten)]
    log_layout: LayoutSettings,

    /// Origins of the web pages that may use REST and WebSockets: a comma-separated list, as browsers write them
    /// (`https://chat.example`), or `*` for all origins. The server's own pages are always allowed.
    #[arg(long, env = "VERBATIM_ORIGINS", default_value = "*", value_name = "ORIGINS")]
    pub origins: Origins,

    /// Maximum number of open WebSockets of one user on this node.
    #[arg(long, env = "VERBATIM_SOCKETS_PER_USER", default_value_t = 20, value_name = "NUMBER")]
    pub sockets_per_user: usize,

    /// Maximum number of open WebSockets on this node.
    #[arg(long, env = "VERBATIM_SOCKETS", default_value_t = 15_000, value_name = "NUMBER")]
    pub sockets: usize,

    /// Maximum number of requests of one user that follow events on this node at once, by long polling or as a
    /// stream.
    #[arg(long, env = "VERBATIM_FOLLOWERS_PER_USER", default_value_t = 20, value_name = "NUMBER")]
    pub followers_per_user: usize,

    /// Maximum number of requests that follow events on this node at once. Each request needs a connection.
    #[arg(long, env = "VERBATIM_FOLLOWERS", default_value_t = 10_000, value_name = "NUMBER")]
    pub followers: usize,

    /// Maximum number of HTTP connections at once. Further connections wait to be accepted.
    #[arg(long, env = "VERBATIM_CONNECTIONS", default_value_t = 16_384, value_name = "NUMBER")]
    pub connections: usize,

    /// Time between two heartbeats on every WebSocket, in seconds (1 to 55).
    #[arg(long, env = "VERBATIM_HEARTBEAT", default_value_t = 25, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(1..=55))]
    pub heartbeat: u64,

    /// Grace period of presence, in seconds: a user who reconnects within it never counts as offline.
    #[arg(long, env = "VERBATIM_PRESENCE_GRACE", default_value_t = 10, value_name = "SECONDS")]
    pub presence_grace: u64,

    /// Maximum number of conversations that get an event when the presence of a member changes.
    #[arg(long, env = "VERBATIM_PRESENCE_FAN_OUT", default_value_t = 200, value_name = "NUMBER",
          value_parser = clap::value_parser!(u32).range(0..=10_000))]
    pub presence_fan_out: u32,

    /// A conversation with more members than this gets no presence events; its clients ask for presence.
    #[arg(long, env = "VERBATIM_PRESENCE_CROWD", default_value_t = 500, value_name = "MEMBERS")]
    pub presence_crowd: u32,

    /// Number of unused conversations that stay in memory.
    #[arg(long, env = "VERBATIM_CONVERSATIONS", default_value_t = 100_000, value_name = "NUMBER")]
    pub conversations: usize,

    /// Maximum number of conversations into which other users can bring one user. Together with the conversations
    /// that the user starts, the maximum is twice as high.
    #[arg(long, env = "VERBATIM_CONVERSATIONS_PER_USER", default_value_t = 10_000, value_name = "NUMBER",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub conversations_per_user: u32,

    /// Number of Postgres connections that requests share. A projector uses one more for each stream.
    #[arg(long, env = "VERBATIM_DATABASE_CONNECTIONS", default_value_t = 16, value_name = "NUMBER",
          value_parser = clap::value_parser!(u32).range(2..=1_000))]
    pub database_connections: u32,

    /// Time in which this node still accepts connections after SIGTERM, while /readyz already answers 503, in
    /// seconds. Set it to the time that the load balancer needs to notice. [default: 5, with `dev` 0]
    #[arg(long, env = "VERBATIM_DRAIN_DELAY", value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(0..=600))]
    drain_delay: Option<u64>,

    /// Memory for one password hash (Argon2id), in KiB.
    #[arg(long, env = "VERBATIM_ARGON2_MEMORY", default_value_t = 19_456, value_name = "KIB")]
    pub argon2_memory: u32,

    /// Number of passes of one password hash (Argon2id).
    #[arg(long, env = "VERBATIM_ARGON2_PASSES", default_value_t = 2, value_name = "NUMBER")]
    pub argon2_passes: u32,

    /// Public address of this server, like `https://chat.example.com`. Events in the log name their JSON Schema under
    /// this address; without this setting they name no schema.
    #[arg(long, env = "VERBATIM_PUBLIC_URL", value_name = "URL")]
    pub public_url: Option<PublicUrl>,

    /// Format of the log lines.
    #[arg(long, env = "VERBATIM_LOG", default_value = "text", value_name = "FORMAT")]
    pub log: LogFormat,

    #[command(flatten)]
    keys: KeySettings,
}

/// The keys with which tokens are signed.
#[derive(Debug, Clone, Args)]
struct KeySettings {
    /// File with the Ed25519 key that signs access tokens (PKCS#8 PEM). Without this setting, the first start makes
    /// a key and keeps the key in the database.
    #[arg(long, env = "VERBATIM_SIGNING_KEY_FILE", value_name = "FILE")]
    signing_key_file: Option<PathBuf>,

    /// File with the previous signing key. Tokens that this key signed stay valid.
    #[arg(long, env = "VERBATIM_PREVIOUS_SIGNING_KEY_FILE", value_name = "FILE")]
    previous_signing_key_file: Option<PathBuf>,
}

/// How the log is laid out.
#[derive(Debug, Clone, Copy, Args)]
pub struct LayoutSettings {
    /// Number of streams of the log: a power of two from 1 to 256, decided for good when the log is made
    /// [default: as in the log; a new log gets 16, in dev mode 1].
    #[arg(long, env = "VERBATIM_STREAMS", value_name = "NUMBER")]
    streams: Option<usize>,

    /// Number of copies of each stream: 1 on one nats-server, 3 or 5 in a cluster [default: as in the log; a new
    /// log gets 1].
    #[arg(long, env = "VERBATIM_REPLICAS", value_name = "NUMBER")]
    replicas: Option<usize>,
}

impl LayoutSettings {
    /// What of it an operator has decided.
    pub fn wanted(&self) -> Wanted {
        Wanted { streams: self.streams, replicas: self.replicas }
    }
}

/// Where the servers are.
#[derive(Debug, Clone, Args)]
pub struct ServerSettings {
    /// URL of nats-server, with user and password percent-encoded: nats://user:password@host:4222. Separate the URLs
    /// of several servers by commas.
    #[arg(long, env = "VERBATIM_NATS_URL", value_name = "URL", hide_env_values = true)]
    nats_url: Option<String>,

    /// File with the value of VERBATIM_NATS_URL.
    #[arg(long, env = "VERBATIM_NATS_URL_FILE", value_name = "FILE")]
    nats_url_file: Option<PathBuf>,

    /// URL of nats-server with a user that may make and change streams. Only `migrate` and `log` use this setting;
    /// without it, they use VERBATIM_NATS_URL.
    #[arg(long, env = "VERBATIM_NATS_OPERATOR_URL", value_name = "URL", hide_env_values = true)]
    nats_operator_url: Option<String>,

    /// File with the value of VERBATIM_NATS_OPERATOR_URL.
    #[arg(long, env = "VERBATIM_NATS_OPERATOR_URL_FILE", value_name = "FILE")]
    nats_operator_url_file: Option<PathBuf>,

    /// URL of Postgres, with user and password percent-encoded: postgres://user:password@host:5432/database.
    #[arg(long, env = "VERBATIM_DATABASE_URL", value_name = "URL", hide_env_values = true)]
    database_url: Option<String>,

    /// File with the value of VERBATIM_DATABASE_URL.
    #[arg(long, env = "VERBATIM_DATABASE_URL_FILE", value_name = "FILE")]
    database_url_file: Option<PathBuf>,
}

/// A part of the work that a process takes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Serves REST.
    Api,
    /// Serves WebSockets.
    Gateway,
    /// Keeps the views in Postgres up to date with the log.
    Projector,
}

/// A setting that cannot be used. The message names it and says what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadSetting(String);

impl ServerSettings {
    /// The URL of nats-server.
    pub fn nats_url(&self) -> Result<String, BadSetting> {
        either(self.nats_url.as_ref(), self.nats_url_file.as_ref(), "VERBATIM_NATS_URL")
    }

    /// The same with the user that may make and change streams.
    pub fn operators_nats_url(&self) -> Result<String, BadSetting> {
        let (url, file) = (self.nats_operator_url.as_ref(), self.nats_operator_url_file.as_ref());
        if url.is_none() && file.is_none() {
            return self.nats_url();
        }
        either(url, file, "VERBATIM_NATS_OPERATOR_URL")
    }

    /// Whether it is said where nats-server is.
    pub fn has_nats(&self) -> bool {
        let (urls, files) =
            ([&self.nats_url, &self.nats_operator_url], [&self.nats_url_file, &self.nats_operator_url_file]);
        urls.iter().any(|url| url.is_some()) || files.iter().any(|file| file.is_some())
    }

    /// The URL of Postgres.
    pub fn database_url(&self) -> Result<String, BadSetting> {
        either(self.database_url.as_ref(), self.database_url_file.as_ref(), "VERBATIM_DATABASE_URL")
    }
}

impl Settings {
    /// How the log is laid out.
    pub fn layout(&self) -> Wanted {
        self.log_layout.wanted()
    }

    /// The settings of the gateway.
    pub fn gateway(&self) -> gateway::Settings {
        gateway::Settings {
            origins: self.origins.clone(),
            sockets_per_user: self.sockets_per_user,
            sockets: self.sockets,
            heartbeat: Duration::from_secs(self.heartbeat),
            ..gateway::Settings::default()
        }
    }

    /// How many may follow without a socket.
    pub fn followers(&self) -> live::Most {
        live::Most { of_user: self.followers_per_user, of_node: self.followers }
    }

    /// The settings of presence.
    pub fn presence(&self) -> presence::Settings {
        presence::Settings {
            grace: Duration::from_secs(self.presence_grace),
            fan_out: self.presence_fan_out.into(),
            crowd: self.presence_crowd.into(),
        }
    }

    /// How long connections are still accepted after the process was told to stop.
    pub fn drain_delay(&self, default: Duration) -> Duration {
        self.drain_delay.map_or(default, Duration::from_secs)
    }

    /// The limits of the listener.
    pub fn listener(&self) -> listen::Limits {
        listen::Limits { connections: self.connections, ..listen::Limits::default() }
    }

    /// What hashing a password costs.
    pub fn cost(&self) -> credentials::Cost {
        credentials::Cost {
            memory_kib: self.argon2_memory,
            passes: self.argon2_passes,
            ..credentials::Cost::default()
        }
    }

    /// The signing keys as PEM, if they are given: the present one and the one before.
    pub fn signing_keys(&self) -> Result<Option<(String, Option<String>)>, BadSetting> {
        let KeySettings { signing_key_file, previous_signing_key_file } = &self.keys;
        let Some(file) = signing_key_file else { return Ok(None) };
        let previous = previous_signing_key_file
            .as_ref()
            .map(|file| secret(file, "VERBATIM_PREVIOUS_SIGNING_KEY_FILE"))
            .transpose()?;
        Ok(Some((secret(file, "VERBATIM_SIGNING_KEY_FILE")?, previous)))
    }
}

fn either(value: Option<&String>, file: Option<&PathBuf>, name: &str) -> Result<String, BadSetting> {
    match (value, file) {
        (Some(value), None) => Ok(value.clone()),
        (None, Some(file)) => secret(file, &format!("{name}_FILE")),
        (Some(_), Some(_)) => Err(BadSetting(format!("{name} and {name}_FILE are both set: unset one"))),
        (None, None) => Err(BadSetting(format!("{name} is not set: set it, or {name}_FILE"))),
    }
}

/// The content of a file without the line end behind it.
fn secret(file: &PathBuf, name: &str) -> Result<String, BadSetting> {
    let content = std::fs::read_to_string(file)
        .map_err(|e| BadSetting(format!("{name}: {} cannot be read: {e}", file.display())))?;
    let content = content.trim_end_matches(['\n', '\r']);
    if content.is_empty() {
        return Err(BadSetting(format!("{name}: {} is empty", file.display())));
    }
    Ok(content.to_owned())
}
