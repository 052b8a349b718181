//! The load: sockets that count the frames they receive, and reconnect when they are closed.

use std::{
    cell::RefCell,
    collections::HashMap,
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, LazyLock, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    net::TcpStream,
    sync::{Notify, Semaphore},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};

/// The time limit of waits.
const PATIENCE: Duration = Duration::from_secs(120);
/// When no presence frame has arrived for this long, all presence has been announced.
const QUIET: Duration = Duration::from_secs(1);
/// The mark before the time at the end of a message's text.
const STAMP: &[u8] = b"~@";

const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);

thread_local! {
    /// All sockets read into the same buffer, so that an idle socket has none.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; 256 * 1024]);
}

/// The time as the end of a text. Its length is constant.
pub fn stamp() -> String {
    format!("~@{:016x}", now())
}

fn now() -> u64 {
    BEGINNING.elapsed().as_nanos() as u64
}

/// The address to which sockets connect.
#[derive(Clone)]
pub struct Door {
    address: SocketAddr,
    tls: Option<TlsConnector>,
}

impl Door {
    /// A door that speaks TLS with a certificate for `localhost`.
    pub fn secured(address: SocketAddr, tls: TlsConnector) -> Self {
        Self { address, tls: Some(tls) }
    }
}

impl From<SocketAddr> for Door {
    fn from(address: SocketAddr) -> Self {
        Self { address, tls: None }
    }
}

/// The user who connects, and the cursor to resume from.
#[derive(Clone)]
pub struct Visit {
    pub token: Arc<str>,
    pub cursor: Option<String>,
}

/// When a message was sent, in nanoseconds, and how long after that a socket received it.
pub struct Heard {
    pub said: u64,
    pub after: Duration,
}

/// Counts over all sockets.
#[derive(Default)]
pub struct Counts {
    /// Sessions that have begun, and sessions that have caught up.
    pub ready: usize,
    pub caught_up: usize,
    /// Events. An event that a socket received twice counts once.
    pub events: u64,
    /// Presence frames.
    pub presence: u64,
    /// How many times a socket was closed or refused and reconnected.
    pub returned: usize,
    /// Bytes of the last event.
    pub frame: usize,
    pub heard: Vec<Heard>,
    /// The first cursor of each user, by token.
    pub cursors: HashMap<Arc<str>, String>,
}

/// Sockets that are open until this value is dropped.
pub struct Audience {
    all: Arc<All>,
    _sockets: JoinSet<()>,
}

#[derive(Default)]
struct All {
    counts: Mutex<Counts>,
    changed: Notify,
}

impl Audience {
    /// Connects all sockets, `at_once` at a time, and returns when every session has begun, or has caught up if it
    /// had a cursor.
    pub async fn connect(door: impl Into<Door>, visits: Vec<Visit>, at_once: usize) -> Self {
        let door = door.into();
        let (all, turns) = (Arc::<All>::default(), Arc::new(Semaphore::new(at_once)));
        let resuming = visits.iter().filter(|visit| visit.cursor.is_some()).count();
        let beginning = visits.len();
        let mut sockets = JoinSet::new();
        for visit in visits {
            sockets.spawn(stay(door.clone(), visit, all.clone(), turns.clone()));
        }
        let audience = Self { all, _sockets: sockets };
        audience.until(|counts| counts.ready >= beginning && counts.caught_up >= resuming).await;
        audience
    }

    pub fn counts(&self) -> MutexGuard<'_, Counts> {
        self.all.counts.lock().expect("counts")
    }

    /// Waits until a condition holds.
    pub async fn until(&self, is_so: impl Fn(&Counts) -> bool) {
        let wait = async {
            loop {
                let changed = self.all.changed.notified();
                if is_so(&self.counts()) {
                    return;
                }
                changed.await;
            }
        };
        if timeout(PATIENCE, wait).await.is_err() {
            let Counts { ready, caught_up, events, returned, .. } = *self.counts();
            panic!("missing: {ready} ready, {caught_up} caught up, {events} events, {returned} returned");
        }
    }

    /// Waits until presence no longer changes.
    pub async fn settle(&self) {
        let mut before = None;
        while before != Some(self.counts().presence) {
            before = Some(self.counts().presence);
            sleep(QUIET).await;
        }
    }

    /// Resets the counts of deliveries.
    pub fn forget(&self) {
        let mut counts = self.counts();
        (counts.events, counts.presence, counts.returned) = (0, 0, 0);
        counts.heard.clear();
    }
}

/// Runs one socket. Whenever it ends, it reconnects from its last cursor.
async fn stay(door: Door, mut visit: Visit, all: Arc<All>, turns: Arc<Semaphore>) {
    let mut last = 0;
    loop {
        let turn = turns.acquire().await.expect("never closed");
        let ended = session(&door, &mut visit, &mut last, &all, || drop(turn)).await;
        all.counts.lock().expect("counts").returned += 1;
        sleep(ended.unwrap_or(Duration::from_millis(100))).await;
    }
}

/// Runs one session. Returns the time after which to reconnect, if the server named one.
async fn session(
    door: &Door,
    visit: &mut Visit,
    last: &mut u64,
    all: &All,
    began: impl FnOnce(),
) -> io::Result<Duration> {
    let stream = TcpStream::connect(door.address).await?;
    stream.set_nodelay(true)?;
    // No closed socket may stay in TIME_WAIT, because tens of thousands are opened and closed on few ports.
    stream.set_zero_linger()?;
    let Some(tls) = &door.tls else { return talk(stream, visit, last, all, began).await };
    let name = ServerName::try_from("localhost").expect("a name");
    talk(tls.connect(name, stream).await?, visit, last, all, began).await
}

async fn talk(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    visit: &mut Visit,
    last: &mut u64,
    all: &All,
    began: impl FnOnce(),
) -> io::Result<Duration> {
    let request = format!(
        "GET /v1/ws HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
         Sec-WebSocket-Protocol: verbatim.v1\r\nAuthorization: Bearer {}\r\n\r\n",
        visit.token
    );
    stream.write_all(request.as_bytes()).await?;
    let mut unread = Vec::new();
    let end = loop {
        if let Some(at) = unread.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        read(&mut stream, &mut unread).await?;
    };
    if !unread.starts_with(b"HTTP/1.1 101") {
        return Err(io::Error::other("refused"));
    }
    unread.drain(..end);
    let hello = visit.cursor.as_ref().map_or_else(
        || r#"{"op":"hello"}"#.to_owned(),
        |cursor| format!(r#"{{"op":"hello","cursor":"{cursor}"}}"#),
    );
    stream.write_all(&masked(TEXT, hello.as_bytes())).await?;
    let mut began = Some(began);
    loop {
        let said = take(&mut unread, visit, last, all);
        if said.ping {
            stream.write_all(&masked(PONG, b"")).await?;
        }
        if said.has_begun
            && let Some(began) = began.take()
        {
            began();
        }
        all.changed.notify_waiters();
        if let Some(retry_after) = said.closed {
            return Ok(retry_after);
        }
        read(&mut stream, &mut unread).await?;
    }
}

/// The results of one read that are not counts.
#[derive(Default)]
struct Said {
    has_begun: bool,
    ping: bool,
    closed: Option<Duration>,
}

impl Said {
    fn text(&mut self, payload: &[u8], visit: &mut Visit, last: &mut u64, counts: &mut Counts) {
        let op = payload.strip_prefix(br#"{"op":""#).unwrap_or_default();
        if op.starts_with(b"event\"") {
            // Events of the floor have no position.
            let position = number(payload, br#""position":"#);
            if position.is_none_or(|position| position > *last) {
                *last = position.unwrap_or_default();
                counts.events += 1;
                counts.frame = payload.len();
                counts.heard.extend(heard(payload));
            }
        } else if op.starts_with(b"presence\"") {
            counts.presence += 1;
        } else if op.starts_with(b"error\"") && string(payload, br#""code":""#).as_deref() == Some("degraded")
        {
            // All sockets get this when the log is slow; it is no refusal of a request of this socket.
        } else if op.starts_with(b"reset\"") || op.starts_with(b"error\"") {
            panic!("a socket was told {}", String::from_utf8_lossy(payload));
        } else if let Some(cursor) = string(payload, br#""cursor":""#) {
            if op.starts_with(b"ready\"") {
                self.has_begun = true;
                counts.ready += 1;
                counts.cursors.entry(visit.token.clone()).or_insert_with(|| cursor.clone());
            }
            counts.caught_up += usize::from(op.starts_with(b"caught_up\""));
            // A visit that always begins afresh has no use for a cursor.
            visit.cursor = visit.cursor.is_some().then_some(cursor);
        }
    }
}

/// Takes all complete frames from the bytes read.
fn take(unread: &mut Vec<u8>, visit: &mut Visit, last: &mut u64, all: &All) -> Said {
    let (mut said, mut taken) = (Said::default(), 0);
    let mut counts = all.counts.lock().expect("counts");
    while let Some((code, payload, length)) = frame(&unread[taken..]) {
        taken += length;
        match code {
            TEXT => said.text(payload, visit, last, &mut counts),
            PING => said.ping = true,
            CLOSE => said.closed = Some(retry_after(payload)),
            _ => {}
        }
    }
    unread.drain(..taken);
    if unread.is_empty() {
        // An idle socket keeps no memory.
        *unread = Vec::new();
    }
    said
}

/// Reads once.
async fn read(stream: &mut (impl AsyncRead + Unpin), unread: &mut Vec<u8>) -> io::Result<()> {
    let before = unread.len();
    poll_fn(|context| {
        BUFFER.with_borrow_mut(|buffer| {
            let mut buffer = ReadBuf::new(buffer);
            let read = Pin::new(&mut *stream).poll_read(context, &mut buffer);
            unread.extend_from_slice(buffer.filled());
            read
        })
    })
    .await?;
    if unread.len() == before { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
}

/// The opcode and payload of the first frame, and its length in bytes.
fn frame(bytes: &[u8]) -> Option<(u8, &[u8], usize)> {
    let (header, length) = match *bytes {
        [_, 126, a, b, ..] => (4, u16::from_be_bytes([a, b]).into()),
        [_, 127, a, b, c, d, e, f, g, h, ..] => (10, u64::from_be_bytes([a, b, c, d, e, f, g, h])),
        [_, length @ ..=125, ..] => (2, length.into()),
        _ => return None,
    };
    let end = header + usize::try_from(length).expect("frames fit in memory");
    Some((bytes[0] & 0x0f, bytes.get(header..end)?, end))
}

/// A frame of a client, masked with zeros.
fn masked(code: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | code];
    match payload.len() {
        length @ ..=125 => frame.push(0x80 | length as u8),
        length => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&u16::try_from(length).expect("a short frame").to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

pub fn heard(payload: &[u8]) -> Option<Heard> {
    let at = payload.iter().rposition(|byte| *byte == STAMP[0])?;
    let stamp = payload[at..].strip_prefix(STAMP)?.get(..16)?;
    let said = u64::from_str_radix(std::str::from_utf8(stamp).ok()?, 16).ok()?;
    Some(Heard { said, after: Duration::from_nanos(now().saturating_sub(said)) })
}

fn after<'a>(payload: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let at = payload.windows(name.len()).position(|window| window == name)?;
    Some(&payload[at + name.len()..])
}

fn number(payload: &[u8], name: &[u8]) -> Option<u64> {
    // It is near the beginning, or not there at all.
    let digits = after(&payload[..payload.len().min(120)], name)?;
    let end = digits.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
    std::str::from_utf8(&digits[..end]).ok()?.parse().ok()
}

fn string(payload: &[u8], name: &[u8]) -> Option<String> {
    let text = after(payload, name)?;
    let end = text.iter().position(|byte| *byte == b'"')?;
    Some(String::from_utf8_lossy(&text[..end]).into_owned())
}

/// Parses the time from `code;retry_after_ms=N`.
fn retry_after(payload: &[u8]) -> Duration {
    let text = String::from_utf8_lossy(payload.get(2..).unwrap_or_default()).into_owned();
    let wait = text.split_once("retry_after_ms=").and_then(|(_, wait)| wait.parse().ok());
    Duration::from_millis(wait.unwrap_or(100))
}
