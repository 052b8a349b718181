//! One attempt to deliver an event.

use std::time::Duration;

use bytes::Bytes;
use time::{OffsetDateTime, format_description::well_known::Rfc2822};
use tokio::time::Instant;

use crate::{
    domain::{ReplayId, Time},
    outbound::{Answer, Bounds, Failed},
    webhooks::{breaker::Fault, endpoint::Endpoint, sender::Sender},
};

/// How long a receiver may take, and how much of its answer is kept.
const BOUNDS: Bounds = Bounds { within: Duration::from_secs(15), bytes: 1_024 };
/// The longest pause that a receiver can ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(3_600);

/// A request to a receiver.
pub(super) struct Request {
    /// The id of the event, the same at every attempt.
    pub(super) id: String,
    pub(super) body: Bytes,
    /// The number of the attempt, from 1.
    pub(super) attempt: u32,
    pub(super) replay: Option<ReplayId>,
    /// How many events of the conversation were parked since one was last taken.
    pub(super) parked: u32,
}

/// The outcome of an attempt.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// When it began.
    pub at: Time,
    /// How long it took.
    pub took_ms: u32,
    /// The status of the answer.
    pub status: Option<u16>,
    /// Why the attempt failed.
    pub error: Option<&'static str>,
    /// The beginning of the answer.
    pub response: String,
    pub(super) fault: Option<Fault>,
    pub(super) pause: Option<Duration>,
    pub(super) is_gone: bool,
}

/// Sends a request and waits for its answer.
pub(super) async fn deliver(sender: &Sender, endpoint: &Endpoint, request: Request) -> Outcome {
    let Request { id, body, attempt, replay, parked } = request;
    let (at, begun) = (sender.clock.now(), Instant::now());
    let (seconds, attempt) = (at.unix_seconds().to_string(), attempt.to_string());
    let signature = endpoint.sign(&id, at, &body);
    let (replay, parked) =
        (replay.map(|replay| replay.to_string()), (parked > 0).then(|| parked.to_string()));
    let mut headers = vec![
        ("content-type", "application/cloudevents+json"),
        ("webhook-id", &*id),
        ("webhook-timestamp", &*seconds),
        ("webhook-signature", &*signature),
        ("verbatim-attempt", &*attempt),
    ];
    headers.extend(replay.as_deref().map(|replay| ("verbatim-replay", replay)));
    headers.extend(parked.as_deref().map(|parked| ("verbatim-parked", parked)));
    headers.extend(endpoint.headers.iter().map(|(name, value)| (&**name, &**value)));
    let answer = sender.outbound.post(&endpoint.target, &headers, body, BOUNDS).await;
    let took_ms = begun.elapsed().as_millis().try_into().unwrap_or(u32::MAX);
    let now = sender.clock.now();
    let outcome = |error, fault| Outcome {
        at,
        took_ms,
        status: None,
        error: Some(error),
        response: String::new(),
        fault: Some(fault),
        pause: None,
        is_gone: false,
    };
    match answer {
        Ok(answer) => answered(at, took_ms, &answer, now),
        Err(Failed::AddressNotAllowed) => outcome("address_not_allowed", Fault::Connection),
        Err(Failed::NotConnected(why)) => {
            tracing::debug!(webhook = %endpoint.id, why, "no connection to a webhook");
            outcome("not_connected", Fault::Connection)
        }
        Err(Failed::TooSlow(_)) => outcome("timeout", Fault::Server),
        Err(Failed::TooLarge(_) | Failed::Broken(_)) => outcome("broken_answer", Fault::Server),
    }
}

fn answered(at: Time, took_ms: u32, answer: &Answer, now: Time) -> Outcome {
    let status = answer.status;
    let (error, fault) = match status {
        200..=299 => (None, None),
        300..=399 => (Some("redirect"), Some(Fault::Refused)),
        500.. => (Some("http_status"), Some(Fault::Server)),
        _ => (Some("http_status"), Some(Fault::Refused)),
    };
    let asked = answer.header("retry-after").filter(|_| [429, 503].contains(&status));
    // Postgres accepts no NUL in a text.
    let response = String::from_utf8_lossy(&answer.body).replace('\0', "\u{fffd}");
    Outcome {
        at,
        took_ms,
        status: Some(status),
        error,
        response: cut(response),
        fault,
        pause: asked.and_then(|text| wait(text, now)),
        is_gone: status == 410,
    }
}

/// Cuts the text to the bytes that are kept, because replacing bytes that are not text makes it longer.
fn cut(mut text: String) -> String {
    let end = (0..=BOUNDS.bytes.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.truncate(end.unwrap_or_default());
    text
}

/// The wait that `Retry-After` asks for: seconds, or a date.
fn wait(text: &str, now: Time) -> Option<Duration> {
    let text = text.trim();
    let seconds = text.parse().ok().map(Duration::from_secs);
    let until = || Some(Time::of(OffsetDateTime::parse(text, &Rfc2822).ok()?).since(now));
    seconds.or_else(until).map(|wait| wait.min(LONGEST_PAUSE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_read_in_both_forms_and_is_an_hour_at_most() {
        let now: Time = "2026-11-24T13:10:00Z".parse().expect("a time");
        let wait = |text| wait(text, now).map(|wait| wait.as_secs());
        assert_eq!(wait("120"), Some(120));
        assert_eq!(wait("86400"), Some(3_600));
        assert_eq!(wait("Tue, 24 Nov 2026 13:12:00 GMT"), Some(120));
        assert_eq!(wait("Tue, 24 Nov 2026 13:00:00 GMT"), Some(0));
        for text in ["", "-1", "soon", "1.5"] {
            assert_eq!(wait(text), None, "{text}");
        }
    }

    #[test]
    fn the_answer_is_kept_as_text_of_at_most_1_kib() {
        assert_eq!(cut("é".repeat(600)).len(), 1_024);
        assert_eq!(cut(String::from_utf8_lossy(&[0xff; 1_024]).into_owned()).len(), 1_023);
        assert_eq!(cut("ok".into()), "ok");
    }
}
