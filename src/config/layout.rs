//! The layout of the log.

use clap::Args;

use crate::log::Wanted;

/// How the log is laid out.
#[derive(Debug, Clone, Copy, Args)]
pub struct LayoutSettings {
    /// Number of streams of the log: a power of two from 1 to 256, fixed when the log is created [default: as in the
    /// log; a new log gets 16, in dev mode 1].
    #[arg(long, env = "VERBATIM_STREAMS", value_name = "NUMBER")]
    streams: Option<usize>,

    /// Number of copies of each stream: 1 on one nats-server, 3 or 5 in a cluster [default: as in the log; a new
    /// log gets 1].
    #[arg(long, env = "VERBATIM_REPLICAS", value_name = "NUMBER", value_parser = replicas)]
    replicas: Option<usize>,
}

/// Parses a number of copies. An even number survives the loss of no more servers than the odd number below it.
fn replicas(text: &str) -> Result<usize, &'static str> {
    match text.parse() {
        Ok(copies @ (1 | 3 | 5)) => Ok(copies),
        _ => Err("expected 1 on one nats-server, or 3 or 5 in a cluster"),
    }
}

impl LayoutSettings {
    /// The parts of the layout that the operator has set.
    pub fn wanted(&self) -> Wanted {
        Wanted { streams: self.streams, replicas: self.replicas }
    }
}
