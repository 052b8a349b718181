//! The reading half of a socket. One task awaits [`Incoming::next`]; the same task also writes the backlog. No read
//! buffer exists while the client is silent.

use std::{io, net::Shutdown, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{
    io::Interest,
    select,
    task::coop::consume_budget,
    time::{Instant, sleep, timeout_at},
};
use tracing::debug;

use crate::{
    gateway::wire::{
        budget::{Budget, Came},
        close::Close,
        limits::SocketLimits,
        socket::{Phase, Socket},
        websocket::{self, Parser, WireMessage},
    },
    listen::Link,
};

/// An event from a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A text message.
    Text(String),
    /// The connection has ended, so the session leaves the hub. Carries the server's reason for the close, if there is
    /// one.
    Gone(Option<Close>),
}

/// The pause between two reads, of 8 KiB each, from a client whose bytes are no longer parsed.
const PAUSE: Duration = Duration::from_millis(1);

/// Reads one socket. Owned by the socket's task.
pub struct Incoming {
    socket: Arc<Socket>,
    parser: Parser,
    budget: Budget,
    /// Whether the last read found no more bytes.
    is_all_read: bool,
    /// Bytes that have been read but not parsed yet, because more than one message arrived at once.
    rest: Bytes,
    /// Whether the client has sent its close frame.
    heard_close: bool,
    /// Whether the client broke the protocol or sent too much. Its further bytes are read but not parsed.
    is_deaf: bool,
}

impl Socket {
    /// Takes over a connection after its upgrade. `early` holds the bytes that the client has already sent.
    pub fn open(link: impl Into<Link>, early: Bytes, limits: SocketLimits) -> (Arc<Self>, Incoming) {
        let socket = Arc::new(Self::new(link.into(), limits));
        (socket.clone(), Incoming::new(socket, early))
    }
}

impl Incoming {
    fn new(socket: Arc<Socket>, early: Bytes) -> Self {
        let parser = Parser::new(socket.limits.message);
        let budget = Budget::new(Instant::now());
        let (is_all_read, heard_close, is_deaf) = (false, false, false);
        Self { socket, parser, budget, is_all_read, rest: early, heard_close, is_deaf }
    }

    /// Waits for the next message, and answers pings on the way. No other event follows [`Event::Gone`]. The future is
    /// cancel safe: dropping it loses nothing.
    ///
    /// Each iteration of the loop, here and in `linger`, uses up part of the task's budget in tokio, so that a client
    /// that never stops sending does not starve other tasks. Without that, nothing in the loop would ever wait, no
    /// deadline around the loop would fire, and the thread that runs the loop may be the one that has to look after all
    /// other sockets.
    ///
    /// A caller that works on a message for a long time does the work in [`Socket::during`], so that the backlog is
    /// written meanwhile.
    pub async fn next(&mut self) -> Event {
        while self.socket.is_open() {
            consume_budget().await;
            if !self.rest.is_empty() {
                if let Some(event) = self.parse_rest() {
                    return event;
                }
                continue;
            }
            let interest = self.interest(self.socket.flush());
            select! {
                biased;
                () = self.socket.wake.notified() => {}
                ready = self.socket.stream.ready(interest) => match ready {
                    Ok(ready) if ready.is_readable() => {
                        if let Some(event) = self.read() {
                            return event;
                        }
                    }
                    Ok(_) => {}
                    Err(_) => self.socket.end(),
                }
            }
        }
        let said = match self.socket.phase() {
            Phase::Closing(said, since) => {
                // Boxed, so that an open socket needs no memory for its closing.
                let _ = timeout_at(since + self.socket.limits.linger, Box::pin(self.linger())).await;
                Some(said)
            }
            Phase::Gone(said) => said,
            Phase::Open => None,
        };
        self.socket.end();
        Event::Gone(said)
    }

    /// Writes the backlog and keeps reading until the client has closed too.
    async fn linger(&mut self) {
        let mut has_ended = false;
        loop {
            consume_budget().await;
            let is_flushed = self.socket.flush();
            if matches!(self.socket.phase(), Phase::Gone(_)) || (is_flushed && self.heard_close) {
                return;
            }
            if is_flushed && self.is_deaf && !has_ended {
                // The client's close frame can no longer be parsed, but the end of its stream can be seen.
                self.socket.shut_down(Shutdown::Write);
                has_ended = true;
            }
            match self.socket.stream.ready(self.interest(is_flushed)).await {
                Ok(ready) if ready.is_readable() => {
                    self.read();
                    while !self.rest.is_empty() {
                        self.parse_rest();
                    }
                    if self.is_deaf {
                        sleep(PAUSE).await;
                    }
                }
                Ok(_) => {}
                Err(_) => return,
            }
        }
    }

    fn interest(&self, is_flushed: bool) -> Interest {
        if is_flushed { Interest::READABLE } else { Interest::READABLE | Interest::WRITABLE }
    }

    /// Reads once, into a buffer that lives only for this call.
    fn read(&mut self) -> Option<Event> {
        let mut buffer = [0; 8 * 1024];
        match self.socket.read(&mut buffer) {
            Ok(None) => self.socket.end(),
            Ok(_) if self.is_deaf => {}
            Ok(Some(came)) => {
                if std::mem::take(&mut self.is_all_read) {
                    self.budget.is_read_up_to(Instant::now());
                }
                let mut input = &came[..];
                let event = self.parse(&mut input);
                self.rest = Bytes::copy_from_slice(input);
                return event;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.is_all_read = true,
            Err(_) => self.socket.end(),
        }
        None
    }

    fn parse_rest(&mut self) -> Option<Event> {
        let rest = std::mem::take(&mut self.rest);
        let mut input = &rest[..];
        let event = self.parse(&mut input);
        self.rest = rest.slice(rest.len() - input.len()..);
        event
    }

    /// The next text in `input`. If there is none, the caller keeps parsing until `input` is used up.
    fn parse(&mut self, input: &mut &[u8]) -> Option<Event> {
        let (bytes, frames) = (input.len(), self.parser.frames());
        let parsed = self.parser.next(input);
        self.socket.hearing.note_unfinished(self.parser.is_within_message());
        let came = Came {
            frames: self.parser.frames().wrapping_sub(frames),
            bytes: (bytes - input.len()) as u32,
            control: u32::from(matches!(parsed, Ok(Some(WireMessage::Ping(_) | WireMessage::Pong)))),
        };
        if !self.budget.takes(came, Instant::now()) {
            debug!("a client exceeded the frame limits");
            self.hear_no_more(input, Close::RATE_LIMITED);
            return None;
        }
        if let Ok(Some(_)) = parsed {
            self.socket.hearing.note_heard();
        }
        match parsed {
            Ok(None | Some(WireMessage::Pong)) => None,
            Ok(Some(WireMessage::Text(text))) => Some(Event::Text(text)),
            Ok(Some(WireMessage::Ping(payload))) => {
                self.socket.send(&websocket::pong(&payload));
                None
            }
            Ok(Some(WireMessage::Close(_))) => {
                *input = &[];
                self.heard_close = true;
                self.socket.close(Close::BYE);
                None
            }
            Err(violation) => {
                debug!(%violation, "a client broke the protocol");
                self.hear_no_more(input, violation.into());
                None
            }
        }
    }

    fn hear_no_more(&mut self, input: &mut &[u8], why: Close) {
        *input = &[];
        self.is_deaf = true;
        self.socket.close(why);
    }
}
