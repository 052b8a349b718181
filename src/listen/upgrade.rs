//! Turns a request for an upgrade into the underlying connection.

use std::{
    io::Read as _,
    task::{Context, Waker},
};

use bytes::Bytes;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use poem::Request;
use tokio::net::TcpStream;
use tokio_rustls::rustls::ServerConnection;

use crate::listen::{patient::Patient, requests::Requests, stream::Stream};

/// The connection under a request for an upgrade, in the extensions of the request.
#[derive(Clone)]
pub struct Upgrade(pub(super) OnUpgrade);

/// A connection that no longer speaks HTTP.
pub struct Link {
    /// The connection itself.
    pub tcp: TcpStream,
    /// The TLS state, if the connection is encrypted.
    pub tls: Option<Box<ServerConnection>>,
}

impl From<TcpStream> for Link {
    fn from(tcp: TcpStream) -> Self {
        Self { tcp, tls: None }
    }
}

impl Upgrade {
    /// The upgrade that `request` asks for, if it asks for one over HTTP/1.1.
    pub fn of(request: &Request) -> Option<Self> {
        request.extensions().get::<Self>().cloned()
    }

    /// Waits until the 101 has been written, then returns the connection and the bytes that the client has already
    /// sent. Await this in a separate task, because the response must leave first. `None` if the client has gone or the
    /// response was not a 101.
    pub async fn socket(self) -> Option<(Link, Bytes)> {
        let parts = self.0.await.ok()?.downcast::<TokioIo<Requests<Patient>>>().ok()?;
        let (patient, unread) = parts.io.into_inner().into_inner();
        // This copy is usually empty. Keeping the original would keep hyper's read buffer alive.
        let mut early = [parts.read_buf, unread].concat();
        let link = match patient.stream {
            Stream::Plain(tcp) => Link::from(tcp),
            Stream::Secured(stream) => {
                let (tcp, mut tls) = stream.into_inner();
                // The kernel does not report bytes that have already been decrypted. After the last of them, the reader
                // returns `WouldBlock`, which is not a failure here.
                let _ = tls.reader().read_to_end(&mut early);
                Link { tcp, tls: Some(Box::new(tls)) }
            }
        };
        // The socket still holds the waker of the task that served HTTP, and with it 2 KB of memory.
        let mut nobody = Context::from_waker(Waker::noop());
        let _ = (link.tcp.poll_read_ready(&mut nobody), link.tcp.poll_write_ready(&mut nobody));
        Some((link, early.into()))
    }
}
