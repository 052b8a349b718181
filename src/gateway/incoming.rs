//! The reading half of a socket: one task awaits [`Incoming::next`]. It also writes what waits, and
//! it has no buffer while the client is silent.

use std::{io, net::Shutdown, sync::Arc};

use bytes::Bytes;
use tokio::{io::Interest, select, time::timeout_at};
use tracing::debug;

use super::{
    close::Close,
    socket::{Phase, Socket},
    websocket::{self, Message, Parser},
};

/// What comes from a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A text message.
    Text(String),
    /// A ping, which has been answered, or a pong: to be counted, for there may be too many.
    Control,
    /// The connection has ended: leave the hub. With what the server had said, if it said anything.
    Gone(Option<Close>),
}

/// Reads one socket. Owned by its task.
pub struct Incoming {
    socket: Arc<Socket>,
    parser: Parser,
    /// Bytes that have been read and not yet parsed: more than one message came at once.
    rest: Bytes,
    /// The client has sent its close frame.
    heard_close: bool,
    /// The client broke the protocol: nothing that follows can be understood.
    is_deaf: bool,
}

impl Incoming {
    pub(super) fn new(socket: Arc<Socket>, early: Bytes) -> Self {
        let parser = Parser::new(socket.limits.message);
        Self { socket, parser, rest: early, heard_close: false, is_deaf: false }
    }

    /// The next message. After [`Event::Gone`] there is no other. Dropping the future loses
    /// nothing. Whoever works long on a message does it in [`Socket::during`], so that what waits
    /// for this client is written meanwhile.
    pub async fn next(&mut self) -> Event {
        while self.socket.is_open() {
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
                let _ = timeout_at(since + self.socket.limits.linger, self.linger()).await;
                Some(said)
            }
            Phase::Gone(said) => said,
            Phase::Open => None,
        };
        self.socket.end();
        Event::Gone(said)
    }

    /// Writes what waits and reads on until the client has closed too.
    async fn linger(&mut self) {
        let mut has_ended = false;
        loop {
            let is_flushed = self.socket.flush();
            if matches!(self.socket.phase(), Phase::Gone(_)) || (is_flushed && self.heard_close) {
                return;
            }
            if is_flushed && self.is_deaf && !has_ended {
                // Its close frame could not be understood; the end of its stream can.
                self.socket.shut_down(Shutdown::Write);
                has_ended = true;
            }
            match self.socket.stream.ready(self.interest(is_flushed)).await {
                Ok(ready) if ready.is_readable() => {
                    self.read();
                    while !self.rest.is_empty() {
                        self.parse_rest();
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

    /// Reads once, into a buffer that lives no longer than this.
    fn read(&mut self) -> Option<Event> {
        let mut buffer = [0; 8 * 1024];
        match self.socket.stream.try_read(&mut buffer) {
            Ok(0) => self.socket.end(),
            Ok(_) if self.is_deaf => {}
            Ok(read) => {
                let mut input = &buffer[..read];
                let event = self.parse(&mut input);
                self.rest = Bytes::copy_from_slice(input);
                return event;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
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

    /// The next message in `input`; without one, `input` has been used up.
    fn parse(&mut self, input: &mut &[u8]) -> Option<Event> {
        let parsed = self.parser.next(input);
        self.socket.note_unfinished(self.parser.is_within_message());
        if let Ok(Some(_)) = parsed {
            self.socket.note_heard();
        }
        match parsed {
            Ok(None) => None,
            Ok(Some(Message::Text(text))) => Some(Event::Text(text)),
            Ok(Some(Message::Ping(payload))) => {
                self.socket.send(&websocket::pong(&payload));
                Some(Event::Control)
            }
            Ok(Some(Message::Pong)) => Some(Event::Control),
            Ok(Some(Message::Close(_))) => {
                *input = &[];
                self.heard_close = true;
                self.socket.close(Close::Bye);
                None
            }
            Err(violation) => {
                debug!(%violation, "a client broke the protocol");
                *input = &[];
                self.is_deaf = true;
                self.socket.close(violation.into());
                None
            }
        }
    }
}
