//! A hostile client: it fills one connection as fast as the kernel takes it.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, tcp::OwnedReadHalf},
    time::timeout,
};

/// What is sent at once.
const CHUNK: usize = 64 * 1024;
/// The longest that one connection is filled, if the server does not end it.
const LONGEST: Duration = Duration::from_secs(20);

/// What it sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flood {
    /// Pings instead of `hello`.
    PingsBeforeHello,
    /// Nine frames that are no JSON, then one that is, so that there are never ten in a row.
    BadFrames,
    /// Frames that can be understood.
    GoodFrames,
    /// A message of which every fragment is empty.
    EmptyFragments,
    /// Presence, over and over.
    Presence,
    /// Requests in one connection, without waiting for the answers.
    Requests,
}

impl Flood {
    pub const ALL: [Self; 6] = [
        Self::PingsBeforeHello,
        Self::BadFrames,
        Self::GoodFrames,
        Self::EmptyFragments,
        Self::Presence,
        Self::Requests,
    ];

    /// What begins a connection, and what is sent over and over.
    fn words(self, address: SocketAddr, token: &str) -> (Vec<u8>, Vec<u8>) {
        let handshake = format!(
            "GET /v1/ws HTTP/1.1\r\nhost: {address}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             sec-websocket-protocol: verbatim.v1\r\nauthorization: Bearer {token}\r\n\r\n"
        );
        let greeted = |more: &[u8]| [handshake.as_bytes(), &text(r#"{"op":"hello"}"#), more].concat();
        let good = text(r#"{"op":"ping"}"#);
        match self {
            Self::PingsBeforeHello => (handshake.into_bytes(), frame(0x89, b"")),
            Self::BadFrames => (greeted(b""), [text("x").repeat(9), good].concat()),
            Self::GoodFrames => (greeted(b""), good),
            Self::EmptyFragments => (greeted(&frame(0x01, b"")), frame(0x00, b"")),
            Self::Presence => {
                let looks = |status: &str| text(&format!(r#"{{"op":"presence","status":"{status}"}}"#));
                (greeted(b""), [looks("away"), looks("online")].concat())
            }
            Self::Requests => {
                let request = format!("GET /v1/info HTTP/1.1\r\nhost: {address}\r\n\r\n");
                (Vec::new(), request.into_bytes())
            }
        }
    }

    /// Fills one connection until the server ends it, or for long; the close code, if there was one.
    pub async fn pours(self, address: SocketAddr, token: &str) -> Option<u16> {
        let (begin, again) = self.words(address, token);
        let chunk = again.repeat(CHUNK / again.len());
        let (reading, mut writing) = TcpStream::connect(address).await.ok()?.into_split();
        let write = async {
            let mut written = writing.write_all(&begin).await;
            while written.is_ok() {
                written = writing.write_all(&chunk).await;
            }
            // What the server said before it closed is read to its end.
            std::future::pending::<()>().await;
        };
        tokio::select! {
            code = timeout(LONGEST, close_code(reading)) => code.ok().flatten(),
            () = write => None,
        }
    }
}

fn text(text: &str) -> Vec<u8> {
    frame(0x81, text.as_bytes())
}

/// A masked frame; the mask of zeros changes nothing.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    assert!(payload.len() < 126);
    [&[first, 0x80 | payload.len() as u8, 0, 0, 0, 0], payload].concat()
}

/// Reads to the end of a connection; the code in its close frame, if there was one.
async fn close_code(mut reading: OwnedReadHalf) -> Option<u16> {
    let mut come = Vec::new();
    let head = loop {
        if let Some(end) = come.windows(4).position(|bytes: &[u8]| bytes == b"\r\n\r\n") {
            break end + 4;
        }
        reading.read_buf(&mut come).await.ok().filter(|read| *read > 0)?;
    };
    let is_upgraded = come.starts_with(b"HTTP/1.1 101");
    come.drain(..head);
    let mut code = None;
    loop {
        // Nobody looks at the answers to requests.
        if !is_upgraded {
            come.clear();
        }
        let mut read = 0;
        while let Some((first, payload, whole)) = whole_frame(&come[read..]) {
            if let (0x88, [high, low, ..]) = (first, &come[read + payload..read + whole]) {
                code = Some(u16::from_be_bytes([*high, *low]));
            }
            read += whole;
        }
        come.drain(..read);
        if !matches!(reading.read_buf(&mut come).await, Ok(1..)) {
            return code;
        }
    }
}

/// The first byte of a frame that has come wholly, where its payload begins and where it ends.
fn whole_frame(come: &[u8]) -> Option<(u8, usize, usize)> {
    let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte));
    let (payload, length) = match *come.get(1)? {
        126 => (4, number(come.get(2..4)?)),
        127 => (10, number(come.get(2..10)?)),
        short => (2, usize::from(short)),
    };
    (come.len() >= payload + length).then_some((come[0], payload, payload + length))
}
