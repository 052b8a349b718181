//! The accept loop, and one connection.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::{
    body::{Body as _, Incoming},
    server::conn::http1,
    service::service_fn,
    upgrade::OnUpgrade,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use poem::{
    Body, Endpoint, Request, RequestParts, Response,
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header, uri::Scheme},
    web::{LocalAddr, RemoteAddr},
};
use tokio::{
    net::{TcpListener, TcpStream},
    select,
    sync::Semaphore,
    task::yield_now,
    time::{Instant, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, warn};

use crate::{
    listen::{
        client_address::ClientAddress,
        head::Fault,
        newcomers::{InLine, Newcomers},
        parting::part,
        patient::Patient,
        refusals::Refusals,
        requests::{Most, REFUSED, Requests, asks_for_socket},
        settings::Settings,
        stream::Stream,
        upgrade::Upgrade,
    },
    problems::{Problem, RequestId},
    telemetry::REQUESTS,
};

/// How long a browser connects only over TLS after a visit (HSTS).
const A_YEAR: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// How long the loop pauses when `accept` fails, for example because the process has no file descriptor left.
const PAUSE: Duration = Duration::from_millis(100);

/// The number of connections that are accepted in one turn of the loop. Existing connections get their turns in
/// between: when 10,000 sockets came back at once and the loop accepted all that came, another user's message took up
/// to 400 ms. Later connections wait in the kernel's backlog meanwhile.
const AT_ONCE: usize = 8;

/// Serves `endpoint` on `listener` until `stop`, then returns at once. The connections end by themselves within the
/// limit `stop_within`, and `tracker` becomes empty with the last one.
pub async fn serve<E: Endpoint + 'static>(
    listener: TcpListener,
    endpoint: E,
    settings: Settings,
    stop: CancellationToken,
    tracker: &TaskTracker,
) {
    let room = Arc::new(Semaphore::new(settings.limits.connections));
    let newcomers = Newcomers::new(settings.limits.newcomers);
    let door = Arc::new(Door { endpoint, settings, refusals: Refusals::default(), stop });
    let mut pausing = false;
    for number in 1_usize.. {
        if number.is_multiple_of(AT_ONCE) {
            yield_now().await;
        }
        let accepted = select! {
            biased;
            () = door.stop.cancelled() => return,
            accepted = next(&listener, &room) => accepted,
        };
        match accepted {
            Ok((stream, peer, place)) => {
                pausing = false;
                let address = peer.ip().to_canonical();
                let in_line = match door.settings.proxies.contain(address) {
                    true => None,
                    false => match newcomers.enter(address) {
                        Some(in_line) => Some(in_line),
                        None => continue,
                    },
                };
                let door = Arc::clone(&door);
                tracker.spawn(async move {
                    let conversing = door.converse(stream, peer, in_line.clone());
                    select! {
                        () = conversing => {}
                        () = makes_room(in_line.as_deref()) => debug!("closed a connection to make room for a newer one"),
                    }
                    drop(place);
                });
            }
            Err(error) if is_of_one_connection(&error) => {
                debug!(%error, "a connection ended before it was accepted");
            }
            Err(error) => {
                if !pausing {
                    warn!(%error, "could not accept connections; retrying every {PAUSE:?}");
                }
                pausing = true;
                select! {
                    () = door.stop.cancelled() => return,
                    () = sleep(PAUSE) => {}
                }
            }
        }
    }
}

type Accepted = (TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit);

async fn next(listener: &TcpListener, room: &Arc<Semaphore>) -> io::Result<Accepted> {
    let place = Arc::clone(room).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, place))
}

async fn makes_room(in_line: Option<&InLine>) {
    match in_line {
        Some(in_line) => in_line.makes_room().await,
        None => std::future::pending().await,
    }
}

/// Whether the error affects only one connection, so that the next `accept` can succeed.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// The properties of a connection that each of its requests needs.
#[derive(Clone)]
struct Facts {
    local: SocketAddr,
    peer: SocketAddr,
    scheme: Scheme,
    /// The place in the line of the address. A connection of a trusted proxy has none.
    in_line: Option<Arc<InLine>>,
}

struct Door<E> {
    endpoint: E,
    settings: Settings,
    refusals: Refusals,
    stop: CancellationToken,
}

impl<E: Endpoint + 'static> Door<E> {
    async fn converse(self: Arc<Self>, stream: TcpStream, peer: SocketAddr, in_line: Option<Arc<InLine>>) {
        let (Ok(()), Ok(local)) = (stream.set_nodelay(true), stream.local_addr()) else { return };
        let limits = &self.settings.limits;
        let Some(stream) = self.open(stream).await else { return };
        let scheme = if stream.is_secured() { Scheme::HTTPS } else { Scheme::HTTP };
        let facts = Facts { local, peer, scheme, in_line };
        // Heads somewhat above our own limits are read, so that the response can explain the refusal.
        let head = 2 * (limits.uri + limits.headers);
        let refused = Arc::<OnceLock<Fault>>::default();
        let answer = service_fn(|request| {
            let (door, facts) = (Arc::clone(&self), facts.clone());
            let refused = Arc::clone(&refused);
            async move {
                let answer = door.answer(request, refused.get().copied(), facts).await;
                Ok::<hyper::Response<_>, Infallible>(answer.into())
            }
        });
        let most = Most { bytes: head, fields: limits.header_lines };
        let patient = Patient::of(stream, limits.write_within);
        let io = Requests::of(patient, most, Arc::clone(&refused));
        let mut connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head_within)
            .max_headers(limits.header_lines)
            .max_header_size(head)
            .max_buf_size(head.max(64 * 1024))
            .serve_connection(TokioIo::new(io), answer)
            .with_upgrades();
        let ended = select! {
            ended = &mut connection => ended,
            () = self.stop.cancelled() => {
                Pin::new(&mut connection).graceful_shutdown();
                let Ok(ended) = timeout(limits.stop_within, &mut connection).await else { return };
                ended
            }
        };
        if let Err(error) = ended {
            debug!(%error, "a connection ended early");
        }
        if let Some(parts) = connection.into_parts() {
            part(parts.io.into_inner().into_inner().0.stream).await;
        }
    }

    /// The connection after the TLS handshake, or unchanged if the listener has no TLS.
    async fn open(&self, stream: TcpStream) -> Option<Stream> {
        let Some(tls) = &self.settings.tls else { return Some(Stream::Plain(stream)) };
        select! {
            opened = tls.open(stream, self.settings.limits.handshake_within) => opened,
            () = self.stop.cancelled() => None,
        }
    }

    /// Answers a request. `refused` is the fault of the last request on this connection, if any.
    async fn answer(
        &self,
        request: hyper::Request<Incoming>,
        refused: Option<Fault>,
        facts: Facts,
    ) -> Response {
        let page =
            self.settings.origins.as_ref().and_then(|origins| origins.of(request.uri(), request.headers()));
        let is_secured = facts.scheme == Scheme::HTTPS;
        let mut answer = match page {
            Some(Err(stranger)) => stranger,
            Some(Ok(page)) if page.only_asks(request.method(), request.headers()) => page.may(),
            Some(Ok(page)) => page.reads(self.serve(request, refused, facts).await),
            None => self.serve(request, refused, facts).await,
        };
        if is_secured {
            answer.headers_mut().insert(header::STRICT_TRANSPORT_SECURITY, A_YEAR);
        }
        answer
    }

    async fn serve(
        &self,
        request: hyper::Request<Incoming>,
        refused: Option<Fault>,
        facts: Facts,
    ) -> Response {
        let begun = Instant::now();
        let (mut parts, body) = request.into_parts();
        let judged = match refused.filter(|_| parts.method.as_str() == REFUSED) {
            Some(fault) => {
                let (status, code, detail) = fault.row();
                Err(Problem::new(status, code, detail))
            }
            None => self.judge(&parts.method, &parts.uri, &parts.headers, body).await,
        };
        let body = match judged {
            Ok(body) => body,
            Err(problem) => {
                let id = RequestId::of(&parts.headers);
                let (status, took) = (problem.status.as_u16(), begun.elapsed());
                // No layer of the endpoint counts and logs this request.
                REQUESTS.note("none", status, took);
                debug!(request_id = %id, status, duration_ms = took.as_secs_f64() * 1_000.0, "refused");
                return closing(problem.answer(id));
            }
        };
        // The bytes after a request for a socket are not HTTP, or cannot be told apart from it.
        let asks_for_socket = asks_for_socket(&parts.headers);
        if let Some(upgrade) = parts.extensions.remove::<OnUpgrade>() {
            parts.extensions.insert(Upgrade(upgrade));
        }
        let Facts { local, peer, scheme, in_line } = facts;
        let client = ClientAddress::told(peer, &parts.headers, &self.settings.proxies);
        parts.extensions.insert(client);
        if let Some(in_line) = &in_line {
            parts.extensions.insert(in_line.clone());
        }
        let parts = RequestParts::from((parts, LocalAddr(local.into()), RemoteAddr(peer.into()), scheme));
        let request = Request::from_parts(parts, Body::from_bytes(body));
        let answering = self.unhurried(client, request);
        let answer = match in_line {
            Some(in_line) => in_line.during(answering).await,
            None => answering.await,
        };
        let is_refused = asks_for_socket && answer.status() != StatusCode::SWITCHING_PROTOCOLS;
        if is_refused { closing(answer) } else { answer }
    }

    /// The response of the endpoint. A refusal for too many requests waits in the queue of its client, and the
    /// connection waits with it.
    async fn unhurried(&self, ClientAddress(client): ClientAddress, request: Request) -> Response {
        let answer = self.endpoint.get_response(request).await;
        if answer.status() == StatusCode::TOO_MANY_REQUESTS {
            let wait = self.refusals.wait(client, Instant::now());
            if !wait.is_zero() {
                select! {
                    () = self.stop.cancelled() => {}
                    () = sleep(wait) => {}
                }
            }
        }
        answer
    }

    /// Reads the whole body of a request within the limits, or returns the refusal.
    async fn judge(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        body: Incoming,
    ) -> Result<Bytes, Problem> {
        let limits = &self.settings.limits;
        if [Method::TRACE, Method::CONNECT].contains(method) {
            let detail = format!(
                "The server does not support the method {method}: use GET, POST, PUT, PATCH or DELETE."
            );
            let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail);
            let allowed = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
            return Err(problem.with(header::ALLOW, allowed));
        }
        if uri.path_and_query().map_or(0, |target| target.as_str().len()) > limits.uri {
            let detail =
                format!("The request target is longer than {} bytes: send a shorter one.", limits.uri);
            return Err(Problem::new(StatusCode::URI_TOO_LONG, "uri_too_long", detail));
        }
        if headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>()
            > limits.headers
        {
            let detail =
                format!("The headers are longer than {} bytes: send fewer or shorter ones.", limits.headers);
            return Err(Problem::new(
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "headers_too_large",
                detail,
            ));
        }
        if body.size_hint().lower() > limits.body as u64 {
            return Err(Problem::too_large(limits.body));
        }
        match timeout(limits.body_within, Limited::new(body, limits.body).collect()).await {
            Ok(Ok(whole)) => Ok(whole.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Problem::too_large(limits.body)),
            Ok(Err(_)) => {
                let detail = "The body is incomplete, or its chunks are malformed: send the request again.";
                Err(Problem::new(StatusCode::BAD_REQUEST, "bad_body", detail))
            }
            Err(_) => {
                let detail =
                    format!("The body took longer than {:?} to arrive: send it faster.", limits.body_within);
                Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "body_too_slow", detail))
            }
        }
    }
}

/// Marks the response as the last one on its connection.
fn closing(mut answer: Response) -> Response {
    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    answer
}

#[cfg(test)]
mod tests;
