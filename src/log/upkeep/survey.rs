//! A survey of the log and of AUDIT, once a second: does the server answer, does each stream have a leader, are its
//! replicas close to the leader, and is there room? A server that is up but cut off from its quorum keeps its clients and gives no
//! useful answer, so this process leaves it for another server.

use std::time::Duration;

use futures_util::future::{join_all, join3};
use serde::Deserialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval, timeout},
};

use crate::{
    clock::Clock,
    domain::Position,
    log::{
        Hole, Log,
        streams::layout::{self, AUDIT},
        upkeep::durability::Fullness,
    },
    supervise::Supervisor,
};

/// How often the log is surveyed.
const LOOK: Duration = Duration::from_secs(1);
/// How long one answer may take: a survey must not delay the next one.
const ANSWER: Duration = Duration::from_millis(500);
/// After this many surveys in a row without any answer, this process leaves the server. A cluster needs some seconds to
/// elect another leader, and until then the other servers are no better.
const LOOKS_WITHOUT_ANSWER: u32 = 4;
/// How often the servers are asked how full they are, in surveys.
const LOOKS_WITHOUT_STORAGE: u32 = 30;
/// How long their answers may take.
const STORAGE: Duration = Duration::from_secs(2);

/// The result of a survey.
#[derive(Debug, Clone)]
pub struct Survey {
    /// When the survey ended.
    pub at: Instant,
    /// Whether there is a connection.
    pub is_connected: bool,
    /// The name of the server.
    pub server: String,
    /// Whether JetStream answers through this server at all.
    pub answers: bool,
    /// Each stream of the log, or why it did not answer.
    pub streams: Vec<Result<StreamSeen, String>>,
    /// The same for the stream of audit events.
    pub audit: Result<StreamSeen, String>,
    /// How much of its space for streams each server uses, from 0 to 1, by the name of the server. It can be half a
    /// minute old, and five minutes for a server that does not answer.
    pub storage: Vec<(String, f64)>,
    /// How far the server's clock is ahead of ours, in seconds.
    pub ahead: Option<f64>,
    /// Why appends are refused, and for how long they have been.
    pub refusing: Option<(String, Duration)>,
}

impl Survey {
    /// The streams that have answered, with their names: those of the log, then AUDIT.
    pub(crate) fn answering(&self) -> impl Iterator<Item = (String, &StreamSeen)> {
        let named = self.streams.iter().enumerate().map(|(index, seen)| (layout::name(index), seen));
        let all = named.chain([(AUDIT.to_owned(), &self.audit)]);
        all.filter_map(|(name, seen)| Some((name, seen.as_ref().ok()?)))
    }
}

/// One stream as its leader sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamSeen {
    /// The last position.
    pub last: Position,
    /// How full it is, from 0 to 1, where there is a limit.
    pub full: Option<f64>,
    /// Replicas that the stream should have.
    pub wanted: usize,
    /// Replicas that are online and close to the leader, including the leader's own.
    pub current: usize,
    /// The faults of the other replicas, in words.
    pub behind: Vec<String>,
    /// Whether the leader hears from as many replicas as it needs to store an event.
    pub has_majority: bool,
    /// The consumers of the stream.
    pub consumers: usize,
    /// The first hole of the stream.
    pub hole: Option<Hole>,
}

/// Whether events can be stored through this server. A leader that is cut off continues to answer for some ten seconds,
/// and reports that it hears from no other replica; servers that have lost their quorum do not answer. A stream without
/// a leader is no reason to leave while the servers as a whole have one.
fn answers<'a>(
    mut streams: impl Iterator<Item = &'a Result<StreamSeen, String>> + Clone,
    has_quorum: bool,
) -> bool {
    let is_alone = |seen: &StreamSeen| !seen.has_majority;
    let is_cut_off = streams.clone().flatten().any(is_alone);
    streams.any(|seen| seen.as_ref().is_ok_and(|seen| seen.has_majority)) || (has_quorum && !is_cut_off)
}

/// A replica that lags by more changes than this is not close to its leader.
const BEHIND: u64 = 1_000;

#[derive(Deserialize)]
struct Answer {
    error: Option<Refusal>,
    config: Option<Config>,
    state: Option<State>,
    cluster: Option<Copies>,
    ts: Option<String>,
}

#[derive(Deserialize)]
struct Refusal {
    description: String,
}

#[derive(Deserialize)]
struct Config {
    #[serde(default = "no_limit")]
    max_bytes: i64,
    #[serde(default = "no_limit")]
    max_msgs: i64,
    #[serde(default = "one")]
    num_replicas: usize,
}

fn no_limit() -> i64 {
    -1
}

fn one() -> usize {
    1
}

#[derive(Deserialize)]
struct State {
    messages: u64,
    bytes: u64,
    last_seq: u64,
    #[serde(default)]
    consumer_count: usize,
}

#[derive(Deserialize)]
struct Copies {
    leader: Option<String>,
    #[serde(default)]
    replicas: Vec<Replica>,
}

#[derive(Deserialize)]
struct Replica {
    name: String,
    #[serde(default)]
    current: bool,
    #[serde(default)]
    offline: bool,
    #[serde(default)]
    lag: u64,
}

impl Answer {
    fn seen(self) -> Result<StreamSeen, String> {
        if let Some(Refusal { description }) = self.error {
            return Err(description);
        }
        let (Some(config), Some(state)) = (self.config, self.state) else {
            return Err("the server's answer cannot be read".into());
        };
        let share = |used: u64, limit: i64| (limit > 0).then(|| used as f64 / limit as f64);
        let full = [share(state.bytes, config.max_bytes), share(state.messages, config.max_msgs)];
        let wanted = config.num_replicas;
        // Without a cluster there is one replica, and its server has just answered.
        let Some(copies) = self.cluster.filter(|_| wanted > 1) else {
            let full = full.into_iter().flatten().reduce(f64::max);
            return Ok(StreamSeen {
                last: Position(state.last_seq),
                full,
                wanted,
                current: 1,
                behind: vec![],
                has_majority: true,
                consumers: state.consumer_count,
                hole: None,
            });
        };
        if copies.leader.as_ref().is_none_or(String::is_empty) {
            return Err("it has no leader".into());
        }
        let wrong = |replica: &Replica| match replica {
            Replica { offline: true, name, .. } => Some(format!("{name} is offline")),
            Replica { lag, name, .. } if *lag > BEHIND => Some(format!("{name} is {lag} changes behind")),
            Replica { current: false, name, .. } => Some(format!("{name} is not current")),
            _ => None,
        };
        let heard = copies.replicas.iter().filter(|replica| replica.current && !replica.offline).count();
        let behind: Vec<String> = copies.replicas.iter().filter_map(wrong).collect();
        Ok(StreamSeen {
            last: Position(state.last_seq),
            full: full.into_iter().flatten().reduce(f64::max),
            wanted,
            current: 1 + copies.replicas.len() - behind.len(),
            behind,
            has_majority: 2 * (1 + heard) > wanted,
            consumers: state.consumer_count,
            hole: None,
        })
    }
}

impl Log {
    /// Surveys the log for as long as the process lives, and leaves a server that does not answer.
    pub fn survey(&self, clock: Clock, tasks: &Supervisor) -> watch::Receiver<Option<Survey>> {
        let (sender, seen) = watch::channel(None);
        let log = self.clone();
        tasks.spawn("survey of the log", async move {
            let (mut silent, mut storage) = (0, Fullness::default());
            let mut look = interval(LOOK);
            look.set_missed_tick_behavior(MissedTickBehavior::Delay);
            for number in 0_u32.. {
                look.tick().await;
                let mut survey = log.look(&clock).await;
                survey.storage = storage.of_each();
                let is_silent = survey.is_connected && !survey.answers;
                if survey.streams.iter().any(Result::is_err) {
                    // An append without an answer during an outage says nothing about the log after the outage.
                    log.outcomes.forget();
                }
                sender.send_replace(Some(survey));
                silent = if is_silent { silent + 1 } else { 0 };
                if silent >= LOOKS_WITHOUT_ANSWER && log.leave_server().await {
                    silent = 0;
                }
                if number.is_multiple_of(LOOKS_WITHOUT_STORAGE) {
                    let told = timeout(STORAGE, log.storage()).await.unwrap_or_default();
                    storage.told(told, Instant::now());
                }
            }
        });
        seen
    }

    /// How far the clock of nats-server is ahead of ours, in seconds.
    pub async fn ahead(&self, clock: &Clock) -> Option<f64> {
        self.look_at(&layout::name(0), clock).await.1
    }

    /// Surveys the log once.
    pub(crate) async fn look(&self, clock: &Clock) -> Survey {
        let asked = Instant::now();
        let streams = join_all((0..self.layout.streams).map(|stream| self.look_at_chat(stream, clock)));
        let audit = self.look_at(AUDIT, clock);
        let (looks, (audit, ..), has_quorum) = join3(streams, audit, self.has_quorum()).await;
        for (stream, (seen, _)) in looks.iter().enumerate() {
            if let Ok(seen) = seen.as_ref()
                && seen.has_majority
            {
                self.signs.told(stream, seen.last, asked);
            }
        }
        if has_quorum {
            self.signs.has_quorum(asked);
        }
        let ahead = looks.iter().find_map(|(_, ahead)| *ahead);
        let at = Instant::now();
        Survey {
            at,
            is_connected: self.is_connected(),
            server: self.client.server_info().server_name,
            answers: answers(looks.iter().map(|(seen, _)| seen), has_quorum),
            streams: looks.into_iter().map(|(seen, _)| seen).collect(),
            audit,
            storage: Vec::new(),
            ahead,
            refusing: self.outcomes.refusing(at),
        }
    }

    /// Whether the servers as a whole answer. Servers without a quorum do not answer, or say that they have none.
    async fn has_quorum(&self) -> bool {
        let asked = timeout(ANSWER, self.client.request("$JS.API.INFO", "".into())).await;
        let answer = asked.ok().and_then(Result::ok);
        let answer = answer.and_then(|answer| serde_json::from_slice::<Answer>(&answer.payload).ok());
        answer.is_some_and(|answer| answer.error.is_none())
    }

    /// Asks the leader of a stream of the log, and looks for a hole there.
    async fn look_at_chat(&self, stream: usize, clock: &Clock) -> (Result<StreamSeen, String>, Option<f64>) {
        let (mut seen, ahead, lacks_some) = self.look_at(&layout::name(stream), clock).await;
        if lacks_some && let Ok(seen) = &mut seen {
            seen.hole = timeout(ANSWER, self.hole_of(stream)).await.ok().and_then(Result::ok).flatten();
        }
        (seen, ahead)
    }

    /// Asks the leader of a stream. The second value says how far its clock is ahead of ours, and the third one whether
    /// the stream has fewer events than positions.
    async fn look_at(&self, stream: &str, clock: &Clock) -> (Result<StreamSeen, String>, Option<f64>, bool) {
        let subject = format!("$JS.API.STREAM.INFO.{stream}");
        let asked = (clock.now(), Instant::now());
        let answer = match timeout(ANSWER, self.client.request(subject, "".into())).await {
            Err(_) => return (Err(format!("no answer within {} ms", ANSWER.as_millis())), None, false),
            Ok(Err(e)) => return (Err(e.to_string()), None, false),
            Ok(Ok(answer)) => answer,
        };
        let took = asked.1.elapsed();
        let Ok(answer) = serde_json::from_slice::<Answer>(&answer.payload) else {
            return (Err("the server's answer cannot be read".into()), None, false);
        };
        // The server wrote its answer about half-way between our request and its arrival here.
        let ahead = answer.ts.as_ref().and_then(|ts| OffsetDateTime::parse(ts, &Rfc3339).ok());
        let ahead = ahead.map(|theirs| (theirs - (asked.0.datetime() + took / 2)).as_seconds_f64());
        let lacks_some = answer.state.as_ref().is_some_and(|state| state.messages < state.last_seq);
        (answer.seen(), ahead, lacks_some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(answer: &str) -> Result<StreamSeen, String> {
        serde_json::from_str::<Answer>(answer).expect("JSON").seen()
    }

    fn sound() -> StreamSeen {
        StreamSeen {
            last: Position(3),
            full: None,
            wanted: 1,
            current: 1,
            behind: vec![],
            has_majority: true,
            consumers: 0,
            hole: None,
        }
    }

    #[test]
    fn an_answer_tells_how_full_a_stream_is_and_where_its_copies_are() {
        let alone = r#"{"config":{"max_bytes":1000,"max_msgs":-1,"num_replicas":1},
            "state":{"messages":3,"bytes":950,"last_seq":3},"cluster":{"leader":"a"},"ts":"2026-11-27T20:00:00Z"}"#;
        assert_eq!(seen(alone), Ok(StreamSeen { full: Some(0.95), ..sound() }));

        let three = r#"{"config":{"max_bytes":-1,"max_msgs":-1,"num_replicas":3},
            "state":{"messages":3,"bytes":950,"last_seq":3},"cluster":{"leader":"a","replicas":[
            {"name":"b","current":true,"active":1,"lag":5},{"name":"c","current":false,"offline":true}]}}"#;
        let three = seen(three).expect("it has a leader");
        assert_eq!((three.full, three.wanted, three.current, three.has_majority), (None, 3, 2, true));
        assert_eq!(three.behind, ["c is offline"]);

        let none = r#"{"config":{"num_replicas":3},"state":{"messages":0,"bytes":0,"last_seq":0},
            "cluster":{"replicas":[]}}"#;
        assert_eq!(seen(none), Err("it has no leader".into()));
        let refused = r#"{"error":{"code":503,"err_code":10008,"description":"JetStream system temporarily unavailable"}}"#;
        assert_eq!(seen(refused), Err("JetStream system temporarily unavailable".into()));
    }

    #[test]
    fn a_server_answers_unless_it_is_cut_off_or_silent() {
        let leads = |has_majority| Ok(StreamSeen { has_majority, ..sound() });
        let silent = || Err("there is no answer".to_owned());
        for (streams, has_quorum, expected) in [
            (vec![leads(true)], true, true),
            (vec![silent(), leads(true)], false, true),
            // It is about to get a leader.
            (vec![silent()], true, true),
            (vec![silent(), silent()], false, false),
            // The server was the leader of everything, and does not know yet that it no longer is.
            (vec![leads(false)], true, false),
            (vec![leads(false), leads(true)], true, true),
        ] {
            assert_eq!(answers(streams.iter(), has_quorum), expected, "{streams:?}");
        }
    }
}
