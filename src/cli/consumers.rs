//! `consumers`: the programs of others that read the log.

use std::{
    fs::OpenOptions,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use crate::{
    app::{self, AppError, Ask, ConsumerKeys, with_office},
    cli::{
        consumer_words::{duration, name, start},
        servers::Servers,
    },
    config::ConsumerSettings,
    consumers::{self, ConsumerError, ConsumerFilter, Language, Snippet},
    domain::UserId,
    log::StartAt,
};

#[derive(Debug, Args)]
pub(super) struct Consumers {
    #[command(subcommand)]
    what: What,

    #[command(flatten)]
    keys: ConsumerSettings,

    #[command(flatten)]
    servers: Servers,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Adds a consumer: durables, a `.creds` file, and a program to begin with.
    Add(Add),
    /// Lists the consumers and how far they have come.
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

        /// How long the old credentials still work: 30s, 15m, 24h or 7d.
        #[arg(long, value_name = "TIME", default_value = "24h", value_parser = duration)]
        overlap: Duration,

        /// The old credentials end now.
        #[arg(long)]
        now: bool,

        /// File for the new credentials. [default: `NAME.creds`]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Revokes the credentials whose time has come. Run it every few minutes.
    Sweep,
    /// Gives a consumer events again.
    Replay {
        /// Name of the consumer.
        #[arg(value_parser = name)]
        name: String,

        /// Reads everything anew: from `start`, a position or a time (RFC 3339).
        #[arg(long, value_name = "WHERE", value_parser = start, required_unless_present = "parked")]
        from: Option<StartAt>,

        /// Gives copies of parked events.
        #[arg(long, conflicts_with = "from")]
        parked: bool,

        /// Positions of the parked events. [default: all]
        #[arg(long, value_name = "POSITION", value_delimiter = ',', requires = "parked")]
        id: Vec<u64>,

        /// Reads anew also while the consumer runs.
        #[arg(long)]
        yes: bool,
    },
    /// Lists the events that a consumer was given in vain.
    Parked {
        /// Name of the consumer.
        #[arg(value_parser = name)]
        name: String,

        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
    /// Removes a consumer: its connections are cut, and its durables go.
    Remove {
        /// Name of the consumer.
        #[arg(value_parser = name)]
        name: String,

        /// Does not ask.
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
struct Add {
    /// Name of the consumer, for ever: a letter a-z and then 1 to 31 of a-z, 0-9 and -.
    #[arg(value_parser = name)]
    name: String,

    /// Lanes, separated by commas: roster, timeline, receipts, control. [default: all]
    #[arg(long, value_name = "LANES", value_delimiter = ',')]
    lanes: Vec<String>,

    /// Ids of conversations, separated by commas. [default: all]
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    conversations: Vec<String>,

    /// Types of events that the program passes on, separated by commas. The server gives all types of a lane.
    /// [default: all]
    #[arg(long, value_name = "TYPES", value_delimiter = ',')]
    types: Vec<String>,

    /// Where it begins: `start`, `now`, a position or a time (RFC 3339).
    #[arg(long, value_name = "WHERE", default_value = "now", value_parser = start)]
    from: StartAt,

    /// Reads audit events, too.
    #[arg(long)]
    audit: bool,

    /// Id of the service account that gives commands under this name.
    #[arg(long, value_name = "SERVICE")]
    bot: Option<UserId>,

    /// Life of the credentials: 24h or 90d. [default: until they are revoked]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    expires: Option<Duration>,

    /// Language of the program.
    #[arg(long, value_name = "LANGUAGE", default_value = "python")]
    lang: Lang,

    /// File for the credentials. [default: `NAME.creds`]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Lang {
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

impl Consumers {
    pub(super) fn servers(&self) -> &Servers {
        &self.servers
    }
}

pub(super) async fn consumers(Consumers { what, keys, servers }: Consumers) -> Result<(), AppError> {
    let addresses = servers.operators_addresses()?;
    let keys = ConsumerKeys::read(&keys, |creds| servers.nats_with(creds))?;
    match what {
        What::Add(add) => {
            let urls = addresses.nats.urls().map_err(|bad| AppError::Refused(bad.to_string()))?;
            let file = creds_file(add.out.clone(), &add.name);
            let filter = ConsumerFilter::read(&add.lanes, &add.conversations, &add.types, add.audit)
                .map_err(AppError::Refused)?;
            if let Some(service) = add.bot {
                let bind = Ask::Bind { service, name: add.name.clone(), scopes: None };
                app::programs(&servers.addresses()?, bind).await?;
            }
            let added = with_office(&addresses, keys, async |office| {
                if !consumers::is_there(office, &add.name).await? {
                    is_free(&file)?;
                }
                consumers::add(office, &add.name, &filter, add.from, add.bot.is_some(), add.expires).await
            })
            .await?;
            let Some(creds) = &added.creds else {
                match add.json {
                    true => {
                        println!("{}", json!({ "name": add.name, "added": false, "streams": added.streams }));
                    }
                    false => eprintln!(
                        "The consumer `{0}` is there already, with its credentials: `verbatim consumers rotate {0}` \
                         writes new ones.",
                        add.name
                    ),
                }
                return Ok(());
            };
            write_creds(&file, creds)?;
            let absolute = file.canonicalize().unwrap_or(file);
            let language = Language::from(add.lang);
            let snippet = Snippet {
                name: &add.name,
                servers: &urls,
                creds: &absolute,
                streams: &added.streams,
                types: &add.types,
            };
            let (hint, text) = (language.hint(&add.name), snippet.text(language));
            if add.json {
                println!(
                    "{}",
                    json!({
                        "name": add.name, "added": true, "credentials_file": absolute, "servers": urls,
                        "streams": added.streams, "api_prefix": "log.api", "inbox_prefix": format!("_INBOX_{}", add.name),
                        "run": hint, "snippet": text,
                    })
                );
                return Ok(());
            }
            eprintln!(
                "The consumer `{}` is added. Its credentials are in {}: keep that file secret.\nTo run the program below: {hint}\n",
                add.name,
                absolute.display()
            );
            if !add.types.is_empty() {
                eprintln!(
                    "The program passes over other types than {}: the server gives all.\n",
                    add.types.join(", ")
                );
            }
            print!("{text}");
        }
        What::List { json } => {
            let listed = with_office(&addresses, keys, async |office| consumers::list(office).await).await?;
            let listed = json!(listed);
            match listed.as_array() {
                _ if json => println!("{}", json!({ "items": listed })),
                Some(items) if items.is_empty() => println!("none"),
                Some(items) => items.iter().for_each(|item| println!("{}", line(item))),
                None => {}
            }
        }
        What::Show { name } => {
            let listed = with_office(&addresses, keys, async |office| consumers::list(office).await).await?;
            let found = listed.into_iter().find(|consumer| consumer.name == name);
            let found = found.ok_or_else(|| {
                AppError::Refused(format!(
                    "there is no consumer `{name}`: `verbatim consumers list` shows them"
                ))
            })?;
            println!("{}", json!(found));
        }
        What::Rotate { name, overlap, now, out } => {
            let overlap = if now { Duration::ZERO } else { overlap };
            let file = creds_file(out, &format!("{name}.new"));
            let rotated = with_office(&addresses, keys, async |office| {
                is_free(&file)?;
                let rotated = consumers::rotate(office, &name, overlap).await?;
                consumers::sweep(office).await?;
                Ok(rotated)
            })
            .await?;
            write_creds(&file, &rotated.creds)?;
            println!(
                "The new credentials are in {}. The old ones end at {}, by `verbatim consumers sweep` or any other \
                 `consumers` command.",
                file.display(),
                rotated.old_expires_at
            );
        }
        What::Sweep => {
            let swept = with_office(&addresses, keys, async |office| consumers::sweep(office).await).await?;
            swept.ok_or_else(|| {
                AppError::Refused(
                    "set VERBATIM_CONSUMERS_KEY_FILE, VERBATIM_NATS_OPERATOR_KEY_FILE and \
                     VERBATIM_NATS_SYS_CREDENTIALS_FILE: revoking needs all three"
                        .into(),
                )
            })?;
            println!("nothing is overdue");
        }
        What::Replay { name, from: Some(from), yes, .. } => {
            with_office(&addresses, keys, async |office| {
                consumers::read_anew(office, &name, from, yes).await
            })
            .await?;
            println!("The consumer `{name}` reads anew.");
        }
        What::Replay { name, id, .. } => {
            let given = with_office(&addresses, keys, async |office| {
                consumers::replay_parked(office, &name, &id).await
            })
            .await?;
            println!("{given} events are given to `{name}` again, as copies of the stream REPLAY.");
        }
        What::Parked { name, json } => {
            let letters =
                with_office(&addresses, keys, async |office| consumers::parked(office, &name).await).await?;
            if json {
                println!("{}", json!({ "items": letters }));
            }
            for letter in letters.iter().filter(|_| !json) {
                println!(
                    "{} {}  {}  {} deliveries  first {}  last {}",
                    letter.stream,
                    letter.position,
                    letter.reason,
                    letter.deliveries,
                    letter.first_at,
                    letter.last_at
                );
            }
        }
        What::Remove { name, yes } => {
            if !yes {
                return Err(AppError::Refused(format!(
                    "`{name}` loses its place in the log for good, and its connections are cut: say --yes"
                )));
            }
            with_office(&addresses, keys, async |office| consumers::remove(office, &name).await).await?;
            println!("The consumer `{name}` is removed.");
        }
    }
    Ok(())
}

/// The file for credentials.
fn creds_file(out: Option<PathBuf>, name: &str) -> PathBuf {
    out.unwrap_or_else(|| PathBuf::from(format!("{name}.creds")))
}

/// Refuses a file that is there before anything is done whose result could not be kept.
fn is_free(file: &Path) -> Result<(), ConsumerError> {
    match file.exists() {
        false => Ok(()),
        true => Err(ConsumerError::Refused(format!(
            "{} exists, and credentials replace no file: name another one with --out",
            file.display()
        ))),
    }
}

/// Writes a file that only its owner reads. A file that is there is not replaced.
fn write_creds(file: &Path, creds: &str) -> Result<(), AppError> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    let written: io::Result<()> = opened.and_then(|mut opened| opened.write_all(creds.as_bytes()));
    written.map_err(|e| {
        AppError::Refused(format!(
            "the credentials cannot be written to {}: {e}. `verbatim consumers rotate` writes new ones to another file",
            file.display()
        ))
    })
}

/// A consumer in one line.
fn line(item: &Value) -> String {
    let text = |field: &str| item[field].as_str().unwrap_or("-").to_owned();
    let lanes: Vec<&str> = item["lanes"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let overdue = if item["overdue"] == true { "  OVERDUE: credentials were not revoked" } else { "" };
    format!(
        "{}  {}  lag {} events, {} s  parked {}  redelivered {}  last active {}  lanes {}{overdue}",
        text("name"),
        text("state"),
        item["lag_events"],
        item["lag_seconds"],
        item["parked"],
        item["redelivered"],
        text("last_active"),
        lanes.join(","),
    )
}
