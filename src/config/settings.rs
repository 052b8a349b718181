//! The settings of a process that serves, and the values that its parts get from them.

use std::{net::SocketAddr, time::Duration};

use clap::Args;

use crate::{
    archive::{ArchivePlace, ArchiveTarget},
    clock::Clock,
    config::{
        BadSetting, LayoutSettings,
        archive::ArchiveSettings,
        consumers::ScopedKeySetting,
        database::DatabaseSettings,
        erasing::ErasingSettings,
        hashes::HashSettings,
        issuers::IssuerSettings,
        keys::KeySettings,
        limits::LimitSettings,
        retention::RetentionSettings,
        tls::TlsSettings,
        traces::{SpanDestination, TraceSettings},
        webhooks::WebhookSettings,
    },
    credentials::{self, Registration},
    domain::RetentionRules,
    exports, gateway,
    issuers::Issuers,
    limits::Rates,
    listen::{self, Origins, Proxies},
    live,
    log::{PublicUrl, Wanted},
    presence,
    telemetry::LogFormat,
    webhooks::Sender,
};

/// The settings of `serve` and `dev`.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// Address and port of the public listener (REST, WebSocket, documentation).
    #[arg(long, env = "VERBATIM_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDRESS:PORT")]
    pub listen: SocketAddr,

    /// Address and port of the admin listener (/livez, /readyz, /metrics, /status, /ops/). Keep this listener private.
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

    /// Networks of the proxies in front of the public listener: a comma-separated list, as in `10.0.0.0/8,fd00::/8`.
    /// The client address is then taken from the `Forwarded` or `X-Forwarded-For` header of these proxies. [default:
    /// none; these headers are ignored]
    #[arg(
        long,
        env = "VERBATIM_TRUSTED_PROXIES",
        default_value = "",
        hide_default_value = true,
        value_name = "NETWORKS"
    )]
    pub trusted_proxies: Proxies,

    /// Maximum number of open WebSockets per user on this node.
    #[arg(long, env = "VERBATIM_SOCKETS_PER_USER", default_value_t = 20, value_name = "NUMBER")]
    pub sockets_per_user: usize,

    /// Maximum number of open WebSockets on this node.
    #[arg(long, env = "VERBATIM_SOCKETS", default_value_t = 15_000, value_name = "NUMBER")]
    pub sockets: usize,

    /// Maximum number of concurrent requests per user that follow events on this node, by long polling or as a stream.
    #[arg(long, env = "VERBATIM_FOLLOWERS_PER_USER", default_value_t = 20, value_name = "NUMBER")]
    pub followers_per_user: usize,

    /// Maximum number of concurrent requests that follow events on this node. Each request needs a connection.
    #[arg(long, env = "VERBATIM_FOLLOWERS", default_value_t = 10_000, value_name = "NUMBER")]
    pub followers: usize,

    /// Maximum number of open HTTP connections. Further connections wait to be accepted. One address (IPv6: one /56)
    /// may hold a quarter of them without showing an access token; another such connection closes the oldest of these
    /// that is waiting for its client. Addresses in VERBATIM_TRUSTED_PROXIES have no such limit.
    #[arg(long, env = "VERBATIM_CONNECTIONS", default_value_t = 16_384, value_name = "NUMBER",
          value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1_000_000))]
    pub connections: usize,

    /// Interval between heartbeats on every WebSocket, in seconds (1 to 55).
    #[arg(long, env = "VERBATIM_HEARTBEAT", default_value_t = 25, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(1..=55))]
    pub heartbeat: u64,

    /// Grace period of presence, in seconds: a user who reconnects within it does not go offline.
    #[arg(long, env = "VERBATIM_PRESENCE_GRACE", default_value_t = 10, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(0..=3_600))]
    pub presence_grace: u64,

    /// Maximum number of conversations that get an event when the presence of a member changes.
    #[arg(long, env = "VERBATIM_PRESENCE_FAN_OUT", default_value_t = 200, value_name = "NUMBER",
          value_parser = clap::value_parser!(u32).range(0..=10_000))]
    pub presence_fan_out: u32,

    /// Maximum number of members of a conversation that gets presence events. In larger conversations, clients request
    /// presence.
    #[arg(long, env = "VERBATIM_PRESENCE_CROWD", default_value_t = 500, value_name = "MEMBERS")]
    pub presence_crowd: u32,

    /// Number of idle conversations to keep in memory.
    #[arg(long, env = "VERBATIM_CONVERSATIONS", default_value_t = 100_000, value_name = "NUMBER")]
    pub conversations: usize,

    /// Maximum number of conversations to which other users can add one user. Together with the conversations that the
    /// user starts, the maximum is twice as high.
    #[arg(long, env = "VERBATIM_CONVERSATIONS_PER_USER", default_value_t = 10_000, value_name = "NUMBER",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub conversations_per_user: u32,

    /// Whether a user can add users to a conversation without already sharing one with them. With `false`, they are
    /// invited and join when they accept.
    #[arg(long, env = "VERBATIM_ADD_STRANGERS", default_value_t = true, value_name = "BOOLEAN",
          action = clap::ArgAction::Set)]
    pub add_strangers: bool,

    /// Who can register: `open` for everyone, `invite` for people with a code from `verbatim invites add`, `closed` for
    /// nobody.
    #[arg(long, env = "VERBATIM_REGISTRATION", default_value_t = Registration::Open, value_name = "WORD")]
    pub registration: Registration,

    /// Wait for CPU time, a Postgres connection or the log from which this node counts as overloaded and refuses work,
    /// in milliseconds; the shortest wait in half a second counts. The node refuses `typing` first, and at ten times
    /// this wait everything, with sends last.
    #[arg(long, env = "VERBATIM_OVERLOAD_WAIT", default_value_t = 200, value_name = "MILLISECONDS",
          value_parser = clap::value_parser!(u64).range(5..=60_000))]
    overload_wait: u64,

    /// Time for which this node still accepts connections after SIGTERM while /readyz already answers 503, in seconds.
    /// Set it to the time that the load balancer needs to notice. [default: 5, with `dev` 0]
    #[arg(long, env = "VERBATIM_DRAIN_DELAY", value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(0..=600))]
    drain_delay: Option<u64>,

    #[command(flatten)]
    hashes: HashSettings,

    /// Public address of this server, like `https://chat.example.com`. Events in the log link to their JSON Schema
    /// under this address; without this setting they have no link.
    #[arg(long, env = "VERBATIM_PUBLIC_URL", value_name = "URL")]
    pub public_url: Option<PublicUrl>,

    #[command(flatten)]
    archive: ArchiveSettings,

    /// Whether to serve the chat page at /chat/ and redirect / to it: `on` or `off`. [default: off, with `dev` on]
    #[arg(long, env = "VERBATIM_WEB", value_name = "WORD", hide_possible_values = true)]
    web: Option<ChatPage>,

    #[command(flatten)]
    pub(crate) erasing: ErasingSettings,

    /// Time limit for the download of an export of a user's data, in seconds. A slower client gets an incomplete file.
    #[arg(long, env = "VERBATIM_EXPORT_DEADLINE", default_value_t = 900, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    export_deadline: u64,

    /// Format of the log lines.
    #[arg(long, env = "VERBATIM_LOG", default_value = "text", value_name = "FORMAT")]
    // The command line reads it from the parsed arguments, because each command has its settings at another place.
    pub log: LogFormat,

    #[command(flatten)]
    pub(crate) database: DatabaseSettings,

    #[command(flatten)]
    keys: KeySettings,

    #[command(flatten)]
    tls: TlsSettings,

    #[command(flatten)]
    traces: TraceSettings,

    #[command(flatten)]
    issuers: IssuerSettings,

    #[command(flatten)]
    limits: LimitSettings,

    #[command(flatten)]
    retention: RetentionSettings,

    #[command(flatten)]
    webhooks: WebhookSettings,

    #[command(flatten)]
    consumers: ScopedKeySetting,
}

/// Whether the chat page is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum ChatPage {
    On,
    Off,
}

impl Settings {
    /// How the log is laid out.
    pub fn layout(&self) -> Wanted {
        self.log_layout.wanted()
    }

    /// The settings of the gateway.
    pub fn gateway(&self) -> gateway::GatewaySettings {
        gateway::GatewaySettings {
            origins: self.origins(),
            sockets_per_user: self.sockets_per_user,
            sockets: self.sockets,
            heartbeat: Duration::from_secs(self.heartbeat),
            ..gateway::GatewaySettings::default()
        }
    }

    /// The maximum number of requests that follow events, for one user and for this node.
    pub fn followers(&self) -> live::Most {
        live::Most { of_user: self.followers_per_user, of_node: self.followers }
    }

    /// The rate limits.
    pub fn rates(&self) -> Rates {
        self.limits.rates()
    }

    /// The rules for how long messages are kept.
    ///
    /// # Errors
    /// If the settings contradict one another.
    pub(crate) fn retention(&self) -> Result<RetentionRules, BadSetting> {
        self.retention.rules()
    }

    /// The wait above which this node counts as overloaded.
    pub fn overload_wait(&self) -> Duration {
        Duration::from_millis(self.overload_wait)
    }

    /// The settings of exports.
    pub fn exports(&self) -> exports::ExportSettings {
        exports::ExportSettings { deadline: Duration::from_secs(self.export_deadline) }
    }

    /// The settings of presence.
    pub fn presence(&self) -> presence::PresenceSettings {
        presence::PresenceSettings {
            grace: Duration::from_secs(self.presence_grace),
            fan_out: self.presence_fan_out.into(),
            crowd: self.presence_crowd.into(),
            ..presence::PresenceSettings::default()
        }
    }

    /// How long the process still accepts connections after the signal to stop.
    pub fn drain_delay(&self, default: Duration) -> Duration {
        self.drain_delay.map_or(default, Duration::from_secs)
    }

    /// The settings of the public listener.
    ///
    /// # Errors
    /// If the files of the certificate cannot be used.
    pub fn public_listener(&self) -> Result<listen::Settings, BadSetting> {
        let (origins, proxies) = (Some(self.origins()), self.trusted_proxies.clone());
        Ok(listen::Settings { origins, proxies, tls: self.tls.read()?, ..self.admin_listener() })
    }

    /// The settings of the admin listener.
    pub fn admin_listener(&self) -> listen::Settings {
        let newcomers = (self.connections / 4).max(1);
        let limits = listen::Limits { connections: self.connections, newcomers, ..listen::Limits::default() };
        listen::Settings { limits, ..listen::Settings::default() }
    }

    fn origins(&self) -> Origins {
        let is_https = self.public_url.as_ref().is_some_and(PublicUrl::is_https);
        if is_https || self.has_tls() { self.origins.clone().over_tls() } else { self.origins.clone() }
    }

    /// Whether the public listener speaks TLS.
    pub(crate) fn has_tls(&self) -> bool {
        self.tls.is_set()
    }

    /// The cost of a password hash.
    pub(crate) fn cost_of_hashes(&self) -> credentials::Cost {
        self.hashes.cost()
    }

    /// The password hasher, or the refusal of a cost that argon2 does not accept.
    pub(crate) fn hasher(&self) -> Result<credentials::Hasher, BadSetting> {
        self.hashes.hasher()
    }

    /// The external issuers; `None` if no file is set.
    ///
    /// # Errors
    /// If the file, or the file with CA certificates, cannot be used.
    pub(crate) fn issuers(&self) -> Result<Option<Issuers>, BadSetting> {
        self.issuers.read()
    }

    /// The sender that all deliveries to webhooks share.
    ///
    /// # Errors
    /// If the master key, or the file with CA certificates, cannot be used.
    pub(crate) fn webhook_sender(&self, clock: &Clock) -> Result<Sender, BadSetting> {
        self.webhooks.sender(&self.issuers.trust()?, clock, self.public_url.clone(), self.retention()?)
    }

    /// The destination of spans; `None` without an endpoint.
    ///
    /// # Errors
    /// If the endpoint, its headers, or the file with CA certificates cannot be used.
    pub(crate) fn span_destination(&self) -> Result<Option<SpanDestination>, BadSetting> {
        self.traces.read(|| self.issuers.trust())
    }

    /// The archive.
    ///
    /// # Errors
    /// If no place is set, or it is in a bucket whose settings are missing.
    pub(crate) fn archive(&self) -> Result<ArchiveTarget, BadSetting> {
        self.archive_at(self.archive.place()?)
    }

    /// Whether a place for the archive is set.
    pub(crate) fn has_archive(&self) -> bool {
        self.archive.is_set()
    }

    /// An archive at another place.
    ///
    /// # Errors
    /// If it is in a bucket whose settings are missing.
    pub(crate) fn archive_at(&self, place: &ArchivePlace) -> Result<ArchiveTarget, BadSetting> {
        self.archive.open(place, || self.issuers.trust())
    }

    /// Uses this place for the archive, unless one is set.
    pub(crate) fn default_archive(&mut self, place: ArchivePlace) {
        self.archive.default_place(place);
    }

    /// The settings that decide which webhooks can be used, as names and values, if they differ from the defaults.
    pub(crate) fn given_for_webhooks(&self) -> Vec<(&'static str, String)> {
        self.webhooks.given()
    }

    /// Uses this master key, unless a file is set.
    pub(crate) fn default_master_key(&mut self, key: String) {
        self.webhooks.default_key(key);
    }

    /// Serves the chat page, unless it is set to `off`.
    pub(crate) fn default_chat_page(&mut self) {
        self.web.get_or_insert(ChatPage::On);
    }

    /// Whether the chat page is served.
    pub(crate) fn has_chat_page(&self) -> bool {
        self.web == Some(ChatPage::On)
    }

    /// The text of the key that signs consumers; `None` if no file is set.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(crate) fn consumers_key(&self) -> Result<Option<String>, BadSetting> {
        self.consumers.read()
    }

    /// Uses this key that signs consumers, unless a file is set.
    pub(crate) fn default_consumers_key(&mut self, key: String) {
        self.consumers.default_key(key);
    }

    /// The signing keys; `None` if no file is set.
    ///
    /// # Errors
    /// If a file has no key that can sign, or if another key is set without the current one.
    pub(crate) fn signing_keys(&self) -> Result<Option<credentials::GivenKeys>, BadSetting> {
        self.keys.read()
    }
}
