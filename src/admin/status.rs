//! `/status`: what the page for operators shows in addition to `/readyz` and `/metrics`. `verbatim status` shows all of
//! it, too.

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

use crate::{domain::Position, log::Log, views};

/// How long an answer is reused. So many open pages cause no more queries to the log and Postgres than one.
const FRESH: Duration = Duration::from_secs(2);
/// The time limit for each part of an answer.
const DEADLINE: Duration = Duration::from_secs(2);
/// The maximum number of parked events in an answer.
const MOST_PARKED: i64 = 100;

/// The sources of the figures, once the process has both.
pub(super) struct Sources {
    pub(super) log: Log,
    pub(super) pool: PgPool,
    pub(super) roles: Vec<String>,
}

/// The position of a stream and of its readers.
#[derive(Debug, Clone)]
pub(super) struct StreamStatus {
    pub(super) last: Option<Position>,
    /// The position that the views include; `None` while Postgres does not answer.
    pub(super) views: Option<Position>,
    /// The position up to which this node has followed the stream.
    pub(super) followed: Position,
}

/// The last answer about the installation, with its time.
#[derive(Default)]
pub(super) struct StatusCache(Mutex<Option<(Instant, Value)>>);

impl StatusCache {
    /// The body of `/status`; parts that cannot be read in time are `null`.
    pub(super) async fn body(&self, sources: Option<&Sources>, streams: &[StreamStatus]) -> Value {
        let Some(sources) = sources else {
            return json!({ "version": env!("CARGO_PKG_VERSION"), "roles": [], "streams": [] });
        };
        let mut kept = self.0.lock().await;
        let shared = match &*kept {
            Some((at, shared)) if at.elapsed() < FRESH => shared.clone(),
            _ => {
                let shared = sources.installation().await;
                *kept = Some((Instant::now(), shared.clone()));
                shared
            }
        };
        let streams: Vec<Value> = streams.iter().enumerate().map(stream_body).collect();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "epoch": sources.log.epoch().to_string(),
            "roles": sources.roles,
            "streams": streams,
            "nodes": shared["nodes"],
            "parked": shared["parked"],
        })
    }
}

fn stream_body((index, stream): (usize, &StreamStatus)) -> Value {
    let StreamStatus { last, views, followed } = stream;
    json!({
        "stream": format!("CHAT_{index}"),
        "last": last.map(|last| last.0),
        "views": views.map(|views| views.0),
        "followed": followed.0,
    })
}

impl Sources {
    /// The nodes and the parked events, which look the same from every node.
    async fn installation(&self) -> Value {
        let nodes = async {
            let nodes = timeout(DEADLINE, self.log.nodes()).await.ok()?.ok()?;
            let node = |(node, sessions)| json!({ "node": format!("{node}"), "sessions": sessions });
            Some(nodes.into_iter().map(node).collect::<Vec<Value>>())
        };
        let parked = async {
            let parked = timeout(DEADLINE, views::first_parked(&self.pool, MOST_PARKED)).await.ok()?.ok()?;
            let event = |(stream, parked): (usize, views::Parked)| {
                json!({
                    "stream": format!("CHAT_{stream}"),
                    "position": parked.position.0,
                    "conversation_id": parked.conversation.map(|id| id.to_string()),
                    "reason": parked.reason,
                })
            };
            Some(parked.into_iter().map(event).collect::<Vec<Value>>())
        };
        let (nodes, parked) = tokio::join!(nodes, parked);
        json!({ "nodes": nodes, "parked": parked })
    }
}
