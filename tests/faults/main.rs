//! The test under faults: people send messages while processes are killed and stopped and the network fails.
//! Then all observations are compared with the log and the views.
//!
//! `cargo test` runs a short variant. The long one:
//!
//! ```sh
//! VERBATIM_FAULTS_SECONDS=900 VERBATIM_FAULTS_SOCKETS=200 VERBATIM_FAULTS_SERVERS=3 \
//! VERBATIM_FAULTS_SEED=1 cargo test --test faults -- --nocapture
//! ```
//!
//! `VERBATIM_FAULTS_KINDS` names the kinds of fault to inflict (`gateway_lost,postgres_frozen`); the default
//! is all.
//!
//! `VERBATIM_FAULTS_ACKNOWLEDGED` is the number of acknowledged sends before the power fails; the default is
//! 2,000.
//!
//! `VERBATIM_FAULTS_PROGRAM` names another build of the program, for instance a release build. The
//! observations are kept as JSON lines if the run fails or `VERBATIM_FAULTS_HISTORY` names a file. The same
//! seed gives the same people and the same plan of faults, but the timing on the machine differs.

// Everything here is only for this binary.
#![allow(unreachable_pub)]

mod chance;
mod checker;
mod clients;
mod device;
mod evidence;
#[path = "../flood/mod.rs"]
mod flood;
mod forgetting;
mod history;
mod hostile;
mod nemesis;
mod person;
mod power;
mod proxy;
mod report;
#[path = "../servers/mod.rs"]
mod servers;
mod truth;
#[path = "../unlimited/mod.rs"]
mod unlimited;
mod world;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use chance::Chance;
use checker::{Rule, Violation};
use clients::Crowd;
use nemesis::Kind;
use person::Person;
use report::Report;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use truth::Truth;
use world::World;

/// The time limit of a run, in addition to the time of its faults.
const BESIDES: Duration = Duration::from_secs(240);
/// The maximum number of violations of each rule that are printed.
const PRINTED: usize = 6;

/// The settings of a run.
#[derive(Debug, Clone, Copy)]
struct Settings {
    seconds: u64,
    seed: u64,
    sockets: usize,
    servers: usize,
}

impl Settings {
    fn from_environment() -> Self {
        let number = |name: &str, default: u64| {
            std::env::var(name)
                .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}: {text}")))
        };
        Self {
            seconds: number("VERBATIM_FAULTS_SECONDS", 30),
            seed: number("VERBATIM_FAULTS_SEED", 1),
            sockets: number("VERBATIM_FAULTS_SOCKETS", 24) as usize,
            servers: number("VERBATIM_FAULTS_SERVERS", 1) as usize,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_doubled_or_shown_to_strangers_whatever_fails() {
    let settings = Settings::from_environment();
    let limit = Duration::from_secs(settings.seconds) + BESIDES;
    let (report, violations) = timeout(limit, run(settings)).await.expect("the run ends in its time");
    println!("{report}");
    print(&violations);
    assert!(violations.is_empty(), "{} violations", violations.len());
}

fn print(violations: &[Violation]) {
    let mut by_rule: BTreeMap<Rule, Vec<&Violation>> = BTreeMap::new();
    for violation in violations {
        by_rule.entry(violation.rule).or_default().push(violation);
    }
    for (rule, violations) in by_rule {
        println!("{} violations of {rule:?}", violations.len());
        violations.iter().take(PRINTED).for_each(|violation| println!("  {violation:?}"));
    }
}

async fn run(settings: Settings) -> (Report, Vec<Violation>) {
    let chance = Chance::of(settings.seed);
    let world = Arc::new(World::start(settings.servers).await);
    let crowd = Arc::new(Crowd::gathers(&world, settings.sockets, &chance).await);
    let operator = forgetting::operator(&world).await;

    let hostile = Person::registers(&world, crowd.clients.len() + crowd.leaving.len()).await;
    let flooding = tokio::spawn(hostile::floods(hostile, chance.apart("hostile", 0)));
    let stop = CancellationToken::new();
    let mut talking = crowd.talks(&stop);
    let until = Instant::now() + Duration::from_secs(settings.seconds);
    let lane =
        |kinds, name| nemesis::rages(world.clone(), crowd.clone(), kinds, chance.apart(name, 0), until);
    let (of_servers, of_clients) = (Kind::wanted(&Kind::OF_SERVERS), Kind::wanted(&Kind::OF_CLIENTS));
    // The last requests are made so early that a third of the run is left to hide their messages.
    let last = until - Duration::from_secs(settings.seconds / 3);
    let forgets = forgetting::forgets(&operator, chance.apart("forgets", 0), last);
    let leave = forgetting::people_leave(&operator, &crowd, chance.apart("leave", 0), last);
    let (requests, leaving, ..) =
        tokio::join!(forgets, leave, lane(&of_servers, "servers"), lane(&of_clients, "clients"));
    stop.cancel();
    // Actions in progress are completed: nobody retries for longer than a minute, and now all servers answer.
    let finished = async { while talking.join_next().await.is_some() {} };
    let _ = timeout(Duration::from_secs(20), finished).await;
    talking.shutdown().await;
    flooding.abort();
    let flooded = flooding.await;
    assert!(flooded.is_err_and(|e| e.is_cancelled()), "somebody floods for as long as the run lasts");
    // Receipts are announced up to a second late.
    sleep(Duration::from_secs(2)).await;
    let deadline = Instant::now() + forgetting::PATIENCE;
    forgetting::is_forgotten(&operator, requests, &crowd, deadline).await;
    forgetting::are_forgotten(&operator, leaving, &crowd, deadline).await;
    drop(operator);

    let truth = Truth::of(&evidence::log(&world).await.concat());
    crowd
        .settles(|person, reached| {
            let is_here = |id| reached.get(id).copied().unwrap_or_default();
            truth
                .conversations
                .iter()
                .all(|(id, told)| told.missed(person.id, is_here(id), told.head() + 1, true).is_none())
        })
        .await;
    Arc::into_inner(crowd).expect("the lanes have ended").goes().await;
    let log = evidence::log(&world).await;
    let views = evidence::views(&world).await;
    let history = world.history.take();
    let mut violations = checker::check(&history, &log, &views);
    let mut report = Report::of(&history, log.iter().map(Vec::len).sum());
    if report.thrown_out == 0 {
        let evidence = format!("of {} sockets that were filled none was closed with 4408", report.floods);
        violations.push(Violation { rule: Rule::NoBlunder, evidence });
    }
    if report.accounts.1 == 0 {
        let evidence = format!("of {} accounts none was erased", report.accounts.0);
        violations.push(Violation { rule: Rule::Forgotten, evidence });
    }
    let world = Arc::into_inner(world).expect("everybody has gone");
    let errors = world.stop().await;
    violations.extend(errors.into_iter().map(|evidence| Violation { rule: Rule::NoBlunder, evidence }));

    Settings {
        seed: report.seed,
        seconds: report.seconds,
        sockets: report.sockets,
        servers: report.servers,
    } = settings;
    keep(&history, settings, !violations.is_empty());
    (report, violations)
}

/// Keeps the observations for later analysis.
fn keep(entries: &[history::Entry], settings: Settings, failed: bool) {
    let wanted = std::env::var_os("VERBATIM_FAULTS_HISTORY").map(PathBuf::from);
    let place = || PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("faults-{}.jsonl", settings.seed));
    if let Some(file) = wanted.or_else(|| failed.then(place)) {
        match history::write(entries, &file) {
            Ok(()) => println!("what was observed: {}", file.display()),
            Err(error) => println!("{} cannot be written: {error}", file.display()),
        }
    }
}
