//! A device of a person: one socket at a time, one after another. Each resumes from the last cursor that the
//! server sent on the one before.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::{
    net::TcpStream,
    sync::{mpsc, oneshot, watch},
    time::{sleep, timeout, timeout_at},
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async_with_config,
    tungstenite::{self, Message, client::IntoClientRequest as _, protocol::WebSocketConfig},
};
use verbatim::domain::ConversationId;

use crate::{
    chance::Chance,
    history::{self, Key, What},
    person::{Outcome, Person, message_id, position},
    truth::digest,
};

/// The time limit for a handshake and `ready`.
const READY: Duration = Duration::from_secs(8);
/// A heartbeat comes every second, so a server that is silent for this long counts as gone.
const SILENCE: Duration = Duration::from_secs(4);
/// The maximum time, in milliseconds, for which a server's request to come back later is obeyed, so that devices stay
/// active.
const LATER: u64 = 2_000;

type Stream = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A request to a device from another task.
pub enum Wish {
    /// Send a message on the socket and report the outcome.
    Send { key: Key, text: String, outcome: oneshot::Sender<Outcome> },
    /// Send a receipt that everything up to here has been read.
    Read { conversation: ConversationId, position: u64 },
}

/// A device as seen by other tasks, and their controls.
pub struct Handle {
    pub number: history::Device,
    pub wishes: mpsc::Sender<Wish>,
    /// While this is set, the device does not read.
    pub is_slow: watch::Sender<bool>,
    /// The node of the current socket; [`NOWHERE`] while there is no socket.
    pub node: Arc<AtomicUsize>,
    /// The last position of each conversation on this device.
    pub reached: Arc<Mutex<HashMap<ConversationId, u64>>>,
}

/// [`Handle::node`] while there is no socket.
pub const NOWHERE: usize = usize::MAX;

pub struct Device {
    number: history::Device,
    person: Person,
    chance: Chance,
    cursor: Option<String>,
    wishes: mpsc::Receiver<Wish>,
    is_slow: watch::Receiver<bool>,
    storm: watch::Receiver<u64>,
    node: Arc<AtomicUsize>,
    reached: Arc<Mutex<HashMap<ConversationId, u64>>>,
}

/// One socket of a device.
struct Session {
    socket: history::Socket,
    began: Instant,
    stream: Stream,
    /// Sends and receipts that wait for an answer, by the id of their frame.
    sends: HashMap<String, (Key, oneshot::Sender<Outcome>)>,
    reads: HashMap<String, (ConversationId, u64)>,
    frames: u64,
    /// The time of the last sign of life from the server.
    heard: tokio::time::Instant,
}

/// How a socket ended, and when to reconnect.
struct End {
    code: Option<u16>,
    why: String,
    retry_after: Option<u64>,
}

impl End {
    /// Whether the server says that the account is suspended.
    fn is_for_good(&self) -> bool {
        self.code == Some(4504) || self.why == "handshake: 403"
    }
}

impl Device {
    /// A new device of a person, and the handle for other tasks.
    pub fn of(person: &Person, number: usize, chance: Chance, storm: watch::Receiver<u64>) -> (Self, Handle) {
        let (wish, wishes) = mpsc::channel(64);
        let (slow, is_slow) = watch::channel(false);
        let node = Arc::new(AtomicUsize::new(NOWHERE));
        let reached = Arc::<Mutex<HashMap<_, _>>>::default();
        let handle =
            Handle { number, wishes: wish, is_slow: slow, node: node.clone(), reached: reached.clone() };
        let person = person.clone();
        (Self { number, person, chance, cursor: None, wishes, is_slow, storm, node, reached }, handle)
    }

    /// Connects, listens and reconnects until the run ends or the account of its person is gone.
    pub async fn lives(mut self) {
        loop {
            let node = self.chance.below(2);
            let socket = next_socket();
            let end = match timeout(READY, self.opens(node, socket)).await {
                Ok(Ok(session)) => {
                    self.node.store(node, Ordering::Relaxed);
                    self.converses(session).await
                }
                Ok(Err(end)) => end,
                Err(_) => End { code: None, why: "not ready in time".into(), retry_after: None },
            };
            self.node.store(NOWHERE, Ordering::Relaxed);
            if matches!(end.code, Some(4401 | 4501)) || end.why.contains("401") {
                self.person.logs_in(self.chance.below(2)).await;
            }
            let pause = match end.retry_after {
                Some(millis) => Duration::from_millis(millis.min(LATER)),
                None => self.chance.millis(50..=800),
            };
            let (device, is_over) = (self.number, end.is_for_good());
            let End { code, why, .. } = end;
            self.person.world.history.note(What::Ended { device, socket, node, code, why });
            if is_over {
                return;
            }
            sleep(pause).await;
        }
    }

    /// Opens a socket, up to `ready`.
    async fn opens(&mut self, node: usize, socket: history::Socket) -> Result<Session, End> {
        let lost = |why: String| End { code: None, why, retry_after: None };
        let address = self.person.world.door(node);
        let mut request = format!("ws://{address}/v1/ws").into_client_request().expect("a request");
        let headers = request.headers_mut();
        headers.insert("sec-websocket-protocol", "verbatim.v1".parse().expect("a header"));
        let bearer = format!("Bearer {}", self.person.token());
        headers.insert("authorization", bearer.parse().expect("a header"));
        let began = Instant::now();
        // The default buffer is zeroed at every read, which would take half of the machine's CPU time.
        let config = WebSocketConfig::default().read_buffer_size(4 * 1024);
        let connected = connect_async_with_config(request, Some(config), true).await;
        let (stream, _) = connected.map_err(|error| match error {
            tungstenite::Error::Http(answer) => lost(format!("handshake: {}", answer.status().as_u16())),
            other => lost(other.to_string()),
        })?;
        let (sends, reads) = (HashMap::new(), HashMap::new());
        let heard = tokio::time::Instant::now();
        let mut session = Session { socket, began, stream, sends, reads, frames: 0, heard };
        let hello = match &self.cursor {
            Some(cursor) => json!({ "op": "hello", "cursor": cursor }),
            None => json!({ "op": "hello" }),
        };
        session.tells(&hello).await?;
        let ready = session.hears().await?;
        if ready["op"] != "ready" {
            return Err(lost(format!("not ready: {ready}")));
        }
        let heads: Vec<(ConversationId, u64)> = ready["conversations"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|head| (id(&head["id"]), head["head"].as_u64().expect("a position")))
            .collect();
        let with_cursor = self.cursor.is_some();
        if !with_cursor {
            let mut reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
            reached.extend(heads.iter().copied());
        }
        let (device, user) = (self.number, self.person.id);
        self.person.world.history.note(What::Ready { device, user, socket, node, with_cursor, heads });
        self.takes_cursor(&ready);
        Ok(session)
    }

    /// Runs a socket until it ends.
    async fn converses(&mut self, mut session: Session) -> End {
        self.storm.mark_unchanged();
        let end = loop {
            if *self.is_slow.borrow_and_update() {
                let _ = self.is_slow.wait_for(|slow| !slow).await;
                session.heard = tokio::time::Instant::now();
            }
            let heard = tokio::select! {
                _ = self.storm.changed() => {
                    break End { code: None, why: "storm".into(), retry_after: None };
                }
                _ = self.is_slow.changed() => continue,
                Some(wish) = self.wishes.recv() => self.grants(&mut session, wish).await,
                frame = timeout_at(session.heard + SILENCE, session.hears()) => match frame {
                    Ok(Ok(frame)) => {
                        session.heard = tokio::time::Instant::now();
                        self.takes(&mut session, &frame);
                        Ok(())
                    }
                    Ok(Err(end)) => Err(end),
                    Err(_) => Err(End { code: None, why: "silent".into(), retry_after: None }),
                },
            };
            if let Err(end) = heard {
                break end;
            }
        };
        let history = &self.person.world.history;
        for (key, outcome) in session.sends.into_values() {
            history.note(What::Unknown { key, why: "the socket ended".into() });
            let _ = outcome.send(Outcome::Unknown);
        }
        end
    }

    async fn grants(&mut self, session: &mut Session, wish: Wish) -> Result<(), End> {
        session.frames += 1;
        let id = session.frames.to_string();
        match wish {
            Wish::Send { key, text, outcome } => {
                let frame = json!({ "op": "send", "id": id, "conversation_id": key.conversation,
                                    "client_id": key.client_id, "text": text });
                session.sends.insert(id, (key, outcome));
                session.tells(&frame).await
            }
            Wish::Read { conversation, position } => {
                let frame =
                    json!({ "op": "read", "id": id, "conversation_id": conversation, "position": position });
                session.reads.insert(id, (conversation, position));
                session.tells(&frame).await
            }
        }
    }

    /// Handles a frame from the server.
    fn takes(&mut self, session: &mut Session, frame: &Value) {
        let (socket, history) = (session.socket, self.person.world.history.clone());
        let answered = frame["id"].as_str().unwrap_or_default();
        match frame["op"].as_str().unwrap_or_default() {
            "event" => {
                let (conversation, position) = (id(&frame["conversation_id"]), position(frame));
                let said =
                    ["type", "id", "actor", "time"].map(|name| frame[name].as_str().unwrap_or_default());
                let previous = frame["previous"].as_u64().expect("a position");
                let digest = digest(said, &frame["data"]);
                history.note(What::Frame { socket, conversation, position, previous, digest });
                let mut reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
                let at = reached.entry(conversation).or_default();
                *at = position.max(*at);
            }
            "ack" => {
                if let Some((key, outcome)) = session.sends.remove(answered) {
                    let (position, message_id) = (position(frame), message_id(&frame["message_id"]));
                    history.note(What::Acknowledged { key, position, message_id, body: None });
                    let _ = outcome.send(Outcome::Stored);
                } else if let Some((conversation, position)) = session.reads.remove(answered) {
                    history.note(What::Read { user: self.person.id, conversation, position });
                }
            }
            "error" => {
                let code = frame["code"].as_str().unwrap_or_default().to_owned();
                session.reads.remove(answered);
                let Some((key, outcome)) = session.sends.remove(answered) else { return };
                let (what, came) = match frame["retry_after_ms"].is_null() {
                    true => (What::Refused { key, status: 0, code }, Outcome::Refused),
                    false => (What::Unknown { key, why: code }, Outcome::Unknown),
                };
                history.note(what);
                let _ = outcome.send(came);
            }
            "heartbeat" => {
                self.takes_cursor(frame);
                let named = frame["heads"].as_object().into_iter().flatten();
                let heads: Vec<_> = named
                    .map(|(id, head)| (id.parse().expect("an id"), head.as_u64().expect("a position")))
                    .collect();
                if !heads.is_empty() {
                    history.note(What::Heads { socket, heads });
                }
            }
            "caught_up" => {
                self.takes_cursor(frame);
                history.note(What::CaughtUp { socket, millis: session.began.elapsed().as_millis() as u64 });
            }
            "reset" => {
                let reason = frame["reason"].as_str().unwrap_or_default().to_owned();
                history.note(What::Reset { socket, reason });
            }
            _ => {}
        }
    }

    fn takes_cursor(&mut self, frame: &Value) {
        self.cursor = frame["cursor"].as_str().map(str::to_owned).or(self.cursor.take());
    }
}

impl Session {
    async fn tells(&mut self, frame: &Value) -> Result<(), End> {
        let told = timeout(SILENCE, self.stream.send(Message::Text(frame.to_string().into()))).await;
        let why = match told {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "nothing can be written".to_owned(),
        };
        Err(End { code: None, why, retry_after: None })
    }

    /// Receives the next frame. Safe to cancel.
    async fn hears(&mut self) -> Result<Value, End> {
        loop {
            match self.stream.next().await {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).expect("JSON")),
                Some(Ok(Message::Close(Some(close)))) => {
                    let why = close.reason.as_str().to_owned();
                    let retry_after =
                        why.split_once("retry_after_ms=").and_then(|(_, after)| after.parse().ok());
                    return Err(End { code: Some(close.code.into()), why, retry_after });
                }
                Some(Ok(Message::Close(None))) | None => {
                    return Err(End { code: None, why: "ended".into(), retry_after: None });
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => {
                    return Err(End { code: None, why: error.to_string(), retry_after: None });
                }
            }
        }
    }
}

fn id(value: &Value) -> ConversationId {
    value.as_str().expect("an id").parse().expect("an id")
}

/// Sockets are numbered from 1.
fn next_socket() -> history::Socket {
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
