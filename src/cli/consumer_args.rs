//! The arguments of `consumers`.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand, ValueEnum};

use crate::{
    cli::consumer_words::{duration, name, start},
    consumers::Language,
    domain::UserId,
    log::StartAt,
};

#[derive(Debug, Subcommand)]
pub(super) enum What {
    /// Adds a consumer: durables, a `.creds` file, and a starter program.
    Add(Add),
    /// Lists the consumers and their progress.
    List {
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
    /// Shows a consumer as JSON.
    Show {
        /// Name of the consumer.
        #[arg(value_parser = name)]
        name: String,
    },
    /// Writes new credentials. The old ones are revoked after the overlap.
    Rotate {
        /// Name of the consumer.
        #[arg(value_parser = name)]
        name: String,

        /// Time for which the old credentials still work: 30s, 15m, 24h or 7d.
        #[arg(long, value_name = "TIME", default_value = "24h", value_parser = duration)]
        overlap: Duration,

        /// Revokes the old credentials now.
        #[arg(long)]
        now: bool,

        /// File for the new credentials. [default: `NAME.new.creds`]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Revokes credentials that are due. Run it every few minutes.
    Sweep,
    /// Delivers events to a consumer again.
    Replay {
        /// Name of the consumer.
        #[arg(value_parser = name)]
        name: String,

        /// Resets the position of the consumer: to `start`, a position or a time (RFC 3339).
        #[arg(long, value_name = "WHERE", value_parser = start, required_unless_present = "parked")]
        from: Option<StartAt>,

        /// Delivers copies of parked events.
        #[arg(long, conflicts_with = "from")]
        parked: bool,

        /// Positions of the parked events. [default: all]
        #[arg(long, value_name = "POSITION", value_delimiter = ',', requires = "parked")]
        id: Vec<u64>,

        /// Resets the position even if the consumer is running.
        #[arg(long)]
        yes: bool,
    },
    /// Lists the events that could not be delivered to a consumer.
    Parked {
        /// Name of the consumer.
        #[arg(value_parser = name)]
        name: String,

        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
    /// Removes a consumer: closes its connections and deletes its durables.
    Remove {
        /// Name of the consumer.
        #[arg(value_parser = name)]
        name: String,

        /// Confirms the removal, which is refused otherwise.
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
pub(super) struct Add {
    /// Name of the consumer, which cannot be changed: a letter a-z and then 1 to 31 of a-z, 0-9 and -.
    #[arg(value_parser = name)]
    pub(super) name: String,

    /// Lanes, separated by commas: roster, timeline, receipts, control. [default: all]
    #[arg(long, value_name = "LANES", value_delimiter = ',')]
    pub(super) lanes: Vec<String>,

    /// Ids of conversations, separated by commas. [default: all]
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    pub(super) conversations: Vec<String>,

    /// Types of events that the program handles, separated by commas. The server delivers all types of a lane.
    /// [default: all]
    #[arg(long, value_name = "TYPES", value_delimiter = ',')]
    pub(super) types: Vec<String>,

    /// Where it begins: `start`, `now`, a position or a time (RFC 3339).
    #[arg(long, value_name = "WHERE", default_value = "now", value_parser = start)]
    pub(super) from: StartAt,

    /// Also reads audit events.
    #[arg(long)]
    pub(super) audit: bool,

    /// Id of the service account that sends commands under this name.
    #[arg(long, value_name = "SERVICE")]
    pub(super) bot: Option<UserId>,

    /// Sends commands and reads nothing.
    #[arg(long, requires = "bot", conflicts_with_all = ["lanes", "conversations", "types", "from", "audit", "exclusive"])]
    pub(super) commands_only: bool,

    /// Lets one process read at a time, with the others on standby.
    #[arg(long)]
    pub(super) exclusive: bool,

    /// Prints a user for a nats-server with passwords (`accounts {}`), and writes no credentials.
    #[arg(long = "static", conflicts_with_all = ["expires", "out", "lang"])]
    pub(super) has_password: bool,

    /// Lifetime of the credentials: 24h or 90d. [default: until they are revoked]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(super) expires: Option<Duration>,

    /// Language of the program.
    #[arg(long, value_name = "LANGUAGE", default_value = "python")]
    pub(super) lang: Lang,

    /// File for the credentials. [default: `NAME.creds`]
    #[arg(long, value_name = "FILE")]
    pub(super) out: Option<PathBuf>,

    /// Prints JSON.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Lang {
    Rust,
    Python,
    Ts,
    Go,
}

impl From<Lang> for Language {
    fn from(lang: Lang) -> Self {
        match lang {
            Lang::Rust => Self::Rust,
            Lang::Python => Self::Python,
            Lang::Ts => Self::TypeScript,
            Lang::Go => Self::Go,
        }
    }
}
