//! The rate limits of a process.

use clap::Args;

use crate::limits::{Policy, PolicyLimit, Rates};

/// How often things may be done. A limit is written QUOTA/SECONDS or QUOTA/SECONDS:BURST: so many in so many seconds in
/// the long run, and so many at once.
#[derive(Debug, Clone, Copy, Args)]
#[command(
    next_help_heading = "Rate limits (QUOTA/SECONDS or QUOTA/SECONDS:BURST, the same on all nodes; `off` for no limit)"
)]
pub(super) struct LimitSettings {
    /// Requests without a valid access token per address (IPv6: per /56).
    #[arg(long, env = "VERBATIM_LIMIT_ADDRESS", default_value_t = Policy::Address.default_limit(), value_name = "RATE")]
    limit_address: PolicyLimit,

    /// Wrong passwords per group of addresses (IPv4: a /24, IPv6: a /48). This limit cannot be `off`.
    #[arg(long, env = "VERBATIM_LIMIT_LOGIN", default_value_t = Policy::Login.default_limit(), value_name = "RATE",
          value_parser = PolicyLimit::never_off)]
    limit_login: PolicyLimit,

    /// Registrations per group of addresses (IPv4: a /24, IPv6: a /48).
    #[arg(long, env = "VERBATIM_LIMIT_REGISTER", default_value_t = Policy::Register.default_limit(), value_name = "RATE")]
    limit_register: PolicyLimit,

    /// Authenticated requests and frames per account that no other limit covers.
    #[arg(long, env = "VERBATIM_LIMIT_USER", default_value_t = Policy::User.default_limit(), value_name = "RATE")]
    limit_user: PolicyLimit,

    /// Messages sent, edited, deleted, pinned or reacted to per account.
    #[arg(long, env = "VERBATIM_LIMIT_SEND", default_value_t = Policy::Send.default_limit(), value_name = "RATE")]
    limit_send: PolicyLimit,

    /// Messages sent, edited, deleted, pinned or reacted to per conversation, by all members together.
    #[arg(long, env = "VERBATIM_LIMIT_CONVERSATION", default_value_t = Policy::Conversation.default_limit(), value_name = "RATE")]
    limit_conversation: PolicyLimit,

    /// Conversations started per account.
    #[arg(long, env = "VERBATIM_LIMIT_START", default_value_t = Policy::Start.default_limit(), value_name = "RATE")]
    limit_start: PolicyLimit,

    /// Members added to conversations per account.
    #[arg(long, env = "VERBATIM_LIMIT_MEMBERS", default_value_t = Policy::Members.default_limit(), value_name = "RATE")]
    limit_members: PolicyLimit,

    /// Searches, and reads with `as_of`, per account.
    #[arg(long, env = "VERBATIM_LIMIT_SEARCH", default_value_t = Policy::Search.default_limit(), value_name = "RATE")]
    limit_search: PolicyLimit,

    /// WebSockets opened per account.
    #[arg(long, env = "VERBATIM_LIMIT_CONNECT", default_value_t = Policy::Connect.default_limit(), value_name = "RATE")]
    limit_connect: PolicyLimit,

    /// WebSockets opened per address (IPv6: per /56).
    #[arg(long, env = "VERBATIM_LIMIT_CONNECT_ADDRESS", default_value_t = Policy::ConnectAddress.default_limit(), value_name = "RATE")]
    limit_connect_address: PolicyLimit,

    /// Frames per WebSocket.
    #[arg(long, env = "VERBATIM_LIMIT_FRAMES", default_value_t = Policy::Frames.default_limit(), value_name = "RATE")]
    limit_frames: PolicyLimit,

    /// `typing` frames per account and conversation. Frames above the limit are dropped.
    #[arg(long, env = "VERBATIM_LIMIT_TYPING", default_value_t = Policy::Typing.default_limit(), value_name = "RATE")]
    limit_typing: PolicyLimit,

    /// `presence` frames per account. Frames above the limit are dropped.
    #[arg(long, env = "VERBATIM_LIMIT_PRESENCE", default_value_t = Policy::Presence.default_limit(), value_name = "RATE")]
    limit_presence: PolicyLimit,

    /// Requests and frames per API key of a service account.
    #[arg(long, env = "VERBATIM_LIMIT_SERVICE", default_value_t = Policy::Service.default_limit(), value_name = "RATE")]
    limit_service: PolicyLimit,

    /// Exports requested per account: of its own data, and of each legal hold.
    #[arg(long, env = "VERBATIM_LIMIT_EXPORT", default_value_t = Policy::Export.default_limit(), value_name = "RATE")]
    limit_export: PolicyLimit,
}

impl LimitSettings {
    /// The limits of all policies.
    pub(super) fn rates(&self) -> Rates {
        Policy::ALL.into_iter().fold(Rates::default(), |rates, policy| rates.with(policy, self.of(policy)))
    }

    fn of(&self, policy: Policy) -> PolicyLimit {
        match policy {
            Policy::Address => self.limit_address,
            Policy::Login => self.limit_login,
            Policy::Register => self.limit_register,
            Policy::User => self.limit_user,
            Policy::Send => self.limit_send,
            Policy::Conversation => self.limit_conversation,
            Policy::Start => self.limit_start,
            Policy::Members => self.limit_members,
            Policy::Search => self.limit_search,
            Policy::Connect => self.limit_connect,
            Policy::ConnectAddress => self.limit_connect_address,
            Policy::Frames => self.limit_frames,
            Policy::Typing => self.limit_typing,
            Policy::Presence => self.limit_presence,
            Policy::Service => self.limit_service,
            Policy::Export => self.limit_export,
        }
    }
}
