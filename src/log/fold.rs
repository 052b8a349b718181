//! A conversation folded from its events.

use super::{Log, Recorded, Unavailable};
use crate::{
    domain::{ConversationId, Fold, Lane, Position},
    telemetry::METRICS,
};

impl Recorded {
    /// Takes this event into a fold; the position before it in the chain, or `None` if it is void,
    /// cannot be read or was read before.
    pub fn apply_to(&self, fold: &mut Fold) -> Option<Position> {
        let seen = fold.read;
        if self.poison.is_some() {
            fold.read = seen.max(self.position);
            return None;
        }
        let previous = fold.apply(self.position, self.actor, self.lane, self.event.as_ref());
        if previous.is_none() && self.position > seen {
            METRICS.void_events.inc();
        }
        previous
    }
}

impl Log {
    /// Folds a conversation up to and with a position, or as far as it goes: its whole roster, and
    /// the last event that counts.
    pub async fn fold(&self, id: ConversationId, up_to: Option<Position>) -> Result<Fold, Unavailable> {
        // The heads come first and tell how far this fold goes: what is stored between the two
        // reads is still to come from the follower.
        let heads = self.heads(id, up_to).await?;
        let read = heads.iter().map(|recorded| recorded.position).max().unwrap_or_default();
        let last = heads.iter().find(|recorded| recorded.lane == Lane::Roster);
        let roster = self.roster(id, last.map_or(Position::START, |recorded| recorded.position)).await?;
        let head = self.last_that_counts(id, &roster, heads).await?;
        let mut fold = Fold::default();
        for recorded in &roster {
            recorded.apply_to(&mut fold);
        }
        Ok(Fold { head, read, ..fold })
    }

    /// The last event of the chain: what is void is passed over.
    async fn last_that_counts(
        &self,
        id: ConversationId,
        roster: &[Recorded],
        mut heads: Vec<Recorded>,
    ) -> Result<Position, Unavailable> {
        while let Some(last) = heads.iter().max_by_key(|recorded| recorded.position) {
            let mut then = Fold::default();
            for recorded in roster.iter().take_while(|recorded| recorded.position < last.position) {
                recorded.apply_to(&mut then);
            }
            if last.poison.is_none() && then.conversation.counts(last.actor, last.lane) {
                return Ok(last.position);
            }
            heads = self.heads(id, Some(Position(last.position.0 - 1))).await?;
        }
        Ok(Position::START)
    }
}
