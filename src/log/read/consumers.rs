//! The consumers of replays. A stream can have only so many consumers, and followers and other services need some of
//! them. So a process has few at once, and no consumer outlives its reader, however the reader ends.

use std::{collections::HashSet, sync::Arc, time::Duration};

use async_nats::{
    StatusCode,
    jetstream::{
        Message,
        consumer::{AckPolicy, Consumer, DeliverPolicy, pull},
    },
};
use futures_util::StreamExt as _;
use tokio::time::{sleep, timeout};

use crate::{
    domain::Position,
    log::{
        Log, Unavailable, absent::is_without_consumer, memory::places::Place, read::look_up::hedged,
        streams::layout,
    },
};

/// If creating a consumer takes this long, another server is asked too.
const HEDGE: Duration = Duration::from_secs(1);
/// The longest wait for the next message of a page.
const SILENCE: Duration = Duration::from_secs(2);
/// The server deletes a consumer that gets no request for this long, because its process may be dead. A reader that
/// still needs the consumer creates another one.
const FORGOTTEN: Duration = Duration::from_secs(20);
/// The waits between attempts to delete a consumer.
const PAUSES: [Duration; 3] =
    [Duration::from_millis(100), Duration::from_millis(400), Duration::from_millis(1_600)];

/// The events that a consumer is to deliver.
#[derive(Clone)]
pub(in crate::log) struct Reading {
    pub(in crate::log) stream: usize,
    pub(in crate::log) after: Position,
    /// Empty: all subjects of the stream.
    pub(in crate::log) subjects: HashSet<String>,
}

/// A consumer with one reader. It is deleted when this is dropped.
pub(in crate::log) struct ShortLived {
    log: Log,
    consumer: Consumer<pull::Config>,
    _named: Named,
}

/// The name of a consumer that is to be deleted, even if its reader did not wait for it to be created.
struct Named {
    log: Log,
    stream: String,
    name: String,
    is_made: bool,
    place: Arc<Place>,
}

impl ShortLived {
    /// Creates a consumer, on another server if the first one is silent.
    pub(in crate::log) async fn make(
        log: &Log,
        place: &Arc<Place>,
        reading: &Reading,
    ) -> Result<Self, Unavailable> {
        hedged(HEDGE, || Self::make_one(log, place, reading)).await
    }

    async fn make_one(log: &Log, place: &Arc<Place>, reading: &Reading) -> Result<Self, Unavailable> {
        let mut named = Named {
            log: log.clone(),
            stream: layout::name(reading.stream),
            name: format!("replay-{}", crate::clock::name().simple()),
            is_made: false,
            place: place.clone(),
        };
        let config = pull::Config {
            name: Some(named.name.clone()),
            filter_subjects: reading.subjects.iter().cloned().collect(),
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: reading.after.0 + 1 },
            ack_policy: AckPolicy::None,
            inactive_threshold: FORGOTTEN,
            memory_storage: true,
            num_replicas: 1,
            ..pull::Config::default()
        };
        let made = log.jetstream.create_consumer_on_stream(config, &named.stream).await;
        let consumer = made.map_err(Unavailable::because)?;
        named.is_made = true;
        Ok(Self { log: log.clone(), consumer, _named: named })
    }

    /// How many messages the consumer had to deliver when it was created.
    pub(in crate::log) fn pending(&self) -> u64 {
        self.consumer.cached_info().num_pending
    }

    /// The next available messages, at most `limit` and about `bytes`. The servers may not know the consumer right
    /// after it was created, or after an outage. They answer 503 then, and a retry may help.
    pub(in crate::log) async fn fetch(
        &self,
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<Message>, Unavailable> {
        let inbox = self.log.client.new_inbox();
        let mut answers = self.log.client.subscribe(inbox.clone()).await.map_err(Unavailable::because)?;
        let batch = pull::BatchConfig {
            batch: limit,
            max_bytes: bytes,
            no_wait: true,
            ..pull::BatchConfig::default()
        };
        self.consumer.request_batch(batch, inbox.into()).await.map_err(Unavailable::because)?;
        let mut page = Vec::new();
        while page.len() < limit {
            let Ok(answer) = timeout(SILENCE, answers.next()).await else {
                if page.is_empty() {
                    return Err(Unavailable::because("the consumer of a replay is silent"));
                }
                break;
            };
            let message = answer.ok_or_else(|| Unavailable::because("the connection is closing"))?;
            match message.status.filter(|status| *status != StatusCode::OK) {
                None => page.push(Message { message, context: self.log.jetstream.clone() }),
                // There are no more at present.
                Some(StatusCode::NOT_FOUND | StatusCode::TIMEOUT) => break,
                // A page that is full by its bytes ends with a status, too.
                Some(_) if !page.is_empty() => break,
                Some(status) => {
                    let why = format!("the consumer of a replay was asked and the answer was {status}");
                    return Err(Unavailable::because(why));
                }
            }
        }
        Ok(page)
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (log, place, is_made) = (self.log.clone(), self.place.clone(), self.is_made);
        let (stream, name) = (std::mem::take(&mut self.stream), std::mem::take(&mut self.name));
        // The task holds the place until the consumer is deleted, so the places bound these tasks, too.
        runtime.spawn(async move {
            delete(&log, &stream, &name, is_made).await;
            drop(place);
        });
    }
}

/// A consumer that cannot be deleted expires by itself later. The servers may handle the request to delete before the
/// request to create, so their answer that there is no such consumer counts only if its creation was acknowledged.
async fn delete(log: &Log, stream: &str, name: &str, is_made: bool) {
    for pause in PAUSES {
        match log.jetstream.delete_consumer_from_stream(name, stream).await {
            Ok(_) => return,
            Err(e) if is_made && is_without_consumer(&e) => return,
            Err(e) => tracing::debug!(error = %e, name, "could not delete the consumer of a replay"),
        }
        sleep(pause).await;
    }
}
