//! Retention: what is older than the retention of its conversation is shown to nobody at once, by a comparison of times at each
//! read. This is what follows: a node looks for such messages and asks for their erasure, like an operator. So the log says which
//! positions are empty, retries are known, legal holds keep what they name, and the archive is rewritten.

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
/// The pause after the last conversation. Nobody sees an expired message meanwhile.
const LOOK: Duration = Duration::from_secs(5);
/// The pause after a failure, and while the streams admit readers that do not know erasures.
const LATER: Duration = Duration::from_secs(10);
/// The conversations of one look.
const CONVERSATIONS: i64 = 200;
/// The most messages of a request, give or take those of one conversation.
const MESSAGES: usize = 5_000;
/// The most requests of which the log has something left. Until the eraser has come so far, no more is listed: it is hidden anyway.
const REQUESTS: i64 = 20;
/// Who asks: the server itself, by an id that no account has.
const SERVER: UserId = UserId::known(Uuid::from_u128(0x0000_0000_0000_7000_8000_0000_0000_0000));

/// Asks for the erasure of what is expired.
pub(crate) struct Expiring {
    pub(crate) erasures: Erasures,
    pub(crate) rules: RetentionRules,
}

impl Expiring {
    /// Looks for what is expired for as long as the process lives.
    pub(crate) async fn run(self) {
        let mut after = None;
        loop {
            let pause = match self.step(after).await {
                Ok(last) => {
                    after = last;
                    if last.is_some() { PAUSE } else { LOOK }
                }
                Err(error) => {
                    match error {
                        // An operator learns it from the first erasure that somebody asks for.
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

    /// Asks for what is expired in the next conversations. Returns the last of them; `None` if there is none behind it, or if
    /// it is the turn of another node.
    async fn step(&self, after: Option<ConversationId>) -> Result<Option<ConversationId>, ErasureError> {
        let Erasures { pool, log, .. } = &self.erasures;
        let Some(mut turn) = expiring::take_turn(pool).await? else { return Ok(None) };
        let under_way = expiring::under_way(&mut turn).await?;
        if under_way.requests >= REQUESTS {
            return Ok(after);
        }
        let but = &under_way.conversations;
        let found = views::expired_messages(pool, self.rules, after, but, CONVERSATIONS).await?;
        if !found.due.is_empty() && !log.is_for_readers_of_erasures().await? {
            return Err(ErasureError::OldReaders);
        }
        let mut parts: Vec<ErasurePart> = Vec::new();
        for (conversation, positions) in found.due {
            parts.push(ErasurePart { conversation, positions, told_at: None });
            if count(&parts) >= MESSAGES {
                self.ask(std::mem::take(&mut parts)).await?;
            }
        }
        if !parts.is_empty() {
            self.ask(parts).await?;
        }
        turn.rollback().await?;
        Ok(found.last)
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
