//! Handshakes of sockets.

use std::collections::BTreeMap;

use futures_util::StreamExt as _;
use serde::Deserialize;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use super::{
    answer::{Expected, Heard, hears, judge},
    catalogue::{Verdict, holds, same},
    stage::Stage,
};
use crate::world::{PATIENCE, open};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Handshake {
    line: Option<String>,
    #[serde(default)]
    set: BTreeMap<String, String>,
    #[serde(default)]
    drop: Vec<String>,
    status: u16,
    code: Option<String>,
    close: Option<u16>,
}

const GOOD: &[(&str, &str)] = &[
    ("host", "x"),
    ("connection", "Upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("sec-websocket-protocol", "verbatim.v1"),
    ("authorization", "Bearer ${token}"),
];

async fn tries(stage: &Stage, case: &Handshake) -> Verdict {
    let mut headers: BTreeMap<&str, &str> = GOOD.iter().copied().collect();
    headers.extend(case.set.iter().map(|(name, value)| (&**name, &**value)));
    headers.retain(|name, _| !case.drop.iter().any(|dropped| dropped == name));
    let line = case.line.as_deref().unwrap_or("GET /v1/ws HTTP/1.1");
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let request = stage.template().fill(&format!("{line}\r\n{headers}\r\n"));
    let Heard { status, head, body, .. } = hears(stage, request.as_bytes()).await?;
    judge(
        status,
        &body,
        &Expected { status: case.status, code: case.code.as_deref(), ..Expected::default() },
    )?;
    if status == 101 {
        same("extensions", head.contains("sec-websocket-extensions"), false)?;
        same("the protocol", head.contains("sec-websocket-protocol: verbatim.v1"), true)?;
    }
    let Some(code) = case.close else { return Ok(()) };
    let token = stage.template().fill(case.set["authorization"].trim_start_matches("Bearer "));
    let mut socket = open(stage.ana.address, Some(&token)).await.map_err(|e| e.to_string())?;
    match timeout(PATIENCE, socket.next()).await {
        Ok(Some(Ok(Message::Close(Some(close))))) => same("the close code", u16::from(close.code), code),
        other => Err(format!("it is not closed: {other:?}")),
    }
}

#[tokio::test]
async fn handshakes_that_are_wrong_are_refused_and_leave_nothing() {
    let settings = [("VERBATIM_ORIGINS", "https://chat.example"), ("VERBATIM_SOCKETS_PER_USER", "1000")];
    let stage = Stage::is_set_with(&settings).await;
    holds(stage, include_str!("../../bad_input/handshake.toml"), tries).await;
}
