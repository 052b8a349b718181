//! The requests of a connection, one after another. Only well-formed requests are passed on.

use std::{
    io,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use poem::http::{HeaderMap, header};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::listen::{
    chunks::Chunks,
    head::{self, Fault, Follows, Scan, Seen},
};

/// The method of the stand-in for a refused request. The stand-in goes into the stream after all earlier requests, so
/// its response comes in order and over the same path as every other response.
pub(super) const REFUSED: &str = "REFUSED";

/// The longest head, and the most header fields in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Most {
    pub(super) bytes: usize,
    pub(super) fields: usize,
}

/// A stream that passes on well-formed requests. Bytes after a refused request are never read.
pub(super) struct Requests<S> {
    stream: S,
    most: Most,
    next: Next,
    scan: Scan,
    /// The beginning of an incomplete head.
    held: Vec<u8>,
    /// Checked bytes for hyper.
    ready: Vec<u8>,
    refused: Arc<OnceLock<Fault>>,
}

/// Whether a request with these headers asks for a WebSocket, so that bytes other than HTTP may follow.
pub(super) fn asks_for_socket(headers: &HeaderMap) -> bool {
    headers.get_all(header::UPGRADE).iter().any(|line| head::names_websocket(line.as_bytes()))
}

/// The part of a request that the scanner expects.
#[derive(Debug)]
enum Next {
    Head,
    Body(u64),
    Chunks(Chunks),
    /// Bytes other than HTTP, after a request for a WebSocket.
    Anything,
    /// Nothing more, because a request was refused.
    Nothing,
    /// Nothing more, because a chunked body broke the rules. Reading fails.
    Broken,
}

impl<S> Requests<S> {
    pub(super) fn of(stream: S, most: Most, refused: Arc<OnceLock<Fault>>) -> Self {
        let (held, ready) = (Vec::new(), Vec::new());
        Self { stream, most, next: Next::Head, scan: Scan::default(), held, ready, refused }
    }

    /// The stream, and the bytes that hyper has not consumed yet.
    pub(super) fn into_inner(self) -> (S, Bytes) {
        (self.stream, self.ready.into())
    }

    /// Returns how many of these bytes may be passed on. In the state `Head`, the rest is the beginning of a head.
    fn judge(&mut self, bytes: &[u8]) -> usize {
        let mut passed = 0;
        while passed < bytes.len() {
            let rest = &bytes[passed..];
            match &mut self.next {
                Next::Head => match self.scan.look(rest, self.most.bytes, self.most.fields) {
                    Seen::Part => return passed,
                    Seen::Whole(length, follows) => {
                        self.scan = Scan::default();
                        passed += length;
                        self.next = match follows {
                            Follows::Sized(0) => Next::Head,
                            Follows::Sized(length) => Next::Body(length),
                            Follows::Chunked => Next::Chunks(Chunks::default()),
                            Follows::WebSocket => Next::Anything,
                        };
                    }
                    Seen::Refused(fault) => {
                        self.stand_in(fault, rest);
                        return passed;
                    }
                },
                Next::Body(left) => {
                    let here = rest.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= here as u64;
                    passed += here;
                    if *left == 0 {
                        self.next = Next::Head;
                    }
                }
                Next::Chunks(chunks) => match chunks.pass(rest) {
                    Ok(None) => return bytes.len(),
                    Ok(Some(length)) => {
                        passed += length;
                        self.next = Next::Head;
                    }
                    Err(_) => {
                        self.next = Next::Broken;
                        return passed;
                    }
                },
                Next::Anything => return bytes.len(),
                Next::Nothing | Next::Broken => return passed,
            }
        }
        passed
    }

    /// Puts a stand-in for the refused request into the stream. It carries the host and the origin, because they
    /// determine which pages may read the response.
    fn stand_in(&mut self, fault: Fault, head: &[u8]) {
        self.next = Next::Nothing;
        if self.refused.set(fault).is_err() {
            return;
        }
        let (host, origin) = self.scan.names(head);
        self.ready.extend_from_slice(REFUSED.as_bytes());
        self.ready.extend_from_slice(b" / HTTP/1.1\r\nhost: ");
        self.ready.extend_from_slice(host.unwrap_or(b"unknown"));
        if let Some(origin) = origin {
            self.ready.extend_from_slice(b"\r\norigin: ");
            self.ready.extend_from_slice(origin);
        }
        self.ready.extend_from_slice(b"\r\n\r\n");
    }

    /// Checks the held bytes again after more bytes have been appended.
    fn sort(&mut self) {
        let held = std::mem::take(&mut self.held);
        let passed = self.judge(&held);
        // The passed bytes come before any stand-in that `judge` has appended.
        self.ready.splice(..0, held[..passed].iter().copied());
        if matches!(self.next, Next::Head) {
            self.held = held;
            self.held.drain(..passed);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Requests<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if !this.ready.is_empty() {
                let some = this.ready.len().min(into.remaining());
                into.put_slice(&this.ready[..some]);
                this.ready.drain(..some);
                if this.ready.is_empty() {
                    this.ready = Vec::new();
                }
                return Poll::Ready(Ok(()));
            }
            match this.next {
                // The response to the stand-in closes the connection.
                Next::Nothing => return Poll::Pending,
                Next::Broken => return Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
                _ => {}
            }
            let before = into.filled().len();
            ready!(Pin::new(&mut this.stream).poll_read(cx, into))?;
            let new = into.filled().len() - before;
            if new == 0 {
                return Poll::Ready(Ok(()));
            }
            if this.held.is_empty() {
                let passed = this.judge(&into.filled()[before..]);
                if passed == new {
                    return Poll::Ready(Ok(()));
                }
                if matches!(this.next, Next::Head) {
                    this.held = into.filled()[before + passed..].to_vec();
                }
                into.set_filled(before + passed);
                if passed > 0 {
                    return Poll::Ready(Ok(()));
                }
            } else {
                this.held.extend_from_slice(&into.filled()[before..]);
                into.set_filled(before);
                this.sort();
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Requests<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
