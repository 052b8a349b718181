//! The kinds of abuse. No abuser waits when a server asks it to.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use verbatim::domain::ConversationId;

/// The address of the abuser. Its rate limits by address, and by group of addresses, are not those of the quiet pair.
const FROM: &str = "127.0.1.2:0";
/// The pause after a connection has ended.
const AGAIN: Duration = Duration::from_millis(50);

/// The node, and the account of the abuser.
#[derive(Clone)]
pub struct Target {
    pub address: SocketAddr,
    pub token: String,
    /// A cursor from before the first message.
    pub cursor: String,
    /// A long conversation, and the position of its last message.
    pub conversation: ConversationId,
    pub last: u64,
}

/// A kind of abuse, repeated without end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Abuse {
    SlowHeads,
    Logins,
    Sockets,
    Searches,
    LooksBack,
    Streams,
    Reconnects,
    Sends,
    Resumes,
}

/// The number of answers by status; 0 is a connection that was closed without an answer.
type Answers = BTreeMap<u16, usize>;

impl Abuse {
    pub const ALL: [Self; 9] = [
        Self::SlowHeads,
        Self::Logins,
        Self::Sockets,
        Self::Searches,
        Self::LooksBack,
        Self::Streams,
        Self::Reconnects,
        Self::Sends,
        Self::Resumes,
    ];

    /// The word for the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::SlowHeads => "heads",
            Self::Logins => "logins",
            Self::Sockets => "sockets",
            Self::Searches => "searches",
            Self::LooksBack => "lookbacks",
            Self::Streams => "streams",
            Self::Reconnects => "reconnects",
            Self::Sends => "sends",
            Self::Resumes => "resumes",
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::SlowHeads => "2,000 slow heads",
            Self::Logins => "200 logins at once",
            Self::Sockets => "1,000 sockets of one account",
            Self::Searches => "50 searches in a loop",
            Self::LooksBack => "50 look-backs in a loop",
            Self::Streams => "500 event streams of one account",
            Self::Reconnects => "reconnects with 5,000 conversations",
            Self::Sends => "send flood of 16 KB",
            Self::Resumes => "50 ancient resumes of one account",
        }
    }

    fn at_once(self) -> usize {
        match self {
            Self::SlowHeads => 2_000,
            Self::Logins => 200,
            Self::Sockets => 1_000,
            Self::Streams => 500,
            Self::Searches | Self::LooksBack | Self::Sends | Self::Resumes => 50,
            Self::Reconnects => 10,
        }
    }

    /// Goes on until it is stopped, and returns the answers.
    pub async fn goes_on(self, target: Target, stop: CancellationToken) -> Answers {
        let answers = Arc::<Mutex<Answers>>::default();
        let mut loops = JoinSet::new();
        for _ in 0..self.at_once() {
            let (target, answers) = (target.clone(), answers.clone());
            loops.spawn(async move {
                loop {
                    // However a connection ends, another one follows.
                    if self.connection(&target, &answers).await.is_err() {
                        *answers.lock().expect("answers").entry(0).or_insert(0) += 1;
                    }
                    sleep(AGAIN).await;
                }
            });
        }
        stop.cancelled().await;
        loops.shutdown().await;
        std::mem::take(&mut answers.lock().expect("answers"))
    }

    /// Abuses one connection until it ends.
    async fn connection(self, target: &Target, answers: &Mutex<Answers>) -> io::Result<()> {
        let mut line = Line::to(target.address).await?;
        let count = |status: u16| *answers.lock().expect("answers").entry(status).or_insert(0) += 1;
        let Target { token, conversation, last, cursor, .. } = target;
        match self {
            Self::SlowHeads => {
                line.stream.write_all(b"GET /v1/info HTTP/1.1\r\nhost: x\r\nslow: ").await?;
                // If all connections acted at the same moment, this would measure the CPU of the load itself.
                sleep(Duration::from_millis(u64::from(Uuid::now_v7().as_bytes()[15]) * 8)).await;
                loop {
                    sleep(Duration::from_secs(2)).await;
                    line.stream.write_all(b"x").await?;
                }
            }
            Self::Logins => loop {
                let name = Uuid::now_v7().simple();
                let body = format!(r#"{{"username":"nobody{name}","password":"correct horse battery"}}"#);
                count(line.ask("POST", "/v1/logins", "", &body).await?);
            },
            Self::Searches => loop {
                count(line.ask("GET", "/v1/messages?query=people", token, "").await?);
            },
            Self::LooksBack => loop {
                let path = format!("/v1/conversations/{conversation}/messages?as_of={last}");
                count(line.ask("GET", &path, token, "").await?);
            },
            Self::Sends => loop {
                let (key, text) = (Uuid::now_v7().simple(), "x".repeat(16_000));
                let body = format!(r#"{{"client_id":"{key}","text":"{text}"}}"#);
                count(
                    line.ask("POST", &format!("/v1/conversations/{conversation}/messages"), token, &body)
                        .await?,
                );
            },
            Self::Streams => {
                line.write("GET", "/v1/events", token, "accept: text/event-stream\r\n", "").await?;
                let status = line.head().await?.0;
                count(status);
                if status == 200 { line.until(None).await } else { Ok(()) }
            }
            Self::Sockets => {
                count(line.opens(token).await?);
                line.says_hello(None).await?;
                line.until(None).await
            }
            Self::Reconnects => {
                count(line.opens(token).await?);
                line.says_hello(None).await?;
                line.until(Some(br#""op":"ready""#)).await
            }
            Self::Resumes => {
                count(line.opens(token).await?);
                line.says_hello(Some(cursor)).await?;
                line.until(Some(br#""op":"caught_up""#)).await
            }
        }
    }
}

/// A connection, and the bytes read from it.
struct Line {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Line {
    async fn to(address: SocketAddr) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(FROM.parse().expect("an address"))?;
        let stream = socket.connect(address).await?;
        stream.set_nodelay(true)?;
        stream.set_zero_linger()?;
        Ok(Self { stream, unread: Vec::new() })
    }

    async fn ask(&mut self, method: &str, path: &str, token: &str, body: &str) -> io::Result<u16> {
        self.write(method, path, token, "", body).await?;
        let (status, length) = self.head().await?;
        while self.unread.len() < length {
            self.read().await?;
        }
        self.unread.drain(..length);
        Ok(status)
    }

    async fn write(
        &mut self,
        method: &str,
        path: &str,
        token: &str,
        more: &str,
        body: &str,
    ) -> io::Result<()> {
        let token =
            if token.is_empty() { String::new() } else { format!("authorization: Bearer {token}\r\n") };
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: bench\r\n{token}{more}content-type: application/json\r\n\
             content-length: {length}\r\n\r\n{body}"
        );
        self.stream.write_all(request.as_bytes()).await
    }

    /// Reads the head, and returns the status and the length of the body.
    async fn head(&mut self) -> io::Result<(u16, usize)> {
        let end = loop {
            if let Some(at) = self.unread.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            self.read().await?;
        };
        let head = String::from_utf8_lossy(&self.unread[..end]).to_ascii_lowercase();
        self.unread.drain(..end);
        let status = head.get(9..12).and_then(|status| status.parse().ok()).unwrap_or_default();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        Ok((status, length.and_then(|length| length.trim().parse().ok()).unwrap_or_default()))
    }

    /// Requests a socket. Fails if the request is refused.
    async fn opens(&mut self, token: &str) -> io::Result<u16> {
        let more = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                    sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\nsec-websocket-protocol: verbatim.v1\r\n";
        self.stream
            .write_all(
                format!("GET /v1/ws HTTP/1.1\r\nhost: bench\r\n{more}authorization: Bearer {token}\r\n\r\n")
                    .as_bytes(),
            )
            .await?;
        Ok(self.head().await?.0)
    }

    async fn says_hello(&mut self, cursor: Option<&str>) -> io::Result<()> {
        let cursor = cursor.map(|cursor| format!(r#","cursor":"{cursor}""#)).unwrap_or_default();
        let hello = format!(r#"{{"op":"hello"{cursor}}}"#);
        // The frame is masked with zeros, and too long for the short form of the length.
        let mut frame = vec![0x81, 0x80 | 126];
        let hello = format!("{hello:<130}");
        frame.extend_from_slice(&(hello.len() as u16).to_be_bytes());
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(hello.as_bytes());
        self.stream.write_all(&frame).await
    }

    /// Reads until a text has arrived, or to the end.
    async fn until(&mut self, text: Option<&[u8]>) -> io::Result<()> {
        loop {
            if text.is_some_and(|text| self.unread.windows(text.len()).any(|bytes| bytes == text)) {
                return Ok(());
            }
            let kept = self.unread.len().saturating_sub(64);
            self.unread.drain(..kept);
            self.read().await?;
        }
    }

    async fn read(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.unread).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}
