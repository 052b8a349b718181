//! A receiver of webhooks: a small HTTP server that records its requests and answers as a story wants.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// A received request.
#[derive(Debug, Clone)]
pub struct Received {
    pub path: String,
    pub headers: HashMap<String, String>,
    pub body: String,
    pub bytes: Vec<u8>,
    /// Whether the receiver has accepted it.
    pub is_taken: bool,
    /// When it was read.
    pub at: Instant,
}

impl Received {
    /// The event in its body.
    pub fn event(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }

    /// A header by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// A header that is a number.
    pub fn number(&self, name: &str) -> u64 {
        self.header(name).expect(name).parse().expect("a number")
    }

    /// The number of a field of the event.
    pub fn field(&self, name: &str) -> u64 {
        self.event()[name].as_u64().expect(name)
    }
}

/// The answer of a receiver.
#[derive(Debug, Clone)]
pub struct Told {
    pub status: u16,
    /// Lines of additional headers, each with its line break.
    pub headers: String,
    pub body: String,
    /// The wait before the answer.
    pub after: Duration,
    /// The wait before each byte of the body; the body never ends.
    pub drip: Option<Duration>,
}

impl Told {
    pub fn status(status: u16) -> Self {
        Self { status, headers: String::new(), body: String::new(), after: Duration::ZERO, drip: None }
    }

    pub fn header(mut self, line: &str) -> Self {
        self.headers.push_str(line);
        self.headers.push_str("\r\n");
        self
    }
}

type Answering = Arc<dyn Fn(&Received) -> Told + Send + Sync>;

/// A receiver with its own address, which it keeps while it is down.
pub struct Receiver {
    pub address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    answering: Arc<Mutex<Answering>>,
    task: Option<JoinHandle<()>>,
}

impl Receiver {
    /// A receiver that accepts everything.
    pub async fn start() -> Self {
        Self::answering(|_| Told::status(204)).await
    }

    /// A receiver with these answers.
    pub async fn answering(answer: impl Fn(&Received) -> Told + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let answering: Arc<Mutex<Answering>> = Arc::new(Mutex::new(Arc::new(answer)));
        let mut receiver = Self { address, received: Arc::default(), answering, task: None };
        receiver.listen(listener);
        receiver
    }

    fn listen(&mut self, listener: TcpListener) {
        let (received, answering) = (self.received.clone(), self.answering.clone());
        self.task = Some(tokio::spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                open.spawn(serve(stream, received.clone(), answering.clone()));
            }
        }));
    }

    /// Changes its answers.
    pub fn answers(&self, answer: impl Fn(&Received) -> Told + Send + Sync + 'static) {
        *self.answering.lock().expect("the answer") = Arc::new(answer);
    }

    /// Stops it: connections are refused from now on.
    pub async fn leaves(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            let _ = task.await;
        }
    }

    /// Starts it again at its address.
    pub async fn returns(&mut self) {
        let listener = TcpListener::bind(self.address).await.expect("its port");
        self.listen(listener);
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// All requests so far.
    pub fn received(&self) -> Vec<Received> {
        self.received.lock().expect("the requests").clone()
    }

    /// The requests that it has accepted so far.
    pub fn taken(&self) -> Vec<Received> {
        self.received().into_iter().filter(|request| request.is_taken).collect()
    }

    /// Waits until `count` requests were accepted.
    pub async fn has_taken(&self, count: usize) -> Vec<Received> {
        super::eventually("the receiver has taken the events", || async { self.taken().len() >= count })
            .await;
        self.taken()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

async fn serve(stream: TcpStream, received: Arc<Mutex<Vec<Received>>>, answering: Arc<Mutex<Answering>>) {
    let mut stream = BufReader::new(stream);
    while let Some(mut request) = read(&mut stream).await {
        let answer = answering.lock().expect("the answer").clone();
        let told = answer(&request);
        request.is_taken = (200..300).contains(&told.status);
        // The request is recorded just before its answer is sent, so a story sees what the sender may see.
        tokio::time::sleep(told.after).await;
        received.lock().expect("the requests").push(request);
        let length = if told.drip.is_some() { 1_000_000 } else { told.body.len() };
        let head = format!(
            "HTTP/1.1 {} X\r\ncontent-length: {length}\r\n{}\r\n{}",
            told.status, told.headers, told.body
        );
        if stream.get_mut().write_all(head.as_bytes()).await.is_err() {
            return;
        }
        if let Some(pause) = told.drip {
            while stream.get_mut().write_all(b"x").await.is_ok() {
                tokio::time::sleep(pause).await;
            }
            return;
        }
    }
}

async fn read(stream: &mut BufReader<TcpStream>) -> Option<Received> {
    let mut line = String::new();
    let mut lines = Vec::new();
    loop {
        line.clear();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            text => lines.push(text.to_owned()),
        }
    }
    let path = lines.first()?.split(' ').nth(1)?.to_owned();
    let header = |line: &String| {
        let (name, value) = line.split_once(':')?;
        Some((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
    };
    let headers: HashMap<String, String> = lines[1..].iter().filter_map(header).collect();
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    let text = String::from_utf8_lossy(&body).into_owned();
    Some(Received { path, headers, body: text, bytes: body, is_taken: false, at: Instant::now() })
}
