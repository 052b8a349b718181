//! The consumers with which the log is read again. A stream has only so many places for consumers, and
//! followers and other services need some of them: a process has few at once, and none outlives its
//! reader, however that ends.

use std::{collections::HashSet, sync::Arc, time::Duration};

use async_nats::{
    StatusCode,
    jetstream::{
        ErrorCode, Message,
        consumer::{AckPolicy, Consumer, DeliverPolicy, pull},
        stream::{ConsumerError, ConsumerErrorKind},
    },
};
use futures_util::StreamExt as _;
use tokio::time::{sleep, timeout};

use crate::{
    domain::Position,
    log::{
        Log, Unavailable,
        memory::places::Place,
        read::look_up::hedged,
        streams::layout,
    },
};

/// A consumer is asked for again on another server when none has been made for so long.
const HEDGE: Duration = Duration::from_secs(1);
/// How long the next message of a page is waited for.
const SILENCE: Duration = Duration::from_secs(2);
/// A consumer whose process died goes by itself. One that is still wanted then is made anew.
const FORGOTTEN: Duration = Duration::from_secs(20);
/// How long to wait before it is tried again to delete a consumer, each time.
const PAUSES: [Duration; 3] =
    [Duration::from_millis(100), Duration::from_millis(400), Duration::from_millis(1_600)];

/// What a consumer shall give.
#[derive(Clone)]
pub(in crate::log) struct Reading {
    pub(in crate::log) stream: usize,
    pub(in crate::log) after: Position,
    /// None: all.
    pub(in crate::log) subjects: HashSet<String>,
}

/// A consumer with one reader. It is deleted when this is dropped.
pub(in crate::log) struct ShortLived {
    log: Log,
    consumer: Consumer<pull::Config>,
    _named: Named,
}

/// The name of a consumer that is to be deleted, also if nobody has waited for the answer that it was
/// made.
struct Named {
    log: Log,
    stream: String,
    name: String,
    is_made: bool,
    place: Arc<Place>,
}

impl ShortLived {
    /// Makes a consumer, on another server if the first one is silent.
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

    /// How many messages it had to give when it was made, as it says itself.
    pub(in crate::log) fn pending(&self) -> u64 {
        self.consumer.cached_info().num_pending
    }

    /// The next messages that are there, at most so many and about so many bytes of them. Right after it
    /// was made the servers may not know of the consumer yet, and after an outage not any more: they
    /// answer 503, and it is worth asking again.
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
        // The place is held until then: that bounds these tasks, too.
        runtime.spawn(async move {
            delete(&log, &stream, &name, is_made).await;
            drop(place);
        });
    }
}

/// What cannot be deleted goes by itself later. The servers may come to the request to delete before
/// the one to make, so that there is none is believed only of one that was seen.
async fn delete(log: &Log, stream: &str, name: &str, is_made: bool) {
    for pause in PAUSES {
        match log.jetstream.delete_consumer_from_stream(name, stream).await {
            Ok(_) => return,
            Err(e) if is_made && is_gone(&e) => return,
            Err(e) => tracing::debug!(error = %e, name, "could not delete the consumer of a replay"),
        }
        sleep(pause).await;
    }
}

fn is_gone(e: &ConsumerError) -> bool {
    matches!(e.kind(), ConsumerErrorKind::JetStream(e) if e.error_code() == ErrorCode::CONSUMER_NOT_FOUND)
}
