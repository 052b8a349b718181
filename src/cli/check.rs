//! `check`: tests the settings, and reports on the servers. It changes nothing.

use std::{process::ExitCode, time::Duration};

use clap::{Args, ValueEnum};
use sqlx::PgPool;
use time::OffsetDateTime;

use crate::{
    admin::{Agreement, Clocks, lacks_a_copy, nearly_full},
    app::{self, AppError},
    archive::{self, ArchiveTarget},
    cli::{
        addresses::addresses,
        mirrors::{all_are_named, mirrors},
        open_files::enough_files,
        serve::Serve,
    },
    clock::Clock,
    config::{Settings, costly_hashes, encrypted, named_origins},
    log::{Durability, Log, OpenError},
    projector::kinship,
    supervise::Supervisor,
    views,
};

/// An archiver that keeps up says so every ten seconds, or every twenty while a segment is being filled.
const LATE: Duration = Duration::from_secs(120);
/// The time before the end of a certificate in which it should be replaced, as for the alert.
const RENEWAL: time::Duration = time::Duration::days(21);
/// How much of the space for streams may be used.
const ENOUGH_ROOM: f64 = 0.9;
/// How long a server may wait for a silent node: less than JetStream remembers ids, which is two minutes.
const PATIENCE: Duration = Duration::from_secs(100);

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
    serve: Serve,
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
    if let Some(soon) = expires_soon(&settings) {
        warn("certificate", Err(soon));
    }
    let spans = settings.span_destination();
    report.say("traces", spans.map(|to| if to.is_some() { "to a collector" } else { "none" }.into()));
    warn("encryption", encrypted(&settings));
    warn("origins", named_origins(&settings));
    warn("password hashes", costly_hashes(&settings));
    warn("open files", enough_files(&settings));
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
        let survey = log.look(&Clock::system()).await;
        let fullness = nearly_full(&survey).map_or_else(|| Ok("no stream is nearly full".into()), Err);
        warn("fullness", fullness);
        warn("copies", lacks_a_copy(&survey).map_or_else(|| Ok("no stream lacks one".into()), Err));
        warn("disks", has_room(&log.storage().await));
        warn("silent clients", are_cut_off(log.longest_patience().await));
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
        return report.say("archive", Ok::<_, String>("none: VERBATIM_ARCHIVE is not set".into()));
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
    is_written(&target, log, report).await;
}

/// Reports whether an archive may be written, and whether somebody does.
async fn is_written(target: &ArchiveTarget, log: Option<&Log>, report: &mut Report) {
    match target.may_write() {
        Ok(warnings) => warnings.into_iter().for_each(|why| warn("archive", Err(why))),
        Err(refused) => report.say("archive", Err(refused)),
    }
    let why = match archive::kept_up(target, log.map(Log::epoch)).await {
        Ok(Some(at)) if Clock::system().now().since(at) > LATE => format!(
            "{target} was last written at {at}, so nobody archives, or a stream is left behind: start an archiver, or see \
             the log lines of those that run"
        ),
        Ok(None) => format!(
            "{target} has no archive yet: start an archiver, a node with the role `archiver` or `verbatim archive`"
        ),
        Ok(Some(_)) | Err(_) => return,
    };
    warn("archive", Err(why));
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

/// Says that the certificate of the public listener should be replaced; `None` without one, and if it has expired.
fn expires_soon(settings: &Settings) -> Option<String> {
    let certificate = settings.public_listener().ok()?.tls?.certificate;
    renewed_late(certificate.until(), Clock::system().now().datetime())
}

fn renewed_late(until: OffsetDateTime, now: OffsetDateTime) -> Option<String> {
    (now < until && until - now < RENEWAL)
        .then(|| format!("the certificate in VERBATIM_TLS_CERT_FILE expires at {until}: replace it before"))
}

/// Warns if a server has little room for streams left.
fn has_room(storage: &[(String, f64)]) -> Result<String, String> {
    let Some(full) = storage.iter().map(|(_, full)| *full).reduce(f64::max) else {
        return Ok("unknown: no nats-server tells how full it is".into());
    };
    let told = format!("the fullest nats-server uses {} % of its max_file", (full * 100.0).floor());
    if full < ENOUGH_ROOM {
        Ok(told)
    } else {
        Err(format!("{told}: enlarge its disk, then raise the limit; a full server stores nothing"))
    }
}

/// Warns if a server waits so long for a silent node that it could store an old append of the node, after JetStream has
/// forgotten that another node has stored the same.
fn are_cut_off(patience: Option<Duration>) -> Result<String, String> {
    let Some(patience) = patience else {
        return Ok("unknown: no nats-server tells when it cuts one off".into());
    };
    let told = format!("nats-server cuts one off after {} s at most", patience.as_secs());
    if patience <= PATIENCE {
        Ok(told)
    } else {
        Err(format!("{told}: set ping_interval to 20s and ping_max to 2, as deploy/log.conf does"))
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
    let early = log.acknowledges_early().await?;
    if !early.is_empty() {
        return Err(AppError::Refused(format!(
            "persist_mode is async on {}, so a failure loses what was acknowledged there: restore into streams without it",
            early.join(", ")
        )));
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_should_be_replaced_three_weeks_before_its_end() {
        let now = OffsetDateTime::UNIX_EPOCH;
        let after = |days| renewed_late(now + time::Duration::days(days), now);
        assert_eq!(after(21), None);
        assert!(after(20).is_some_and(|told| told.contains("expires at 1970-01-21")));
        assert_eq!(after(-1), None, "an expired certificate is refused");
    }

    #[test]
    fn a_full_server_is_told_of() {
        let of = |full| [("log-0".to_owned(), 0.5), ("log-1".to_owned(), full)];
        assert!(has_room(&[]).is_ok() && has_room(&of(0.89)).is_ok());
        assert!(has_room(&of(0.95)).is_err_and(|told| told.contains("95 %")));
    }
}
