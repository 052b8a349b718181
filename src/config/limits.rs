//! The rate limits of a process.

use clap::Args;

use crate::limits::{Policy, PolicyLimit, Rates};

/// How often things may be done. A limit is written QUOTA/SECONDS or QUOTA/SECONDS:BURST: so many in so many seconds in
/// the long run, and so many at once.
#[derive(Debug, Clone, Copy, Args)]
#[command(
    next_help_heading = "Rate limits (QUOTA/SECONDS or QUOTA/SECONDS:BURST, the same on all nodes; `off` for none)"
)]
pub(super) struct LimitSettings {
    /// Requests without a valid access token from one address (IPv6: from one /56).
    #[arg(long, env = "VERBATIM_LIMIT_ADDRESS", default_value_t = Policy::Address.default_limit(), value_name = "RATE")]
    limit_address: PolicyLimit,

    /// Wrong passwords from one group of addresses (IPv4: a /24, IPv6: a /48). This limit cannot be `off`.
    #[arg(long, env = "VERBATIM_LIMIT_LOGIN", default_value_t = Policy::Login.default_limit(), value_name = "RATE",
          value_parser = PolicyLimit::never_off)]
    limit_login: PolicyLimit,

    /// Accounts that are registered from one group of addresses (IPv4: a /24, IPv6: a /48).
    #[arg(long, env = "VERBATIM_LIMIT_REGISTER", default_value_t = Policy::Register.default_limit(), value_name = "RATE")]
    limit_register: PolicyLimit,

    /// All authenticated requests and frames of an account that have no limit of their own.
    #[arg(long, env = "VERBATIM_LIMIT_USER", default_value_t = Policy::User.default_limit(), value_name = "RATE")]
    limit_user: PolicyLimit,

    /// Messages that an account sends, edits, deletes, pins or reacts to.
    #[arg(long, env = "VERBATIM_LIMIT_SEND", default_value_t = Policy::Send.default_limit(), value_name = "RATE")]
    limit_send: PolicyLimit,

    /// The same for all members of a conversation together.
    #[arg(long, env = "VERBATIM_LIMIT_CONVERSATION", default_value_t = Policy::Conversation.default_limit(), value_name = "RATE")]
    limit_conversation: PolicyLimit,

    /// Conversations that an account starts.
    #[arg(long, env = "VERBATIM_LIMIT_START", default_value_t = Policy::Start.default_limit(), value_name = "RATE")]
    limit_start: PolicyLimit,

    /// Members whom an account brings into conversations.
    #[arg(long, env = "VERBATIM_LIMIT_MEMBERS", default_value_t = Policy::Members.default_limit(), value_name = "RATE")]
    limit_members: PolicyLimit,

    /// Searches of an account, and its reads with `as_of`.
    #[arg(long, env = "VERBATIM_LIMIT_SEARCH", default_value_t = Policy::Search.default_limit(), value_name = "RATE")]
    limit_search: PolicyLimit,

    /// WebSockets that an account opens.
    #[arg(long, env = "VERBATIM_LIMIT_CONNECT", default_value_t = Policy::Connect.default_limit(), value_name = "RATE")]
    limit_connect: PolicyLimit,

    /// WebSockets that are opened from one address (IPv6: from one /56).
    #[arg(long, env = "VERBATIM_LIMIT_CONNECT_ADDRESS", default_value_t = Policy::ConnectAddress.default_limit(), value_name = "RATE")]
    limit_connect_address: PolicyLimit,

    /// Frames of one WebSocket.
    #[arg(long, env = "VERBATIM_LIMIT_FRAMES", default_value_t = Policy::Frames.default_limit(), value_name = "RATE")]
    limit_frames: PolicyLimit,

    /// Frames `typing` of an account in one conversation. Frames above the limit are dropped.
    #[arg(long, env = "VERBATIM_LIMIT_TYPING", default_value_t = Policy::Typing.default_limit(), value_name = "RATE")]
    limit_typing: PolicyLimit,

    /// Frames `presence` of an account. Frames above the limit are dropped.
    #[arg(long, env = "VERBATIM_LIMIT_PRESENCE", default_value_t = Policy::Presence.default_limit(), value_name = "RATE")]
    limit_presence: PolicyLimit,

    /// Requests and frames of one API key of a service account.
    #[arg(long, env = "VERBATIM_LIMIT_SERVICE", default_value_t = Policy::Service.default_limit(), value_name = "RATE")]
    limit_service: PolicyLimit,
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
        }
    }
}
