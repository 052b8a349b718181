//! The private settings of a member for a conversation. A change is not an event, and other members do not learn of it.

use crate::{
    accounts::{self, ConversationSettings, Muted, SettingChanges, SettingError},
    commands::{needs::Commands, refused::Refused},
    domain::{ConversationId, Time, UserId},
    log::Unavailable,
};

/// Why the settings for a conversation were not changed.
#[derive(Debug, thiserror::Error)]
pub enum NotSettled {
    /// The mute would have ended already.
    #[error("the end of the mute must be in the future")]
    InThePast,
    /// The archive is full.
    #[error("you have archived too many conversations: unarchive one first")]
    TooManyArchived,
    /// The caller is not a member of the conversation, or a server does not answer.
    #[error(transparent)]
    Refused(#[from] Refused),
}

impl From<SettingError> for NotSettled {
    fn from(error: SettingError) -> Self {
        match error {
            SettingError::TooManyArchived => Self::TooManyArchived,
            SettingError::Database(outage) => Self::Refused(Unavailable::because(outage).into()),
        }
    }
}

impl Commands {
    /// Changes the settings of a member for a conversation.
    pub async fn settle(
        &self,
        by: UserId,
        conversation: ConversationId,
        changes: SettingChanges,
    ) -> Result<ConversationSettings, NotSettled> {
        let now = self.clock.now();
        if ends_by(changes, now) {
            return Err(NotSettled::InThePast);
        }
        self.of_member(by, conversation).await?;
        Ok(accounts::settle(&self.pool, by, conversation, changes).await?.at(now))
    }
}

/// Whether the changes hold a mute that ends at `now` or before.
fn ends_by(changes: SettingChanges, now: Time) -> bool {
    matches!(changes.muted, Some(Muted::Until(end)) if end <= now)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_mute_ends_in_the_future() {
        let now: Time = "2026-11-24T14:00:00Z".parse().expect("time");
        let until = |end| SettingChanges { muted: Some(Muted::Until(end)), archived: None };
        assert!(ends_by(until(now), now));
        assert!(!ends_by(until(now.plus(Duration::from_millis(1))), now));
        assert!(!ends_by(SettingChanges { muted: Some(Muted::ForGood), archived: None }, now));
        assert!(!ends_by(SettingChanges::default(), now));
    }
}
