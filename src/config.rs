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

/// What `serve` and `dev` can be told.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// Address and port of the public listener (REST, WebSocket, documentation).
    #[arg(long, env = "VERBATIM_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDRESS:PORT")]
    pub listen: SocketAddr,

    /// Address and port of the admin listener (/livez, /readyz, /metrics). Keep it private.
    #[arg(
        long,
        env = "VERBATIM_ADMIN_LISTEN",
        default_value = "127.0.0.1:8081",
        value_name = "ADDRESS:PORT"
    )]
    pub admin_listen: SocketAddr,

    #[command(flatten)]
    log_layout: LayoutSettings,

    /// Web pages that may use REST and WebSockets: a comma-separated list of origins as browsers write them
    /// (`https://chat.example`), or `*` for any. Pages that come from this server itself always may.
    #[arg(long, env = "VERBATIM_ORIGINS", default_value = "*", value_name = "ORIGINS")]
    pub origins: Origins,

    /// The most open sockets of one user on this node.
    #[arg(long, env = "VERBATIM_SOCKETS_PER_USER", default_value_t = 20, value_name = "NUMBER")]
    pub sockets_per_user: usize,

    /// The most open sockets on this node.
    #[arg(long, env = "VERBATIM_SOCKETS", default_value_t = 15_000, value_name = "NUMBER")]
    pub sockets: usize,

    /// The most requests of one user that follow events on this node at once, waiting or as a stream.
    #[arg(long, env = "VERBATIM_FOLLOWERS_PER_USER", default_value_t = 20, value_name = "NUMBER")]
    pub followers_per_user: usize,

    /// The most requests that follow events on this node at once. Each needs a connection.
    #[arg(long, env = "VERBATIM_FOLLOWERS", default_value_t = 10_000, value_name = "NUMBER")]
    pub followers: usize,

    /// The most connections that speak HTTP at once; more wait to be accepted.
    #[arg(long, env = "VERBATIM_CONNECTIONS", default_value_t = 16_384, value_name = "NUMBER")]
    pub connections: usize,

    /// A sign of life goes to every socket so often, in seconds (1 to 55).
    #[arg(long, env = "VERBATIM_HEARTBEAT", default_value_t = 25, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(1..=55))]
    pub heartbeat: u64,

    /// Who comes back within this time was never away, in seconds.
    #[arg(long, env = "VERBATIM_PRESENCE_GRACE", default_value_t = 10, value_name = "SECONDS")]
    pub presence_grace: u64,

    /// The most conversations that are told when somebody comes or goes.
    #[arg(long, env = "VERBATIM_PRESENCE_FAN_OUT", default_value_t = 200, value_name = "NUMBER",
          value_parser = clap::value_parser!(u32).range(0..=10_000))]
    pub presence_fan_out: u32,

    /// Conversations with more members are not told when somebody comes or goes: clients ask who is there.
    #[arg(long, env = "VERBATIM_PRESENCE_CROWD", default_value_t = 500, value_name = "MEMBERS")]
    pub presence_crowd: u32,

    /// Conversations that are kept in memory while nobody uses them.
    #[arg(long, env = "VERBATIM_CONVERSATIONS", default_value_t = 100_000, value_name = "NUMBER")]
    pub conversations: usize,

    /// The most conversations into which others can bring one user; twice as many with those that the user
    /// begins.
    #[arg(long, env = "VERBATIM_CONVERSATIONS_PER_USER", default_value_t = 10_000, value_name = "NUMBER",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub conversations_per_user: u32,

    /// Connections to Postgres that requests share. A projector has one more for each stream.
    #[arg(long, env = "VERBATIM_DATABASE_CONNECTIONS", default_value_t = 16, value_name = "NUMBER",
          value_parser = clap::value_parser!(u32).range(2..=1_000))]
    pub database_connections: u32,

    /// How long connections are still accepted after SIGTERM, while /readyz says already that this node is not
    /// ready, in seconds: as long as the load balancer may take to see it. [default: 5, with `dev` 0]
    #[arg(long, env = "VERBATIM_DRAIN_DELAY", value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(0..=600))]
    drain_delay: Option<u64>,

    /// Memory for hashing a password, in KiB.
    #[arg(long, env = "VERBATIM_ARGON2_MEMORY", default_value_t = 19_456, value_name = "KIB")]
    pub argon2_memory: u32,

    /// Passes for hashing a password.
    #[arg(long, env = "VERBATIM_ARGON2_PASSES", default_value_t = 2, value_name = "NUMBER")]
    pub argon2_passes: u32,

    /// Where people and programs reach this server, like `https://chat.example.com`: events of the log name their
    /// JSON Schemas under it, and name none without it.
    #[arg(long, env = "VERBATIM_PUBLIC_URL", value_name = "URL")]
    pub public_url: Option<PublicUrl>,

    /// How log lines look.
    #[arg(long, env = "VERBATIM_LOG", default_value = "text", value_name = "FORMAT")]
    pub log: LogFormat,

    #[command(flatten)]
    keys: KeySettings,
}

/// The keys with which tokens are signed.
#[derive(Debug, Clone, Args)]
struct KeySettings {
    /// File with the Ed25519 key that signs access tokens (PKCS#8 PEM). Without it a key is made at
    /// the first start and kept in the database.
    #[arg(long, env = "VERBATIM_SIGNING_KEY_FILE", value_name = "FILE")]
    signing_key_file: Option<PathBuf>,

    /// File with the key that signed before, whose tokens still count.
    #[arg(long, env = "VERBATIM_PREVIOUS_SIGNING_KEY_FILE", value_name = "FILE")]
    previous_signing_key_file: Option<PathBuf>,
}

/// How the log is laid out.
#[derive(Debug, Clone, Copy, Args)]
pub struct LayoutSettings {
    /// Streams of the log: a power of two from 1 to 256, decided when the log is made [default: as the log
    /// has them; a new one gets 16, in dev mode 1].
    #[arg(long, env = "VERBATIM_STREAMS", value_name = "NUMBER")]
    streams: Option<usize>,

    /// Copies of each stream: 1 on one nats-server, 3 or 5 in a cluster [default: as the log has them; a new
    /// one gets 1].
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
    /// nats-server, with user and password percent-encoded: nats://user:password@host:4222. Several: a
    /// comma-separated list.
    #[arg(long, env = "VERBATIM_NATS_URL", value_name = "URL", hide_env_values = true)]
    nats_url: Option<String>,

    /// File with the same.
    #[arg(long, env = "VERBATIM_NATS_URL_FILE", value_name = "FILE")]
    nats_url_file: Option<PathBuf>,

    /// nats-server with the user that may make and change streams, for `migrate` and `log` only; without it they
    /// use the one above.
    #[arg(long, env = "VERBATIM_NATS_OPERATOR_URL", value_name = "URL", hide_env_values = true)]
    nats_operator_url: Option<String>,

    /// File with the same.
    #[arg(long, env = "VERBATIM_NATS_OPERATOR_URL_FILE", value_name = "FILE")]
    nats_operator_url_file: Option<PathBuf>,

    /// Postgres, the same way: postgres://user:password@host:5432/database.
    #[arg(long, env = "VERBATIM_DATABASE_URL", value_name = "URL", hide_env_values = true)]
    database_url: Option<String>,

    /// File with the same.
    #[arg(long, env = "VERBATIM_DATABASE_URL_FILE", value_name = "FILE")]
    database_url_file: Option<PathBuf>,
}

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Serves REST.
    Api,
    /// Serves WebSockets.
    Gateway,
    /// Keeps the views.
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
