//! The settings of the eraser.

use clap::Args;

use crate::log::MirrorNames;

/// How fast the eraser deletes, and from which mirrors besides the log.
#[derive(Debug, Clone, Args)]
pub(crate) struct ErasingSettings {
    /// Maximum number of deletions per second by the eraser in each stream and each mirror.
    #[arg(long, env = "VERBATIM_ERASE_RATE", default_value_t = 5, value_name = "NUMBER",
          value_parser = clap::value_parser!(u32).range(1..=5))]
    pub(crate) erase_rate: u32,

    #[command(flatten)]
    pub(crate) mirrors: MirrorSettings,
}

/// The mirrors, for the eraser and for what creates its NATS user.
#[derive(Debug, Clone, Args)]
pub(crate) struct MirrorSettings {
    /// Mirrors of the streams of the log, from which the eraser also deletes: a comma-separated list of stream names. A mirror in
    /// another JetStream domain is written with an `@` and the domain: `CHAT_0_COPY,CHAT_1_COPY@hub`. [default: none]
    #[arg(
        id = "mirrors",
        long,
        env = "VERBATIM_MIRRORS",
        default_value = "",
        hide_default_value = true,
        value_name = "STREAMS"
    )]
    pub(crate) names: MirrorNames,
}
