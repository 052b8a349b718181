//! A hostile client, which writes to one connection as fast as the kernel accepts data.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, tcp::OwnedReadHalf},
    time::timeout,
};

/// The number of bytes in one write.
const CHUNK: usize = 64 * 1024;
/// How long one connection is flooded if the server does not close it.
const LONGEST: Duration = Duration::from_secs(20);

/// The kind of data that it sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flood {
    /// Pings instead of `hello`.
    PingsBeforeHello,
    /// Nine frames that are not JSON, then one that is, so there are never ten bad frames in a row.
    BadFrames,
    /// Valid frames.
    GoodFrames,
    /// A message with nothing but empty fragments.
    EmptyFragments,
    /// Presence frames that alternate between two states.
    Presence,
    /// Pipelined requests on one connection, without waiting for the responses.
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

    /// The bytes that begin a connection, and the bytes that are sent repeatedly.
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

    /// Floods one connection until the server closes it, or for `LONGEST`. Returns the close code, if there was one.
    pub async fn pours(self, address: SocketAddr, token: &str) -> Option<u16> {
        let (begin, again) = self.words(address, token);
        let chunk = again.repeat(CHUNK / again.len());
        let (reading, mut writing) = TcpStream::connect(address).await.ok()?.into_split();
        let write = async {
            let mut written = writing.write_all(&begin).await;
            while written.is_ok() {
                written = writing.write_all(&chunk).await;
            }
            // A write has failed, but the data that the server sent before it closed still has to be read to the end.
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

/// A masked frame. The mask of zeros leaves the payload unchanged.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    assert!(payload.len() < 126);
    [&[first, 0x80 | payload.len() as u8, 0, 0, 0, 0], payload].concat()
}

/// Reads to the end of a connection. Returns the code of the close frame, if there was one.
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
        // The responses to requests are not needed.
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

/// The first byte of a completely received frame, and the offsets at which its payload begins and ends.
fn whole_frame(come: &[u8]) -> Option<(u8, usize, usize)> {
    let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte));
    let (payload, length) = match *come.get(1)? {
        126 => (4, number(come.get(2..4)?)),
        127 => (10, number(come.get(2..10)?)),
        short => (2, usize::from(short)),
    };
    (come.len() >= payload + length).then_some((come[0], payload, payload + length))
}
