//! A minimal REST client: requests over connections that stay open, and the setup of benchmarks with
//! them.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Semaphore,
    time::sleep,
};
use uuid::Uuid;
use verbatim::domain::{ConversationId, UserId};

use super::sockets::stamp;

const PASSWORD: &str = "correct horse battery";
/// The maximum number of initial members of a conversation.
const AT_ONCE: usize = 100;

/// A pool of connections to a node, each used by one request at a time. Cheap to clone.
#[derive(Clone)]
pub struct Rest {
    address: SocketAddr,
    free: Arc<Mutex<Vec<Connection>>>,
    turns: Arc<Semaphore>,
}

struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
}

/// A user with an account and a token.
#[derive(Clone)]
pub struct Person {
    pub id: UserId,
    pub name: String,
    pub token: Arc<str>,
}

impl Rest {
    /// A client with at most `connections`, which are opened when they are needed.
    pub fn to(address: SocketAddr, connections: usize) -> Self {
        Self { address, free: Arc::default(), turns: Arc::new(Semaphore::new(connections)) }
    }

    /// Sends a request and returns the answer. Panics if it is not a success.
    pub async fn ask(&self, method: &str, path: &str, token: &str, body: Option<Value>) -> Value {
        let (status, answer) = self.try_to(method, path, token, body).await;
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        answer
    }

    /// Sends a request and returns status and answer, whatever they are.
    pub async fn try_to(&self, method: &str, path: &str, token: &str, body: Option<Value>) -> (u16, Value) {
        let _turn = self.turns.acquire().await.expect("never closed");
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}",
        );
        loop {
            let free = self.free.lock().expect("connections").pop();
            let is_fresh = free.is_none();
            let mut connection = match free {
                Some(connection) => connection,
                None => Connection::to(self.address).await.expect("the node listens"),
            };
            match connection.exchange(request.as_bytes()).await {
                Ok(answer) => {
                    self.free.lock().expect("connections").push(connection);
                    return answer;
                }
                // The node closes connections that were idle for a while.
                Err(e) => assert!(!is_fresh, "the node answers: {e}"),
            }
        }
    }

    /// Registers people and logs them in.
    pub async fn people(&self, count: usize) -> Vec<Person> {
        let register = |_| async {
            let name = format!("bench{}", Uuid::now_v7().simple());
            let account = json!({ "username": name, "password": PASSWORD });
            let registered = self.ask("POST", "/v1/accounts", "", Some(account)).await;
            let person = Person { id: parsed(&registered["id"]), name, token: "".into() };
            self.logged_in(&person).await
        };
        stream::iter(0..count).map(register).buffered(64).collect().await
    }

    /// The same person with a fresh access token, which is valid for ten minutes.
    pub async fn logged_in(&self, person: &Person) -> Person {
        let account = json!({ "username": person.name, "password": PASSWORD });
        let login = self.ask("POST", "/v1/logins", "", Some(account)).await;
        Person { token: login["access_token"].as_str().expect("a token").into(), ..person.clone() }
    }

    /// Creates a group of these people. The first one starts it.
    pub async fn group(&self, people: &[Person]) -> ConversationId {
        let [first, others @ ..] = people else { panic!("a group has somebody") };
        let others: Vec<UserId> = others.iter().map(|person| person.id).collect();
        let (at_once, later) = others.split_at(others.len().min(AT_ONCE));
        let group = json!({ "kind": "group", "title": "A group", "members": at_once });
        let id = parsed(&self.ask("POST", "/v1/conversations", &first.token, Some(group)).await["id"]);
        for user in later {
            let member = Some(json!({ "user_id": user }));
            self.ask("POST", &format!("/v1/conversations/{id}/members"), &first.token, member).await;
        }
        id
    }

    /// Sends a message whose text ends with the time, and returns its position.
    pub async fn say(&self, who: &Person, conversation: ConversationId) -> u64 {
        let said = self.try_to_say(who, conversation).await;
        said.expect("it is said")
    }

    /// The same; `None` if it is refused.
    pub async fn try_to_say(&self, who: &Person, conversation: ConversationId) -> Option<u64> {
        let message = json!({
            "client_id": Uuid::now_v7().to_string(),
            "text": format!("This is a message, about as long as people write them. {}", stamp()),
        });
        let path = format!("/v1/conversations/{conversation}/messages");
        let (status, said) = self.try_to("POST", &path, &who.token, Some(message)).await;
        (status == 201).then(|| said["position"].as_u64().expect("a position"))
    }

    /// Waits until the views have reached a position.
    pub async fn viewed(&self, who: &Person, conversation: ConversationId, position: u64) {
        let path = format!("/v1/conversations/{conversation}/messages?limit=1&min_position={position}");
        while self.try_to("GET", &path, &who.token, None).await.0 != 200 {
            sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Connection {
    async fn to(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, read: Vec::new() })
    }

    async fn exchange(&mut self, request: &[u8]) -> io::Result<(u16, Value)> {
        self.stream.write_all(request).await?;
        loop {
            if let Some((status, from, to)) = answer(&self.read) {
                let body = serde_json::from_slice(&self.read[from..to]).unwrap_or_default();
                self.read.drain(..to);
                return Ok((status, body));
            }
            if self.stream.read_buf(&mut self.read).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// The status and the range of the body, if the answer is complete.
fn answer(read: &[u8]) -> Option<(u16, usize, usize)> {
    let end = read.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&read[..end]).expect("a head").to_ascii_lowercase();
    let status = head.get(9..12)?.parse().expect("a status");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = length.map_or(0, |length| length.trim().parse().expect("a length"));
    (read.len() >= end + length).then_some((status, end, end + length))
}

fn parsed<T: serde::de::DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).expect("an id")
}
