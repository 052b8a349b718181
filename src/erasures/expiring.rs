//! Retention. Reads compare times, so they stop showing a message as soon as it is older than the retention of its
//! conversation. The deletion follows here: a node finds such messages and requests their erasure, as an operator
//! would. So the log lists the empty positions, retries are still recognised, legal holds keep what they name, and the
//! archive is rewritten.

use std::time::Duration;

use tokio::time::sleep;
use uuid::Uuid;

use crate::{
    accounts::{
        By, Stamp, erasures,
        erasures::{ErasurePart, ErasureRequest},
        expiring,
    },
    domain::{ConversationId, ErasureId, RetentionRules, UserId},
    erasures::{asking::Erasures, error::ErasureError},
    views,
};

/// The pause between two batches of conversations.
const PAUSE: Duration = Duration::from_millis(100);
/// The pause after the last conversation. Expired messages are invisible meanwhile.
const LOOK: Duration = Duration::from_secs(5);
/// The pause after a failure, while the eraser is behind, and while the streams admit readers that do not support
/// erasures.
const LATER: Duration = Duration::from_secs(10);
/// The maximum number of conversations in one round.
const CONVERSATIONS: i64 = 200;
/// The number of messages at which a request is complete. The last conversation that is added may take it above this.
const MESSAGES: usize = 5_000;
/// The maximum number of requests whose content the log still has. At this number, no new requests are created until
/// the eraser has caught up. The messages are hidden anyway.
const REQUESTS: i64 = 20;
/// The actor of these requests: the server itself, as an id that no account has.
const SERVER: UserId = UserId::known(Uuid::from_u128(0x0000_0000_0000_7000_8000_0000_0000_0000));

/// Where a round has ended.
enum Round {
    /// After this conversation, and there are more.
    After(ConversationId),
    /// After the last conversation, or before the first because another node holds the lock.
    AtEnd,
    /// Before its first conversation: the eraser has to catch up first.
    EraserIsBehind,
}

/// Requests the erasure of expired messages.
pub(crate) struct Expiring {
    pub(crate) erasures: Erasures,
    pub(crate) rules: RetentionRules,
}

impl Expiring {
    /// Looks for expired messages until the process ends.
    pub(crate) async fn run(self) {
        let mut after = None;
        loop {
            let pause = match self.step(after).await {
                Ok(Round::After(last)) => {
                    after = Some(last);
                    PAUSE
                }
                Ok(Round::AtEnd) => {
                    after = None;
                    LOOK
                }
                Ok(Round::EraserIsBehind) => LATER,
                Err(error) => {
                    match error {
                        // An operator sees this error at the first erasure that is requested by hand.
                        ErasureError::OldReaders => {
                            tracing::debug!(%error, "expired messages are not being erased");
                        }
                        error => tracing::warn!(%error, "could not look for expired messages; retrying"),
                    }
                    LATER
                }
            };
            sleep(pause).await;
        }
    }

    /// Requests the erasure of expired messages in the next conversations.
    async fn step(&self, after: Option<ConversationId>) -> Result<Round, ErasureError> {
        let Erasures { pool, log, .. } = &self.erasures;
        let Some(mut turn) = expiring::take_turn(pool).await? else { return Ok(Round::AtEnd) };
        let under_way = expiring::under_way(&mut turn).await?;
        if under_way.requests >= REQUESTS {
            return Ok(Round::EraserIsBehind);
        }
        let but = &under_way.conversations;
        let found = views::expired_messages(pool, self.rules, after, but, CONVERSATIONS).await?;
        if !found.due.is_empty() && !log.is_for_readers_of_erasures().await? {
            return Err(ErasureError::OldReaders);
        }
        let mut parts: Vec<ErasurePart> = Vec::new();
        for (conversation, positions) in found.due {
            parts.push(ErasurePart { conversation, positions, events: Vec::new(), told_at: None });
            if count(&parts) >= MESSAGES {
                self.ask(std::mem::take(&mut parts)).await?;
            }
        }
        if !parts.is_empty() {
            self.ask(parts).await?;
        }
        turn.rollback().await?;
        Ok(found.last.map_or(Round::AtEnd, Round::After))
    }

    async fn ask(&self, parts: Vec<ErasurePart>) -> Result<(), ErasureError> {
        let Erasures { pool, clock, .. } = &self.erasures;
        let (id, reason) = (clock.id(ErasureId::known), expiring::RETENTION.into());
        let erasure = ErasureRequest::of_messages(id, SERVER, reason, clock.now(), parts);
        erasures::add(pool, &erasure, Stamp::now(clock, By::default())).await?;
        Ok(())
    }
}

fn count(parts: &[ErasurePart]) -> usize {
    parts.iter().map(|part| part.positions.len()).sum()
}
