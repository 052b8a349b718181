//! Moving a user's own watermarks.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::{
    commands::{
        deadlines::OWN_EVENT,
        needs::Commands,
        receipts::{Marks, higher},
        refused::Refused,
    },
    domain::{Command, ConversationId, Event, Position, UserId},
    views::Checkpoint,
};

/// The shortest time between two receipts of one user in one conversation.
const PAUSE: Duration = Duration::from_secs(1);

impl Commands {
    /// Moves the caller's watermarks up; going back is a no-op. Answers when the log has it, which
    /// takes up to a second when receipts come fast, and up to where it has it.
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
        let entry = match self.receipts.entry((id, by)) {
            Some(entry) => entry,
            None => {
                let stream = self.log.stream_of(id);
                let position = self.conversations.positions()[stream];
                let stored = self.receipts.stored(id, by, Checkpoint { stream, position }).await?;
                self.receipts.begin((id, by), stored)
            }
        };
        let mine = {
            let mut marks = entry.marks();
            let command = Command::Advance { delivered, read, known: marks.wanted, head: tracked.head() };
            if let Some(Event::ReceiptAdvanced(more)) = tracked.conversation().decide(by, command)? {
                marks.wanted = more;
            }
            marks.wanted
        };
        let mut turn = entry.turn.lock().await;
        let Marks { told, at, .. } = *entry.marks();
        if higher(told, mine) == told {
            return Ok(at.max(tracked.head()));
        }
        if let Some(told_at) = *turn {
            sleep_until(told_at + PAUSE).await;
        }
        let latest = entry.marks().wanted;
        let draft = self.draft(id, by, Event::ReceiptAdvanced(latest), None);
        let position = self.log.append(&draft).await?.position;
        *turn = Some(Instant::now());
        self.receipts.hear(id, by, position, latest);
        Ok(position)
    }
}
