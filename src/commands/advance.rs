//! Moving a user's own watermarks.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::{
    commands::{deadlines::OWN_EVENT, needs::Commands, refused::Refused},
    domain::{Command, ConversationId, Event, Position, UserId},
    live::{ToldMarks, higher},
    views::Checkpoint,
};

/// The shortest time between two receipts of one user in one conversation.
const PAUSE: Duration = Duration::from_secs(1);

impl Commands {
    /// Moves the caller's watermarks up; a lower watermark changes nothing. Returns when the receipt is in
    /// the log, which takes up to a second when receipts come fast. The result is a position up to which the
    /// log is known to have the receipt.
    pub async fn advance(
        &self,
        by: UserId,
        id: ConversationId,
        delivered: Option<Position>,
        read: Option<Position>,
    ) -> Result<Position, Refused> {
        let tracked = self.of_member(by, id).await?;
        let farthest = delivered.max(read).unwrap_or_default();
        if farthest > tracked.head() {
            self.conversations.reached(id, farthest, OWN_EVENT).await;
        }
        let entry = match self.receipts.get((id, by)) {
            Some(entry) => entry,
            // The position is noted first, the view is queried as of this position second, and the entry begins third.
            // So the view has each receipt that this process followed before the entry existed. In another order the
            // entry could begin below such receipts, and they would be appended again.
            None => {
                let stream = self.log.stream_of(id);
                let position = self.conversations.positions()[stream];
                let stored = self.stored.watermarks(id, by, Checkpoint { stream, position }).await?;
                self.receipts.begin((id, by), stored)
            }
        };
        // The wanted marks are raised before the wait for the turn, so that the holder of the turn appends
        // them too. A request whose marks are in the log when its turn comes appends nothing. If the marks
        // were raised after the wait, every request would append a receipt of its own.
        let mine = {
            let mut marks = entry.marks();
            let command = Command::Advance { delivered, read, known: marks.wanted, head: tracked.head() };
            if let Some(Event::ReceiptAdvanced(more)) = tracked.conversation().decide(by, command)? {
                marks.wanted = more;
            }
            marks.wanted
        };
        let mut turn = entry.turn.lock().await;
        let ToldMarks { told, at, .. } = *entry.marks();
        if higher(told, mine) == told {
            return Ok(at.max(tracked.head()));
        }
        if let Some(told_at) = *turn {
            sleep_until(told_at + PAUSE).await;
        }
        // The wanted marks are read after the pause, so that one receipt has all marks that were raised
        // meanwhile.
        let latest = entry.marks().wanted;
        let draft = self.draft(id, by, Event::ReceiptAdvanced(latest), None);
        let position = self.log.append(&draft).await?.position;
        // The receipt is noted before the turn ends. Otherwise the next holder would append the same marks
        // again.
        *turn = Some(Instant::now());
        self.receipts.hear(id, by, position, latest);
        Ok(position)
    }
}
