//! The answer to a request, and the expected answer.

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::{
    catalogue::{Verdict, same},
    stage::Stage,
};
use crate::world::PATIENCE;

/// The 5xx statuses that a node may answer on purpose: it does not know the method or the version, or the views have
/// not reached the wanted position. No input may cause another one.
const MEANT: [u16; 3] = [501, 503, 505];

/// The answer to bytes.
pub struct Heard {
    pub status: u16,
    /// In lower case.
    pub head: String,
    pub body: String,
    /// Whether the connection ended after the answer.
    pub ends: bool,
}

/// The expected answer of a case.
#[derive(Default)]
pub struct Expected<'a> {
    pub status: u16,
    pub code: Option<&'a str>,
    pub pointer: Option<&'a str>,
    /// A part of the text for people.
    pub says: Option<&'a str>,
}

/// Sends bytes and reads the answer. If its connection ends, nothing may follow it: that would be the answer to a
/// request that was hidden in the first one.
pub async fn hears(stage: &Stage, bytes: &[u8]) -> Result<Heard, String> {
    let mut stream = TcpStream::connect(stage.ana.address).await.map_err(|e| e.to_string())?;
    // A request that is refused early may end the connection before all of it is written.
    let _ = stream.write_all(bytes).await;
    let mut heard = Vec::new();
    let read = async {
        loop {
            let mut piece = [0; 4096];
            match stream.read(&mut piece).await {
                Ok(0) | Err(_) => return,
                Ok(read) => heard.extend_from_slice(&piece[..read]),
            }
            if length(&heard).is_some_and(|length| heard.len() >= length) && !ends(&heard) {
                return;
            }
        }
    };
    timeout(PATIENCE, read).await.map_err(|_| "there is no answer in time")?;
    let length = length(&heard).ok_or("the connection ends without an answer")?;
    if heard.len() > length && !heard.starts_with(b"HTTP/1.1 101") {
        return Err(format!("more than one answer: {}", String::from_utf8_lossy(&heard)));
    }
    let text = String::from_utf8_lossy(&heard);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_default();
    let status = head.get(9..12).and_then(|status| status.parse().ok()).ok_or("there is no status")?;
    Ok(Heard { status, head: head.to_ascii_lowercase(), body: body.to_owned(), ends: ends(&heard) })
}

/// The number of bytes of the first answer, once its head has arrived.
fn length(heard: &[u8]) -> Option<usize> {
    let end = heard.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&heard[..end]).to_ascii_lowercase();
    let body = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok());
    Some(end + body.unwrap_or(0))
}

/// Whether an answer says that its connection ends.
fn ends(heard: &[u8]) -> bool {
    let text = String::from_utf8_lossy(heard).to_ascii_lowercase();
    text.split("\r\n\r\n").next().is_some_and(|head| head.contains("connection: close"))
}

/// Checks an answer. A refusal has to be a problem document, and must not echo the input.
pub fn judge(status: u16, body: &str, expected: &Expected<'_>) -> Verdict {
    same("the status", status, expected.status).map_err(|why| format!("{why}: {body}"))?;
    if status >= 500 && !MEANT.contains(&status) {
        return Err(format!("{status} is a fault of the node"));
    }
    if status < 400 {
        return Ok(());
    }
    let problem: Value =
        serde_json::from_str(body).map_err(|e| format!("no problem document ({e}): {body}"))?;
    let told = |why| format!("{why}: {body}");
    if !problem["code"].is_string() || !problem["request_id"].is_string() || body.len() > 2_000 {
        return Err(told("no code, no request_id, or the input is sent back".into()));
    }
    if let Some(code) = expected.code {
        same("the code", problem["code"].as_str(), Some(code)).map_err(told)?;
    }
    if let Some(pointer) = expected.pointer {
        same("the pointer", problem["errors"][0]["pointer"].as_str(), Some(pointer)).map_err(told)?;
    }
    match expected.says {
        Some(says) if !body.contains(says) => Err(told(format!("it does not say {says:?}"))),
        _ => Ok(()),
    }
}
