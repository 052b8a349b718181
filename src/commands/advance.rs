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
        // The client may have the position from a node that is ahead of this one.
        if farthest > tracked.head() && !self.conversations.reached(id, farthest, OWN_EVENT).await {
            self.conversations.catch_up(id).await?;
        }
        let entry = self.receipts.of((id, by));
        if !entry.is_complete(&tracked) {
            let head = Checkpoint { stream: self.log.stream_of(id), position: tracked.head() };
            let (stored, is_whole) = self.stored.watermarks(id, by, head).await?;
            match is_whole {
                true => entry.learn(stored, &tracked),
                false => entry.hear(stored),
            }
        }
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
        let _turn = entry.turn.lock().await;
        let is_told = |marks: &ToldMarks| higher(marks.told, mine) == marks.told;
        let before = *entry.marks();
        if let Some(last) = before.last.filter(|_| !is_told(&before)) {
            sleep_until(last + PAUSE).await;
            // The user may have been removed during the pause, and a receipt would be void.
            self.of_member(by, id).await?;
        }
        // The marks are read after the pause, so that one receipt has all marks that were raised meanwhile. Another
        // node may have appended them, too.
        let now = *entry.marks();
        if is_told(&now) {
            return Ok(now.at.max(tracked.head()));
        }
        let draft = self.draft(id, by, Event::ReceiptAdvanced(now.wanted), None);
        let position = self.log.append(&draft).await?.position;
        entry.marks().last = Some(Instant::now());
        // The turn ends when this process has followed the receipt. Otherwise the next holder would append the same
        // marks again.
        if self.conversations.reached(id, position, OWN_EVENT).await && !is_told(&entry.marks()) {
            // The user may have been removed just before the receipt, which is void then.
            self.of_member(by, id).await?;
        }
        Ok(position)
    }
}
