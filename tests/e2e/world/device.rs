//! A WebSocket client: one socket of a person.

use std::{net::SocketAddr, pin::Pin, time::Duration};

use futures_util::{Sink, SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::mpsc,
    time::timeout,
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{self, Message, client::IntoClientRequest as _},
};

use super::{Conversation, PATIENCE, document, person::key};

type Stream = WebSocketStream<MaybeTlsStream<TcpStream>>;

pub struct Device {
    sink: Pin<Box<dyn Sink<Message, Error = tungstenite::Error> + Send + Sync>>,
    frames: mpsc::UnboundedReceiver<Value>,
    /// All received frames, in order.
    pub seen: Vec<Value>,
    pub ready: Value,
}

/// Opens a socket without sending a frame. The error is the HTTP status of a refusal.
pub async fn open(address: SocketAddr, token: Option<&str>) -> Result<Stream, u16> {
    open_with(address, token, &[]).await
}

/// The same, with additional headers.
pub async fn open_with(
    address: SocketAddr,
    token: Option<&str>,
    more: &[(&'static str, &str)],
) -> Result<Stream, u16> {
    let mut request = format!("ws://{address}/v1/ws").into_client_request().expect("request");
    let headers = request.headers_mut();
    headers.insert("sec-websocket-protocol", "verbatim.v1".parse().expect("header"));
    if let Some(token) = token {
        headers.insert("authorization", format!("Bearer {token}").parse().expect("header"));
    }
    for (name, value) in more {
        headers.insert(*name, value.parse().expect("header"));
    }
    match connect_async(request).await {
        Ok((stream, answer)) => {
            assert_eq!(answer.headers()["sec-websocket-protocol"], "verbatim.v1");
            Ok(stream)
        }
        Err(tungstenite::Error::Http(answer)) => Err(answer.status().as_u16()),
        Err(e) => panic!("no handshake: {e}"),
    }
}

impl Device {
    pub async fn connects(address: SocketAddr, token: &str) -> Self {
        Self::greets(address, token, json!({ "op": "hello" })).await
    }

    /// Resumes from a cursor.
    pub async fn resumes(address: SocketAddr, token: &str, cursor: &str) -> Self {
        Self::greets(address, token, json!({ "op": "hello", "cursor": cursor })).await
    }

    /// Opens a socket with this `hello`.
    pub async fn greets(address: SocketAddr, token: &str, hello: Value) -> Self {
        let mut device = Self::says_hello(address, token, hello).await;
        device.ready = device.gets("ready").await;
        device
    }

    /// Sends `hello` without waiting for an answer.
    pub async fn says_hello(address: SocketAddr, token: &str, hello: Value) -> Self {
        Self::of(open(address, Some(token)).await.expect("a socket"), hello).await
    }

    /// Opens a socket with a token that may expire at any moment; `None` if it expired before the socket was open.
    pub async fn gets_in(address: SocketAddr, token: &str) -> Option<Self> {
        let mut device = Self::says_hello(address, token, json!({ "op": "hello" })).await;
        let first = |frame: &Value| frame["op"] == "ready" || frame["op"] == "closed";
        device.ready = device.waits_for("an answer", first).await;
        (device.ready["op"] == "ready").then_some(device)
    }

    /// Sends `hello` on a connection of any kind.
    pub async fn over<S>(stream: WebSocketStream<S>, hello: Value) -> Self
    where
        S: AsyncRead + AsyncWrite + Send + Sync + Unpin + 'static,
    {
        let mut device = Self::of(stream, hello).await;
        device.ready = device.gets("ready").await;
        device
    }

    async fn of<S>(stream: WebSocketStream<S>, hello: Value) -> Self
    where
        S: AsyncRead + AsyncWrite + Send + Sync + Unpin + 'static,
    {
        let (sink, mut read) = stream.split();
        let (sender, frames) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(message) = read.next().await {
                let frame = match message {
                    Ok(Message::Text(text)) => {
                        assert!(text.starts_with(r#"{"op":""#), "op stands first: {text}");
                        serde_json::from_str(&text).expect("JSON")
                    }
                    Ok(Message::Close(Some(close))) => {
                        json!({ "op": "closed", "code": u16::from(close.code), "reason": close.reason.as_str() })
                    }
                    Ok(_) => continue,
                    Err(_) => break,
                };
                if sender.send(frame).is_err() {
                    break;
                }
            }
        });
        let mut device = Self { sink: Box::pin(sink), frames, seen: Vec::new(), ready: Value::Null };
        device.tells(hello).await;
        device
    }

    /// Whether the server has closed it. Also takes the frames that have arrived.
    pub fn is_closed(&mut self) -> bool {
        while let Ok(frame) = self.frames.try_recv() {
            self.seen.push(frame);
        }
        self.frames.is_closed() || self.seen.iter().any(|frame| frame["op"] == "closed")
    }

    pub async fn tells(&mut self, frame: Value) {
        let text = frame.to_string().into();
        self.sink.send(Message::Text(text)).await.expect("an open socket");
    }

    /// Waits for the next frame that matches.
    pub async fn waits_for(&mut self, what: &str, mut fits: impl FnMut(&Value) -> bool) -> Value {
        let waited = timeout(PATIENCE, async {
            loop {
                let frame = self.frames.recv().await?;
                document::describes_frame(&frame);
                self.seen.push(frame.clone());
                if fits(&frame) {
                    return Some(frame);
                }
            }
        });
        match waited.await {
            Ok(Some(frame)) => frame,
            Ok(None) => panic!("the socket ended before {what}; seen: {:#?}", self.seen),
            Err(_) => panic!("there was no {what}; seen: {:#?}", self.seen),
        }
    }

    /// Waits for the next frame with this `op`.
    pub async fn gets(&mut self, op: &str) -> Value {
        self.waits_for(op, |frame| frame["op"] == op).await
    }

    /// Waits for the next event of a type.
    pub async fn gets_event(&mut self, kind: &str) -> Value {
        self.waits_for(kind, |frame| frame["op"] == "event" && frame["type"] == kind).await
    }

    /// Sends a message and waits until the log has it.
    pub async fn says(&mut self, to: &Conversation, text: &str) -> Value {
        let id = key();
        let frame =
            json!({ "op": "send", "id": id, "conversation_id": to.id, "client_id": id, "text": text });
        self.tells(frame).await;
        self.waits_for("ack", |frame| frame["op"] == "ack" && frame["id"] == id.as_str()).await
    }

    /// Waits until a text has arrived. It may have arrived before.
    pub async fn sees(&mut self, text: &str) -> Value {
        let is_it = |frame: &Value| frame["op"] == "event" && frame["data"]["text"] == text;
        match self.seen.iter().find(|frame| is_it(frame)) {
            Some(frame) => frame.clone(),
            None => self.waits_for(text, is_it).await,
        }
    }

    /// Waits for the answer to a ping. By then, all frames that were in flight have arrived.
    pub async fn catches_up(&mut self) {
        let id = key();
        self.tells(json!({ "op": "ping", "id": id })).await;
        self.waits_for("pong", |frame| frame["op"] == "pong" && frame["id"] == id.as_str()).await;
    }

    /// The received events of a conversation: the position of each, and of the one before it.
    pub fn chain(&self, of: &Conversation) -> Vec<(u64, u64)> {
        let events =
            self.seen.iter().filter(|f| f["op"] == "event" && f["conversation_id"] == of.id.as_str());
        events
            .map(|f| (f["position"].as_u64().expect("number"), f["previous"].as_u64().expect("number")))
            .collect()
    }

    /// The last received cursor.
    pub fn cursor(&self) -> String {
        let mut cursors = self.seen.iter().filter_map(|frame| frame["cursor"].as_str());
        cursors.next_back().expect("ready has one").to_owned()
    }

    /// Waits until the server closes the socket, and returns the close code.
    pub async fn is_closed_with(&mut self) -> u64 {
        self.gets("closed").await["code"].as_u64().expect("a code")
    }

    pub async fn leaves(mut self) {
        let _ = timeout(Duration::from_secs(5), self.sink.close()).await;
    }
}

/// Asserts that each event of a chain names the one before it.
pub fn assert_linked(chain: &[(u64, u64)]) {
    for pair in chain.windows(2) {
        assert_eq!(pair[1].1, pair[0].0, "a hole or a repeat in {chain:?}");
    }
}
