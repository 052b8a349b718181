//! Frames that are not commands, or commands that are not allowed.

use futures_util::{SinkExt as _, StreamExt as _};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use super::{
    catalogue::{Verdict, holds, same},
    stage::Stage,
};
use crate::world::{PATIENCE, open};

/// The settings for trying a table of frames.
pub const SETTINGS: [(&str, &str); 1] = [("VERBATIM_SOCKETS_PER_USER", "1000")];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Frame {
    pub frame: String,
    #[serde(default = "yes")]
    begins: bool,
    error: Option<String>,
    /// The beginning of the detail.
    detail: Option<String>,
    /// The id that is echoed; empty if none is.
    id: Option<String>,
    close: Option<u16>,
    /// The reason of a `reset`.
    reset: Option<String>,
}

fn yes() -> bool {
    true
}

pub async fn tries(stage: &Stage, case: &Frame) -> Verdict {
    let mut socket = open(stage.ana.address, Some(&stage.ana.token)).await.map_err(|e| e.to_string())?;
    let gone = |e| format!("the socket has ended: {e}");
    if case.begins {
        socket.send(r#"{"op":"hello"}"#.into()).await.map_err(gone)?;
    }
    let frame = stage.template().fill(&case.frame);
    socket.send(Message::Text(frame.into())).await.map_err(gone)?;
    let (mut error, mut closed, mut reset) = (Value::Null, None, Value::Null);
    let heard = async {
        loop {
            match socket.next().await {
                Some(Ok(Message::Text(text))) => {
                    let frame: Value = serde_json::from_str(&text).map_err(|e| e.to_string())?;
                    match frame["op"].as_str() {
                        Some("error") => error = frame,
                        Some("reset") => reset = frame["reason"].clone(),
                        _ => continue,
                    }
                    if case.close.is_none() {
                        return Ok(());
                    }
                }
                Some(Ok(Message::Close(close))) => {
                    closed = close.map(|close| u16::from(close.code));
                    return Ok(());
                }
                Some(Ok(_)) => {}
                other => return Err(format!("the socket ended: {other:?}")),
            }
        }
    };
    timeout(PATIENCE, heard).await.map_err(|_| "nothing is said of it")??;
    same("the close code", closed, case.close)?;
    same("the reset", reset.as_str(), case.reset.as_deref())?;
    same("the error", error["code"].as_str(), case.error.as_deref())
        .map_err(|why| format!("{why}: {error}"))?;
    let detail = error["detail"].as_str().unwrap_or_default();
    if case.detail.as_ref().is_some_and(|start| !detail.starts_with(&**start)) {
        return Err(format!("another detail: {detail}"));
    }
    if let Some(id) = &case.id {
        same("the id", error["id"].as_str().unwrap_or_default(), id)?;
    }
    if error.to_string().len() > 1_000 { Err("the input is sent back".into()) } else { Ok(()) }
}

#[tokio::test]
async fn frames_that_are_wrong_are_refused_and_leave_nothing() {
    let stage = Stage::is_set_with(&SETTINGS).await;
    holds(stage, include_str!("../../bad_input/frames.toml"), tries).await;
}
