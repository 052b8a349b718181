//! Late content: messages of an erased account, and edits of erased messages, that were on their way to the log when it
//! was searched for them, and on their way for so long that the second search missed them, too. The network between a node
//! and its nats-server may have failed in between, or the process was suspended. So the log is searched a last time, when
//! nothing can arrive any more. What is found is erased by a request of its own, because the first one may be done.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::time::sleep;

use crate::{
    accounts::{
        By, Stamp,
        erasures::{self, ErasurePart, ErasureRequest},
    },
    domain::{ConversationId, ErasureId, Position},
    erasures::{
        error::ErasureError,
        hiding::{CLAIM, Hiding, SETTLED, entry},
    },
    log::{PAGE, WantedContent},
};

/// nats-server has closed a connection after so much silence, and drops what comes over it later: 80 seconds with the
/// settings of `deploy/log.conf`, which `verbatim check` asks for.
const SILENCE: Duration = Duration::from_secs(120);
/// How long after the hiding nothing can arrive any more.
const LATE: Duration = SETTLED.saturating_add(SILENCE);
/// The clocks of Postgres, which has noted when a request was hidden, and of JetStream may differ by so much.
const SKEW: Duration = Duration::from_secs(60);
/// The interval at which a node looks for requests.
const LOOK: Duration = Duration::from_secs(15);

impl Hiding {
    /// Looks for late content of requests that are done until the process ends.
    pub(crate) async fn look_for_late(self) {
        loop {
            match self.look_at_next().await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(%error, "could not look for late content of an erasure; retrying");
                }
            }
            sleep(LOOK).await;
        }
    }

    /// Looks for late content of one request, if there is one.
    async fn look_at_next(&self) -> Result<bool, ErasureError> {
        let now = self.clock.now();
        let Some(erasure) = erasures::claim_done(&self.pool, now, now.plus(CLAIM), LATE).await? else {
            return Ok(false);
        };
        let parts = self.late(&erasure).await?;
        if !parts.is_empty() {
            tracing::warn!(erasure = %erasure.id, "content of an erasure arrived in the log after it: erasing it, too");
            let (id, now) = (self.clock.id(ErasureId::known), self.clock.now());
            let more = ErasureRequest::of_messages(id, erasure.actor, erasure.reason.clone(), now, parts);
            erasures::add(&self.pool, &more, Stamp::now(&self.clock, By::default())).await?;
        }
        erasures::is_looked_at(&self.pool, erasure.id, now).await?;
        Ok(true)
    }

    /// What the log has of a request since it was hidden and does not list as erased: the messages, and for edits the
    /// edited messages.
    async fn late(&self, erasure: &ErasureRequest) -> Result<Vec<ErasurePart>, ErasureError> {
        let Some(hidden_at) = erasure.hidden_at else { return Ok(Vec::new()) };
        let mut by_stream: BTreeMap<usize, BTreeMap<ConversationId, WantedContent>> = BTreeMap::new();
        for part in &erasure.parts {
            let wanted = WantedContent::of(erasure.account, &part.positions);
            by_stream
                .entry(self.log.stream_of(part.conversation))
                .or_default()
                .insert(part.conversation, wanted);
        }
        let mut late: BTreeMap<ConversationId, BTreeSet<Position>> = BTreeMap::new();
        for (stream, wanted) in by_stream {
            let before = self.log.before(stream, hidden_at.minus(SKEW)).await?;
            let (ids, upto) = (wanted.keys().copied().collect::<Vec<_>>(), self.log.last(stream).await?);
            let mut replay = self.log.replay(stream, before, upto, &ids).await?;
            loop {
                let page = replay.page(PAGE).await?;
                if page.is_empty() {
                    break;
                }
                for recorded in page {
                    let wanted = wanted.get(&recorded.conversation);
                    if let Some(entry) = wanted.and_then(|wanted| entry(&recorded, wanted, false)) {
                        let message = entry.message_position.unwrap_or(entry.position);
                        late.entry(recorded.conversation).or_default().insert(message);
                    }
                }
            }
        }
        let part = |(conversation, positions): (_, BTreeSet<Position>)| ErasurePart {
            conversation,
            positions: positions.into_iter().collect(),
            events: Vec::new(),
            told_at: None,
        };
        Ok(late.into_iter().map(part).collect())
    }
}
