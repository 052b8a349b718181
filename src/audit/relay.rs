//! The relay moves audit events from the outbox to the stream AUDIT.
//!
//! **Exactly once.** A row leaves the outbox only after the stream has its event, so no event is lost. The relay looks
//! up the last event about the subject. It appends its event only if that is a different event, and only if it is still
//! the last one at the append. So an event is stored once, whatever happens in between:
//!
//! - The relay dies after the append, or the answer of the stream is lost. The next look-up finds the event as the last
//!   one of its subject, and the relay only removes the row. No later event about the subject can have been stored,
//!   because the events of one subject are appended one after the other, each after the answer for the one before.
//! - A relay that was frozen continues while another one has the turn. If it was frozen after its look-up, its append
//!   expects an older last event and is refused. Otherwise it queries its Postgres session after the look-up, and finds
//!   that the session is over.
//! - Both append at the same time: JetStream stores the first event and refuses the second.
//!
//! JetStream's duplicate window for `Nats-Msg-Id` would not be enough, because an outage may last longer.
//!
//! **In order.** Rows are taken by their numbers, and the numbers of one subject are in the order of its commits
//! (`accounts::audit::note`). The events of one round are sent over one connection in the order of their numbers. So
//! events about different subjects are in the order of their numbers too, unless one of them is refused or a
//! transaction commits late. Readers that need an order across subjects compare times.

use std::{collections::HashSet, convert::Infallible, time::Duration};

use futures_util::future::join_all;
use sqlx::PgPool;
use tokio::time::sleep;

use crate::{
    accounts::{RelayTurn, Waiting},
    domain::{AuditEvent, Position, UserId},
    log::{AUDIT_PAGE, Log, NotAudited, Unavailable, audit_subject},
    telemetry::METRICS,
};

/// The interval at which the outbox is polled if Postgres sends no notification. It also keeps the session of the turn
/// alive.
const POLL: Duration = Duration::from_secs(2);
/// The pause after a failure. Other nodes ask for the turn more often, so a healthier node takes it.
const PAUSE: Duration = Duration::from_secs(3);
/// The pause before the next attempt for an event whose append another one overtook.
const AGAIN: Duration = Duration::from_millis(20);

/// Why a turn ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("Postgres does not answer: {0}")]
    Outbox(#[from] sqlx::Error),
    #[error(transparent)]
    Stream(#[from] Unavailable),
}

/// Relays for the life of the process. Every node runs this task, and one at a time has the turn.
pub(crate) async fn relay(log: Log, pool: PgPool) {
    loop {
        let turn = async { empty(&log, RelayTurn::take(&pool).await?).await };
        let Err(error) = turn.await;
        tracing::warn!(%error, "could not append audit events to the stream AUDIT; retrying");
        sleep(PAUSE).await;
    }
}

/// Empties the outbox in a loop.
async fn empty(log: &Log, mut turn: RelayTurn) -> Result<Infallible, Ended> {
    loop {
        let oldest = turn.oldest(AUDIT_PAGE as i64).await?;
        if oldest.is_empty() {
            turn.wait(POLL).await?;
            continue;
        }
        for round in rounds(&oldest) {
            let stored = append(log, &mut turn, &round).await?;
            METRICS.audited.inc_by(stored.len() as u64);
            round
                .iter()
                .filter(|waiting| stored.contains(&waiting.seq))
                .for_each(|waiting| say(&waiting.event));
            turn.remove(&stored).await?;
            if stored.len() < round.len() {
                // Later events of this subject have to wait for the event that was not stored.
                sleep(AGAIN).await;
                break;
            }
        }
    }
}

/// Logs an event, for people who watch the log lines. Its data are only in the stream.
fn say(event: &AuditEvent) {
    let shown = |id: Option<UserId>| id.map(tracing::field::display);
    tracing::info!(
        audit = event.word,
        subject = event.subject,
        actor = shown(event.actor),
        via = shown(event.via),
        event_id = %event.id,
        "audit event"
    );
}

/// Divides the events into rounds. In a round, each subject occurs at most once.
fn rounds(oldest: &[Waiting]) -> Vec<Vec<&Waiting>> {
    let (mut rounds, mut about) = (vec![Vec::new()], HashSet::new());
    for waiting in oldest {
        let subject = audit_subject(&waiting.event);
        if about.contains(&subject) {
            rounds.push(Vec::new());
            about.clear();
        }
        about.insert(subject);
        rounds.last_mut().expect("there is a first round").push(waiting);
    }
    rounds
}

/// Appends events about different subjects, and returns the numbers of the events that the stream has.
async fn append(log: &Log, turn: &mut RelayTurn, round: &[&Waiting]) -> Result<Vec<i64>, Ended> {
    let events: Vec<_> = round.iter().map(|waiting| &waiting.event).collect();
    let last = log.last_audits(&events).await?;
    // The session is queried after the look-up: see the module docs.
    turn.lasts().await?;
    let appends = round.iter().map(async |Waiting { seq, event }| {
        let last = last.get(&audit_subject(event));
        if last.is_some_and(|last| last.id == event.id) {
            return Ok(Some(*seq));
        }
        match log.append_audit(event, last.map_or(Position::START, |last| last.position)).await {
            Ok(_) => Ok(Some(*seq)),
            Err(NotAudited::Overtaken) => Ok(None),
            Err(NotAudited::Unavailable(outage)) => Err(outage),
        }
    });
    let stored: Vec<Result<Option<i64>, Unavailable>> = join_all(appends).await;
    // Stored events are removed even if others failed.
    if let Some(outage) = stored.iter().find_map(|stored| stored.as_ref().err()) {
        let outage = outage.clone();
        turn.remove(&stored.into_iter().flatten().flatten().collect::<Vec<_>>()).await?;
        return Err(outage.into());
    }
    Ok(stored.into_iter().flatten().flatten().collect())
}
