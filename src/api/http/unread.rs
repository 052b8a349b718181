//! Bounds the responses that clients have not read yet. A client that sends requests without reading the
//! responses leaves them in the memory of this node. So the bytes of unread responses are limited, for each
//! account and in total, and so is the time that a client has to read a response.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::stream;
use poem::{Body, IntoResponse as _, Response, http::header};
use tokio::time::Instant;

use crate::{domain::UserId, problems::Problem, telemetry::METRICS};

/// Responses up to this size are not counted: such a response fits into the buffers of its connection, and
/// the number of connections is limited.
const SMALL: usize = 16 * 1024;
/// The maximum number of bytes of unread responses to one account. A single response may be larger.
const OF_ONE: usize = 16 << 20;
/// The maximum number of bytes of all unread responses.
const OF_ALL: usize = 128 << 20;
/// The time that a client has to read any response.
const READ_WITHIN: Duration = Duration::from_secs(30);
/// The number of bytes of a response for which the client gets one more second.
const PER_SECOND: usize = 32 * 1024;
/// The number of bytes that are handed to the connection at a time.
const PIECE: usize = 64 * 1024;
/// How long a client waits before it retries a refused request.
const AGAIN: Duration = Duration::from_secs(1);

/// The counts of unread bytes. Clones are cheap and share the counts.
#[derive(Clone, Default)]
pub(in crate::api) struct Unread(Arc<Mutex<Counts>>);

#[derive(Default)]
struct Counts {
    all: usize,
    each: HashMap<UserId, usize>,
}

/// The counted bytes of one response. Dropping this value subtracts them from the counts.
struct Share {
    of: Unread,
    user: UserId,
    bytes: usize,
}

impl Unread {
    /// Counts a response to `user` until it is read. If there is no room for it, returns a short refusal
    /// instead.
    pub(in crate::api) async fn count(&self, user: UserId, mut answer: Response) -> Response {
        // An event stream does not end, and has a bound of its own.
        if answer.content_type().is_some_and(|kind| kind.starts_with("text/event-stream")) {
            return answer;
        }
        let Ok(body) = answer.take_body().into_bytes().await else {
            return Problem::internal().into_response();
        };
        if body.len() <= SMALL {
            answer.set_body(body);
            return answer;
        }
        match self.share(user, body.len()) {
            Ok(share) => {
                answer.headers_mut().insert(header::CONTENT_LENGTH, body.len().into());
                answer.set_body(piecewise(body, share));
                answer
            }
            Err(problem) => problem.into_response(),
        }
    }

    fn share(&self, user: UserId, bytes: usize) -> Result<Share, Problem> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = counts.each.get(&user).copied().unwrap_or(0);
        if own > 0 && own + bytes > OF_ONE {
            let detail = "Too many responses to you are unread: read them, or close their connections.";
            return Err(Problem::too_many("answers_unread", detail, AGAIN));
        }
        if counts.all > 0 && counts.all + bytes > OF_ALL {
            let detail =
                "This node has no room for a response of this size: ask for less, or try again in a moment.";
            return Err(Problem::unavailable("at_capacity", detail, AGAIN));
        }
        counts.all += bytes;
        counts.each.insert(user, own + bytes);
        METRICS.unread.set(i64::try_from(counts.all).unwrap_or(i64::MAX));
        Ok(Share { of: self.clone(), user, bytes })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut counts = self.of.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.all -= self.bytes;
        match counts.each.get_mut(&self.user) {
            Some(own) if *own > self.bytes => *own -= self.bytes,
            _ => drop(counts.each.remove(&self.user)),
        }
        METRICS.unread.set(i64::try_from(counts.all).unwrap_or(i64::MAX));
    }
}

/// A body that is sent in pieces and aborted if the client does not read it in time. If the client reads
/// nothing at all, no further piece is requested, and the connection itself detects that.
fn piecewise(body: Bytes, share: Share) -> Body {
    let until = Instant::now() + READ_WITHIN + Duration::from_secs((body.len() / PER_SECOND) as u64);
    Body::from_bytes_stream(stream::unfold((body, share), move |(mut rest, share)| async move {
        if rest.is_empty() {
            return None;
        }
        let piece = match Instant::now() < until {
            true => Ok(rest.split_to(rest.len().min(PIECE))),
            false => Err(io::Error::from(io::ErrorKind::TimedOut)),
        };
        Some((piece, (rest, share)))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{api::http::examples, clock::Clock};
    use poem::http::StatusCode;

    fn answer(bytes: usize) -> Response {
        Response::builder().content_type("application/json").body(vec![b'x'; bytes])
    }

    #[tokio::test(start_paused = true)]
    async fn answers_are_counted_for_each_account_and_in_all_until_they_are_read() {
        let (unread, ana) = (Unread::default(), examples::ana());
        let vast = unread.count(ana, answer(OF_ONE + 1)).await;
        assert_eq!(
            vast.header("content-length"),
            Some(&*(OF_ONE + 1).to_string()),
            "one alone may be larger"
        );
        let refused = unread.count(ana, answer(SMALL + 1)).await;
        assert_eq!(
            (refused.status(), refused.header("retry-after")),
            (StatusCode::TOO_MANY_REQUESTS, Some("1"))
        );
        assert_eq!(
            unread.count(ana, answer(SMALL)).await.status(),
            StatusCode::OK,
            "a small one is not counted"
        );

        let clock = Clock::system();
        let mut others = Vec::new();
        while unread.0.lock().expect("counts").all + OF_ONE <= OF_ALL {
            others.push(unread.count(clock.id(UserId::known), answer(OF_ONE)).await);
        }
        assert_eq!(others.len(), OF_ALL / OF_ONE - 2, "beside the vast one");
        let refused = unread.count(clock.id(UserId::known), answer(OF_ONE)).await;
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);

        assert_eq!(vast.into_body().into_bytes().await.expect("a body").len(), OF_ONE + 1);
        assert_eq!(unread.count(ana, answer(SMALL + 1)).await.status(), StatusCode::OK, "it has been read");
        drop(others);
        assert_eq!(unread.0.lock().expect("counts").all, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_not_read_in_time_breaks_off() {
        use futures_util::StreamExt as _;
        let unread = Unread::default();
        let answer = unread.count(examples::ana(), answer(10 * PIECE)).await;
        let mut pieces = Box::pin(answer.into_body().into_bytes_stream());
        assert_eq!(pieces.next().await.expect("one").expect("a piece").len(), PIECE);
        tokio::time::advance(READ_WITHIN + Duration::from_secs(19)).await;
        assert!(pieces.next().await.expect("one").is_ok(), "a slow reader gets on");
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(pieces.next().await.expect("one").is_err());
    }
}
