//! `check`: tests the settings, and reports on the servers. It changes nothing.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use sqlx::PgPool;

use crate::{
    admin::{Agreement, Clocks},
    app::{self, AppError},
    archive,
    cli::{
        addresses::addresses,
        mirrors::{all_are_named, mirrors},
        open_files::enough_files,
        serve::Serve,
    },
    clock::Clock,
    config::Settings,
    log::{Durability, Log, OpenError},
    projector::kinship,
    supervise::Supervisor,
    views,
};

/// Prints findings, and remembers whether all of them were good.
struct Report {
    is_fine: bool,
}

impl Report {
    fn status(&self) -> ExitCode {
        if self.is_fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    fn say<E: std::fmt::Display>(&mut self, what: &str, outcome: Result<String, E>) {
        match outcome {
            Ok(good) => println!("ok       {what}: {good}"),
            Err(bad) => {
                self.is_fine = false;
                println!("REFUSED  {what}: {bad}");
            }
        }
    }
}

/// Prints a finding that does not make the check fail.
fn warn(what: &str, outcome: Result<String, String>) {
    match outcome {
        Ok(good) => println!("ok       {what}: {good}"),
        Err(bad) => println!("WARNING  {what}: {bad}"),
    }
}

#[derive(Debug, Args)]
pub(super) struct Check {
    /// Checks only this part.
    #[arg(value_enum)]
    only: Option<Part>,

    #[command(flatten)]
    pub(super) serve: Serve,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The file of external issuers, and whether the keys of each issuer can be fetched.
    Issuers,
    /// Whether every member of a conversation has an account, in the database.
    Accounts,
}

pub(super) async fn check(Check { only, serve }: Check) -> Result<ExitCode, AppError> {
    let Serve { servers, settings, .. } = serve;
    let mut report = Report { is_fine: true };
    if only == Some(Part::Issuers) {
        look_at_issuers(&settings, &mut report, "none: VERBATIM_ISSUERS_FILE is not set").await;
        return Ok(report.status());
    }
    let addresses = addresses(&servers)?;
    if only == Some(Part::Accounts) {
        report.say("accounts", have_accounts(&addresses.database).await?);
        return Ok(report.status());
    }
    let keys = settings.signing_keys();
    report
        .say("signing key", keys.map(|k| if k.is_some() { "from a file" } else { "in the database" }.into()));
    let sender = settings.webhook_sender(&Clock::system());
    report.say(
        "master key",
        sender.map(|s| {
            if s.master.is_some() { "from a file" } else { "none: webhooks are not available" }.into()
        }),
    );
    let consumers = app::can_sign_consumers(&settings);
    report.say(
        "consumers",
        consumers.map(|can| if can { "key from a file" } else { "no key: not available over REST" }.into()),
    );
    report.say("listener", listens(&settings));
    let spans = settings.span_destination();
    report.say("traces", spans.map(|to| if to.is_some() { "to a collector" } else { "none" }.into()));
    warn("open files", enough_files(settings.connections));
    look_at_issuers(&settings, &mut report, "none").await;
    let database = migrated(&addresses.database).await;
    report.say("database", database.as_ref().map(|_| "migrated".into()));
    let log = match &database {
        Ok(pool) => app::look_at_log(pool, &addresses.nats, settings.layout()).await,
        Err(_) => Log::open(&addresses.nats, settings.layout(), &Supervisor::new())
            .await
            .map(Some)
            .map_err(AppError::from),
    };
    report.say("log", log.as_ref().map(described));
    look_at_archive(&settings, log.as_ref().ok().and_then(Option::as_ref), &mut report).await;
    if let Ok(Some(log)) = &log {
        report.say("durability", durable(log).await);
        report.say("holes", whole(log).await);
        report.say("erasure", erasable(log).await);
        match mirrors(&servers, &settings).await {
            Ok(mirrors) => mirrors.into_iter().for_each(|mirror| report.say("mirror", mirror)),
            Err(error) => report.say("mirror", Err(error)),
        }
        warn("mirrors", all_are_named(log, &settings).await);
        report.say("audit", has_audit(log).await);
        if let Ok(pool) = &database {
            report.say("views", follow_from(log, pool).await);
            if let Some(replica) = replicates(&settings, pool).await {
                report.say("replica", replica);
            }
            report.say("clock", in_time(log, pool).await);
        }
    }
    Ok(report.status())
}

/// Reads the file of issuers and asks each for its keys.
async fn look_at_issuers(settings: &Settings, report: &mut Report, none: &str) {
    match settings.issuers() {
        Ok(None) => report.say("issuers", Ok::<_, String>(none.into())),
        Ok(Some(issuers)) => {
            for (name, keys) in issuers.check().await {
                report.say(&format!("issuer {name}"), keys.map(|keys| format!("{keys} keys")));
            }
        }
        Err(bad) => report.say("issuers", Err(bad)),
    }
}

/// Reports how far the archive of the log has come, and whether its place keeps erased content.
async fn look_at_archive(settings: &Settings, log: Option<&Log>, report: &mut Report) {
    if !settings.has_archive() {
        return report.say("archive", Ok::<_, String>("none".into()));
    }
    let target = match settings.archive() {
        Ok(target) => target,
        Err(bad) => return report.say("archive", Err(bad)),
    };
    report.say("archive", archive::describe(&target, log).await);
    if target.keeps_versions().await {
        let why = format!(
            "{target} keeps older versions of its objects, so erased content remains in them: see \"Backups in a \
            bucket\" in deploy/README.md"
        );
        warn("archive", Err(why));
    }
}

/// The protocol of the public listener. Fails if its certificate cannot be used or has expired.
fn listens(settings: &Settings) -> Result<String, String> {
    let listener = settings.public_listener().map_err(|bad| bad.to_string())?;
    let Some(tls) = listener.tls else { return Ok("HTTP without TLS".into()) };
    match tls.certificate.expired(Clock::system().now().datetime()) {
        None => Ok("TLS".into()),
        Some(until) => Err(format!(
            "the certificate in VERBATIM_TLS_CERT_FILE expired at {until}, so clients reject it: replace it"
        )),
    }
}

/// Fails if there are members without an account, which means that the accounts are older than the log.
async fn have_accounts(url: &str) -> Result<Result<String, String>, AppError> {
    let ghosts = app::ghosts(&migrated(url).await?).await?;
    ghosts.iter().for_each(|id| println!("unknown  {id}"));
    let most = if ghosts.len() as i64 == app::GHOSTS { "at least " } else { "" };
    Ok(match ghosts.len() {
        0 => Ok("every member of a conversation has an account".into()),
        number => Err(format!(
            "{most}{number} members of conversations have no account and cannot log in: see \"A part is older than the \
             others\" in deploy/DISASTERS.md"
        )),
    })
}

async fn migrated(url: &str) -> Result<PgPool, AppError> {
    let pool = app::database(url, 2).await?;
    app::is_migrated(&pool).await?;
    Ok(pool)
}

fn described(log: &Option<Log>) -> String {
    let Some(log) = log else { return "none yet: create it with `verbatim migrate`".into() };
    let layout = log.layout();
    format!("{} streams, {} replicas, epoch {}", layout.streams, layout.replicas, log.epoch())
}

async fn durable(log: &Log) -> Result<String, AppError> {
    match log.durability().await {
        Durability::Always => Ok("every acknowledgement is on disk".into()),
        Durability::Interval { seconds } => Err(AppError::Weak(seconds)),
        Durability::Unknown => Ok("unknown: the account may not request $SYS.REQ.SERVER.PING.VARZ".into()),
    }
}

async fn in_time(log: &Log, pool: &PgPool) -> Result<String, String> {
    match Clocks::ask(log, pool, &Clock::system()).await.agreement() {
        Agreement::Close(by) => Ok(format!("within {by:.1} s of Postgres and nats-server")),
        apart => Err(apart.trouble().unwrap_or_default()),
    }
}

/// Fails if a position of the log has no event.
async fn whole(log: &Log) -> Result<String, String> {
    match log.first_hole().await.map_err(|e| e.to_string())? {
        None => Ok("every position has an event".into()),
        Some(hole) => Err(format!("{hole}: see deploy/DISASTERS.md")),
    }
}

async fn erasable(log: &Log) -> Result<String, String> {
    let never = log.never_erased().await.map_err(|e| e.to_string())?;
    if never.is_empty() {
        let admits_old = !log.is_for_readers_of_erasures().await.map_err(|e| e.to_string())?;
        let before = if admits_old { "; run `verbatim migrate` before the first erasure" } else { "" };
        return Ok(format!("all streams allow an authorized user to delete messages{before}"));
    }
    Err(format!(
        "deny_delete is set on {} and cannot be unset, so nothing can be erased there: restore into streams without \
         it",
        never.join(", ")
    ))
}

/// Fails if the stream of audit events does not exist.
async fn has_audit(log: &Log) -> Result<String, String> {
    match log.last_audit().await.map_err(|e| e.to_string())? {
        Some(last) => Ok(format!("the stream AUDIT has {last} events")),
        None => Err(OpenError::NoAudit.to_string()),
    }
}

/// Fails if the views do not follow from the log.
async fn follow_from(log: &Log, pool: &PgPool) -> Result<String, String> {
    let mut connection = pool.acquire().await.map_err(|e| e.to_string())?;
    let kinship = kinship(log, &mut connection, &views::schema()).await.map_err(|e| e.to_string())?;
    kinship.trouble().map_or_else(|| Ok("built from this log".into()), Err)
}

/// Fails if the replica of Postgres does not have the views, or lags too far behind to be read. `None` without a
/// replica.
async fn replicates(settings: &Settings, primary: &PgPool) -> Option<Result<String, String>> {
    let url = match settings.database.replica_url() {
        Ok(url) => url?,
        Err(bad) => return Some(Err(bad.to_string())),
    };
    let compared = async {
        let replica = app::database(&url, 1).await.map_err(|e| e.to_string())?;
        views::follows(primary, &replica).await
    };
    let advice = "requests would read from the primary. Check the replica and VERBATIM_DATABASE_REPLICA_URL";
    Some(match compared.await {
        Ok(()) => Ok("follows the primary".into()),
        Err(why) => Err(format!("{why}: {advice}")),
    })
}
