//! Starts a server on a port of its own, and waits for its first answer.

use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

use crate::dev::{
    DevError,
    process::{POLL, Process},
    secret::random,
};

/// The time limit for a server's first answer.
const START_DEADLINE: Duration = Duration::from_secs(30);
/// The time limit of one attempt to get an answer.
const ANSWER_DEADLINE: Duration = Duration::from_secs(2);
/// The maximum number of starts. A port can be taken between the probe and the start, and the children of a killed
/// Postgres stay for a moment.
const ATTEMPTS: u32 = 5;

/// Launches `server` on `port`, or on a free port, and waits until `answers` succeeds. A server that ends before that
/// is launched again.
pub(super) async fn start<A>(
    server: &'static str,
    port: Option<u16>,
    launch: impl Fn(u16) -> Result<Process, DevError>,
    answers: impl Fn(u16) -> A,
) -> Result<(u16, Process), DevError>
where
    A: Future<Output = Result<(), String>>,
{
    let deadline = Instant::now() + START_DEADLINE;
    let mut attempt = 1;
    loop {
        let port = port.unwrap_or_else(free_port);
        let mut process = launch(port)?;
        let ended = loop {
            let answer = tokio::time::timeout(ANSWER_DEADLINE, answers(port)).await;
            if let Ok(Ok(())) = answer {
                return Ok((port, process));
            }
            if let Some(status) = process.ended() {
                break status;
            }
            if Instant::now() > deadline {
                let why = answer
                    .map_or_else(|_| "it does not answer".into(), |said| said.err().unwrap_or_default());
                return Err(process.failed(server, format!("not ready after {START_DEADLINE:?}: {why}")));
            }
            tokio::time::sleep(POLL).await;
        };
        if attempt == ATTEMPTS || Instant::now() > deadline {
            return Err(process.failed(server, format!("it exited with {ended}")));
        }
        attempt += 1;
        tokio::time::sleep(POLL * 20).await;
    }
}

/// A free port of loopback, below the range from which the system assigns ports to outgoing connections. A port in
/// that range could be taken while its server is down, even by a client that reconnects to the server.
pub fn free_port() -> u16 {
    let draw = || 10_000 + u16::from_le_bytes(random()) % 20_000;
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    // If no port is free, the start fails with the server's own message.
    std::iter::repeat_with(draw).take(100).find(is_free).unwrap_or_else(draw)
}
