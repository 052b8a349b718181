//! `consumers`: external programs that read the log.

use std::time::Duration;

use clap::Args;
use serde_json::json;

use crate::{
    app::{self, AppError, ConsumerKeys, with_office},
    cli::{
        consumer_args::{Add, What},
        consumer_told::{self as told, creds_file, insists, is_free},
        consumers_remotely::remotely,
        reach::Reach,
        servers::Servers,
    },
    config::ConsumerSettings,
    consumers::{self, ConsumerError, ConsumerFilter, WantedConsumer},
};

/// The maximum number of consumers in a list.
const LISTED: i64 = 1_000;

#[derive(Debug, Args)]
pub(super) struct Consumers {
    #[command(subcommand)]
    what: What,

    #[command(flatten)]
    keys: ConsumerSettings,

    #[command(flatten)]
    reach: Reach,
}

impl Add {
    /// The filter of the events that the consumer reads.
    pub(super) fn filter(&self) -> Result<ConsumerFilter, AppError> {
        if self.commands_only {
            return Ok(ConsumerFilter::nothing());
        }
        let filter = ConsumerFilter::read(&self.lanes, &self.conversations, &self.types, self.audit);
        let filter = filter.map_err(|bad| AppError::Refused(bad.to_string()))?;
        Ok(filter.exclusive(self.exclusive))
    }
}

pub(super) async fn consumers(Consumers { what, keys, reach }: Consumers) -> Result<(), AppError> {
    if let Some(node) = reach.remote()? {
        return remotely(&node, what).await;
    }
    let servers = &reach.servers;
    let addresses = servers.operators_addresses()?;
    let keys = ConsumerKeys::read(&servers.settings, &keys, |creds| servers.nats_with(creds))?;
    match what {
        What::Add(add) => add_here(&add, keys, servers).await?,
        What::List { json } => {
            let (listed, gone) = with_office(&addresses, keys, async |office| {
                Ok((consumers::list(office, None, LISTED).await?, consumers::gone_and_overdue(office).await?))
            })
            .await?;
            told::listed(&json!({ "items": listed }), &gone, json);
        }
        What::Show { name } => {
            let find = async |office: &consumers::Office| consumers::find(office, &name).await;
            println!("{}", json!(with_office(&addresses, keys, find).await?));
        }
        What::Rotate { name, overlap, now, out } => {
            let overlap = if now { Duration::ZERO } else { overlap };
            let file = creds_file(out, &format!("{name}.new"));
            is_free(&file)?;
            let rotated = with_office(&addresses, keys, async |office| {
                let rotated = consumers::rotate(office, &name, overlap, consumers::By::default()).await?;
                Ok((rotated, consumers::sweep(office).await?))
            })
            .await?;
            let (rotated, swept) = rotated;
            let answer = json!({ "credentials": rotated.creds, "old_expires_at": rotated.old_expires_at });
            told::rotated(&file, &answer, now && swept.is_some())?;
        }
        What::Sweep => {
            let swept = with_office(&addresses, keys, async |office| consumers::sweep(office).await).await?;
            swept.ok_or_else(|| {
                AppError::Refused(
                    "cannot revoke credentials: set VERBATIM_CONSUMERS_KEY_FILE, VERBATIM_NATS_OPERATOR_KEY_FILE and \
                     VERBATIM_NATS_SYS_CREDENTIALS_FILE"
                        .into(),
                )
            })?;
            println!("No credentials are overdue.");
        }
        What::Replay { name, from: Some(from), yes, .. } => {
            with_office(&addresses, keys, async |office| {
                consumers::read_anew(office, &name, from, yes, consumers::By::default()).await
            })
            .await?;
            println!("Reset the position of the consumer `{name}`.");
        }
        What::Replay { name, id, .. } => {
            let given = with_office(&addresses, keys, async |office| {
                consumers::replay_parked(office, &name, &id, consumers::By::default()).await
            })
            .await?;
            println!("{given} events will be delivered to `{name}` again, as copies in the stream REPLAY.");
        }
        What::Parked { name, json } => {
            let letters =
                with_office(&addresses, keys, async |office| consumers::parked(office, &name).await).await?;
            told::parked(&json!({ "items": letters }), json);
        }
        What::Remove { name, yes } => {
            insists(&name, yes)?;
            app::remove_consumer(&addresses, keys, &name).await?;
            println!("Removed the consumer `{name}`.");
        }
    }
    Ok(())
}

async fn add_here(add: &Add, keys: ConsumerKeys, servers: &Servers) -> Result<(), AppError> {
    let addresses = servers.operators_addresses()?;
    let filter = add.filter()?;
    let file = creds_file(add.out.clone(), &add.name);
    let is_file = !add.has_password && file.exists();
    let (added, urls) = with_office(&addresses, keys, async |office| {
        if is_file && !consumers::is_there(office, &add.name).await? {
            let taken = is_free(&file).err().map(|taken| taken.to_string());
            return Err(ConsumerError::Refused(taken.unwrap_or_default()));
        }
        let wanted = WantedConsumer {
            name: &add.name,
            filter: &filter,
            from: add.from,
            gives_commands: add.bot.is_some(),
            life: add.expires,
            has_password: add.has_password,
        };
        let added = app::add_consumer(office, wanted, add.bot).await?;
        Ok((added, office.servers.clone()))
    })
    .await?;
    if add.has_password {
        let block = consumers::user_with_password(&add.name, add.bot.is_some());
        match add.json {
            true => println!(
                "{}",
                json!({ "name": add.name, "added": added.is_new, "streams": added.streams, "block": block })
            ),
            false => {
                eprintln!(
                    "Paste the user below into the users of the account READERS on every server, set its password in \
                     the environment, and reload the servers."
                );
                print!("{block}");
            }
        }
        return Ok(());
    }
    let answer = json!({
        "added": added.is_new, "credentials": added.creds, "streams": added.streams, "servers": urls,
    });
    told::added(add, &answer)
}
