//! Serves commands: each request gets one reply, and none waits in a queue.

use std::{sync::Arc, time::Duration};

use poem::{
    Endpoint, Response,
    endpoint::BoxEndpoint,
    http::{HeaderValue, header},
};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    commands,
    reply::Reply,
    stops::{PULSE, Stops},
};
use crate::{
    access::{ON_BEHALF_OF, Vouched},
    credentials::{KeyId, NatsName},
    deadline::within,
    log::{CommandRequest, CommandRequests},
    problems::Problem,
    shares::{NoPlace, Shares, Sizes},
};

/// How many commands are answered at once. None waits for a place: a program over its limit gets 429
/// immediately, and a full node answers 503.
const AT_ONCE: Sizes = Sizes {
    of_node: 4_096,
    of_one: 256,
    waiting_of_one: 0,
    waiting: 0,
    patience: Duration::ZERO,
    longest_rest: Duration::ZERO,
};
/// The default deadline of a command, and the longest one.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);
pub(super) const LATEST: Duration = Duration::from_secs(30);
/// The header with the deadline, in milliseconds.
pub(super) const DEADLINE_HEADER: &str = "Verbatim-Deadline-Ms";
/// How long a program waits before it retries a command that found no place or was not answered in time.
const AGAIN: Duration = Duration::from_secs(1);
const LATE: &str =
    "The command was not answered in time: send the same command again, with the same client_id.";

/// The parts that answer commands. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Responder {
    endpoint: Arc<BoxEndpoint<'static, Response>>,
    places: Shares<KeyId>,
}

impl Responder {
    /// Answers commands by the operations of this endpoint.
    pub(crate) fn new(endpoint: Arc<BoxEndpoint<'static, Response>>) -> Self {
        Self { endpoint, places: Shares::new(AT_ONCE) }
    }

    /// Answers requests until `stop`. The commands that have begun by then are tracked in `under_way`, and
    /// are still answered.
    pub(crate) async fn serve(
        self,
        mut requests: CommandRequests,
        stop: CancellationToken,
        under_way: TaskTracker,
    ) {
        let mut pulse = interval(PULSE);
        pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stops = Stops::default();
        loop {
            let request = tokio::select! {
                // A stop has to be noted before the commands that came in the meantime are taken.
                biased;
                () = stop.cancelled() => return,
                due = pulse.tick() => {
                    stops.look(due, Instant::now());
                    continue;
                }
                request = requests.next() => request,
            };
            let Some(request) = request else { return };
            // A request without a reply subject is dropped, because its sender would never learn the outcome.
            if request.wants_a_reply() {
                under_way.spawn(self.clone().replies(request, stops.wait(Instant::now())));
            }
        }
    }

    async fn replies(self, request: CommandRequest, waited: Duration) {
        let reply = match self.answer(&request, waited).await {
            Ok(answer) => Reply::of(answer).await,
            Err(problem) => Reply::refusal(&problem).await,
        };
        if let Err(error) = request.reply(reply.headers(), reply.body.clone()).await {
            tracing::warn!(%error, "could not reply to a command");
        }
    }

    async fn answer(&self, request: &CommandRequest, waited: Duration) -> Result<Response, Problem> {
        let name = NatsName::parse(request.name()).ok_or_else(no_name)?;
        let _place = self.places.take(KeyId::of_name(&name)).await.map_err(no_place)?;
        let late = || Problem::unavailable("unavailable", LATE, AGAIN);
        let deadline = deadline(request.header(DEADLINE_HEADER))?;
        let deadline = deadline.checked_sub(waited).filter(|left| !left.is_zero()).ok_or_else(late)?;
        let mut asked = commands::request(request.command(), request.payload())?;
        // The operation treats a repeated or unreadable value as one of a request over HTTP.
        for value in request.header("traceparent").filter_map(|text| HeaderValue::from_str(text).ok()) {
            asked.headers_mut().append("traceparent", value);
        }
        for text in request.header(ON_BEHALF_OF) {
            let value = HeaderValue::from_bytes(text.as_bytes()).map_err(|_| no_user())?;
            asked.headers_mut().append(ON_BEHALF_OF, value);
        }
        // The security scheme of the operations requires a bearer token. Its text is not read, because nats-server
        // vouches for the name.
        asked.headers_mut().insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer nats"));
        asked.extensions_mut().insert(Vouched(name));
        within(deadline, self.endpoint.get_response(asked)).await.ok_or_else(late)
    }
}

fn no_name() -> Problem {
    let detail =
        "The subject has no NATS name: use verbatim.commands.<name>.<command>, with the name of a consumer.";
    Problem::unauthorized("invalid_key", detail)
}

fn no_place(lacking: NoPlace) -> Problem {
    match lacking {
        NoPlace::OfOne => {
            let detail =
                format!("{} commands of this name are in progress: wait for replies.", AT_ONCE.of_one);
            Problem::too_many("rate_limited", detail, AGAIN)
        }
        NoPlace::OfNode => {
            let detail = "This node has too many commands in progress: send the same command again.";
            Problem::unavailable("temporary_reduced_capacity", detail, AGAIN)
        }
    }
}

/// The refusal of a header that names a user with characters that HTTP cannot carry.
fn no_user() -> Problem {
    Problem::parameter("Verbatim-On-Behalf-Of", "invalid", "must be visible ASCII")
}

/// The time within which a command has to be answered.
fn deadline<'a>(mut header: impl Iterator<Item = &'a str>) -> Result<Duration, Problem> {
    let Some(text) = header.next() else { return Ok(DEADLINE) };
    if header.next().is_some() {
        return Err(Problem::parameter(DEADLINE_HEADER, "repeated_parameter", "must be sent only once"));
    }
    let within = text
        .parse()
        .ok()
        .map(Duration::from_millis)
        .filter(|wait| (1..=LATEST.as_millis()).contains(&wait.as_millis()));
    within.ok_or_else(|| {
        let expected = format!("must be a whole number of milliseconds, from 1 to {}", LATEST.as_millis());
        Problem::parameter(DEADLINE_HEADER, "invalid", expected)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_from_a_millisecond_to_half_a_minute() {
        let of = |values: &[&'static str]| deadline(values.iter().copied());
        assert_eq!(of(&[]).expect("the usual"), DEADLINE);
        assert_eq!(of(&["30000"]).expect("the latest"), LATEST);
        for wrong in ["0", "30001", "-1", "1s", "", "99999999999999999999"] {
            assert_eq!(of(&[wrong]).expect_err(wrong).code, "invalid_parameter");
        }
        assert_eq!(of(&["10", "10"]).expect_err("twice").errors[0].code, "repeated_parameter");
    }
}
