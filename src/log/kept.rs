//! The durables of consumers as an archive keeps them.
//!
//! In a cluster, a durable with one replica is away with its server. Until nats-server considers the server offline, it
//! waits for 4 s and lists only the other durables. Afterwards it also lists this durable, as if nothing had been
//! acknowledged. In both cases it names the durable as missing.

use std::time::Duration;

use async_nats::jetstream::response::Response;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::log::{Log, OpenError, errors::refused};

/// How long a list may take: longer than nats-server waits for a server that is away.
const LIST: Duration = Duration::from_secs(10);
/// The streams whose lists are asked for at once.
const AT_ONCE: usize = 16;

/// A durable of a consumer: what it reads, and how far it has acknowledged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct KeptDurable {
    /// The stream that it reads.
    pub stream: String,
    /// Its name.
    pub name: String,
    /// All events up to this position are acknowledged.
    pub ack_floor: u64,
    /// Its configuration, as JetStream's API has it.
    pub config: Value,
}

/// A page of the list of a stream's consumers.
#[derive(Deserialize)]
struct Page {
    total: usize,
    limit: usize,
    consumers: Option<Vec<Listed>>,
    missing: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Listed {
    config: Value,
    ack_floor: Floor,
}

#[derive(Deserialize)]
struct Floor {
    stream_seq: u64,
}

impl Page {
    /// The durables of a page. A durable that is missing is as it is `known` to have been.
    fn durables(self, stream: &str, known: &[KeptDurable]) -> Vec<KeptDurable> {
        let missing = self.missing.unwrap_or_default();
        let was = known.iter().filter(|kept| kept.stream == stream && missing.contains(&kept.name)).cloned();
        let is = self.consumers.into_iter().flatten().filter_map(|Listed { config, ack_floor }| {
            let name =
                config["durable_name"].as_str().filter(|name| !missing.iter().any(|away| away == name))?;
            let name = name.to_owned();
            Some(KeptDurable { stream: stream.to_owned(), name, ack_floor: ack_floor.stream_seq, config })
        });
        was.chain(is).collect()
    }
}

impl Log {
    /// The durables of all streams that an archive keeps. `known` has those that were there before.
    pub(crate) async fn kept_durables(&self, known: &[KeptDurable]) -> Result<Vec<KeptDurable>, OpenError> {
        let streams = stream::iter(self.kept_streams());
        let lists = streams.map(|stream| async move { self.durables_on(&stream, known).await });
        lists.buffered(AT_ONCE).try_concat().await
    }

    async fn durables_on(&self, stream: &str, known: &[KeptDurable]) -> Result<Vec<KeptDurable>, OpenError> {
        let mut patient = self.jetstream.clone();
        patient.set_timeout(LIST);
        let (mut kept, mut offset) = (Vec::new(), 0);
        loop {
            let asked =
                patient.request(format!("CONSUMER.LIST.{stream}"), &json!({ "offset": offset })).await;
            let page: Page = match asked.map_err(refused)? {
                Response::Ok(page) => page,
                Response::Err { error } => return Err(refused(error)),
            };
            let (total, limit) = (page.total, page.limit.max(1));
            kept.extend(page.durables(stream, known));
            offset += limit;
            if offset >= total {
                return Ok(kept);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_durable_that_is_away_is_as_it_was() {
        let durable = |name: &str, ack_floor| {
            let (stream, name) = ("CHAT_0".to_owned(), name.to_owned());
            KeptDurable { config: json!({ "durable_name": name }), stream, name, ack_floor }
        };
        let listed = |name: &str, floor: u64| json!({ "name": name, "config": { "durable_name": name }, "ack_floor": { "stream_seq": floor } });
        let of = |consumers: Value, missing: Value| {
            let page = json!({ "total": 2, "limit": 256, "consumers": consumers, "missing": missing });
            serde_json::from_value::<Page>(page).expect("a page")
        };
        let (known, expected) = ([durable("away", 5)], [durable("away", 5), durable("here", 7)]);
        for page in [
            of(json!([listed("here", 7)]), json!(["away", "of_no_durable"])),
            of(json!([listed("here", 7), listed("away", 0)]), json!(["away"])),
        ] {
            assert_eq!(page.durables("CHAT_0", &known), expected);
        }
        let back =
            of(json!([listed("away", 9), { "config": {}, "ack_floor": { "stream_seq": 3 } }]), json!(null));
        assert_eq!(back.durables("CHAT_0", &known), [durable("away", 9)]);
        assert_eq!(of(json!(null), json!(["away"])).durables("CHAT_1", &known), []);
    }
}
