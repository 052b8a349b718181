//! The settings of an account for its conversations: muted, archived. They are private, so a change is not an event of
//! the conversation.

use std::collections::HashMap;

use sqlx::{FromRow, PgPool};
use thiserror::Error;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::{ConversationId, Time, UserId};

/// The maximum number of archived conversations of an account.
pub(crate) const MAX_ARCHIVED: i64 = 10_000;

/// The settings of an account for one conversation. A conversation without a row has the default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConversationSettings {
    /// Whether the devices of the account stay silent.
    pub muted: Muted,
    /// Whether the conversation is in the archive.
    pub archived: bool,
}

impl ConversationSettings {
    /// The settings at a time. A mute that has ended by then counts as no mute.
    pub fn at(self, now: Time) -> Self {
        match self.muted {
            Muted::Until(end) if end <= now => Self { muted: Muted::No, ..self },
            _ => self,
        }
    }
}

/// Whether the devices of an account stay silent about a conversation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Muted {
    /// Not muted.
    #[default]
    No,
    /// Muted until a time.
    Until(Time),
    /// Muted without an end.
    ForGood,
}

/// The settings to change; an absent setting keeps its value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SettingChanges {
    /// Whether the devices of the account stay silent.
    pub muted: Option<Muted>,
    /// Whether the conversation is in the archive.
    pub archived: Option<bool>,
}

/// Why settings were not changed.
#[derive(Debug, Error)]
pub enum SettingError {
    /// [`MAX_ARCHIVED`] other conversations are archived already.
    #[error("at most {MAX_ARCHIVED} conversations can be archived: take another conversation out first")]
    TooManyArchived,
    /// The database did not answer.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

impl Muted {
    fn columns(self) -> (bool, Option<OffsetDateTime>) {
        match self {
            Self::No => (false, None),
            Self::Until(end) => (true, Some(end.datetime())),
            Self::ForGood => (true, None),
        }
    }
}

#[derive(FromRow)]
struct SettingsRow {
    conversation_id: Uuid,
    muted: bool,
    muted_until: Option<OffsetDateTime>,
    archived: bool,
}

impl From<SettingsRow> for ConversationSettings {
    fn from(row: SettingsRow) -> Self {
        let muted = match (row.muted, row.muted_until) {
            (false, _) => Muted::No,
            (true, Some(end)) => Muted::Until(Time::of(end)),
            (true, None) => Muted::ForGood,
        };
        Self { muted, archived: row.archived }
    }
}

/// The settings of an account for some conversations; conversations without settings are left out.
pub(crate) async fn settings(
    pool: &PgPool,
    account: UserId,
    conversations: &[ConversationId],
) -> Result<HashMap<ConversationId, ConversationSettings>, sqlx::Error> {
    let rows: Vec<SettingsRow> = sqlx::query_as(
        "select conversation_id, muted, muted_until, archived from auth.conversation_setting
         where account_id = $1 and conversation_id = any($2)",
    )
    .bind(account.uuid())
    .bind(conversations.iter().map(|id| id.uuid()).collect::<Vec<_>>())
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(|row| (ConversationId::known(row.conversation_id), row.into())).collect())
}

/// All stored settings of an account for its conversations.
pub(crate) async fn all_settings(
    pool: &PgPool,
    account: UserId,
) -> Result<Vec<(ConversationId, ConversationSettings)>, sqlx::Error> {
    let rows: Vec<SettingsRow> = sqlx::query_as(
        "select conversation_id, muted, muted_until, archived from auth.conversation_setting
         where account_id = $1 order by conversation_id",
    )
    .bind(account.uuid())
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(|row| (ConversationId::known(row.conversation_id), row.into())).collect())
}

/// The conversations that an account has archived, at most [`MAX_ARCHIVED`], in no order.
pub(crate) async fn archived(pool: &PgPool, account: UserId) -> Result<Vec<ConversationId>, sqlx::Error> {
    let ids: Vec<Uuid> = sqlx::query_scalar(
        "select conversation_id from auth.conversation_setting where account_id = $1 and archived limit $2",
    )
    .bind(account.uuid())
    .bind(MAX_ARCHIVED)
    .fetch_all(pool)
    .await?;
    Ok(ids.into_iter().map(ConversationId::known).collect())
}

/// Removes a conversation from the archive of an account.
pub(crate) async fn unarchive(
    pool: &PgPool,
    account: UserId,
    conversation: ConversationId,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update auth.conversation_setting set archived = false
         where account_id = $1 and conversation_id = $2 and archived",
    )
    .bind(account.uuid())
    .bind(conversation.uuid())
    .execute(pool)
    .await?;
    Ok(())
}

/// Changes the settings of an account for a conversation. The caller must have checked that the account is a member.
pub(crate) async fn settle(
    pool: &PgPool,
    account: UserId,
    conversation: ConversationId,
    changes: SettingChanges,
) -> Result<ConversationSettings, SettingError> {
    let mut transaction = pool.begin().await?;
    if changes.archived == Some(true) {
        // The lock on the account makes its changes happen one after the other. Without the lock, two concurrent
        // transactions would not count each other's row, and the archive could exceed the limit.
        sqlx::query("select 1 from auth.account where id = $1 for no key update")
            .bind(account.uuid())
            .execute(&mut *transaction)
            .await?;
        let others: i64 = sqlx::query_scalar(
            "select count(*) from auth.conversation_setting
             where account_id = $1 and archived and conversation_id <> $2",
        )
        .bind(account.uuid())
        .bind(conversation.uuid())
        .fetch_one(&mut *transaction)
        .await?;
        if others >= MAX_ARCHIVED {
            return Err(SettingError::TooManyArchived);
        }
    }
    let (muted, until) = changes.muted.map(Muted::columns).unzip();
    let row: SettingsRow = sqlx::query_as(
        "insert into auth.conversation_setting as old
             (account_id, conversation_id, muted, muted_until, archived)
         values ($1, $2, coalesce($3, false), $4, coalesce($5, false))
         on conflict (account_id, conversation_id) do update set
             muted = coalesce($3, old.muted),
             muted_until = case when $3 is null then old.muted_until else $4 end,
             archived = coalesce($5, old.archived)
         returning conversation_id, muted, muted_until, archived",
    )
    .bind(account.uuid())
    .bind(conversation.uuid())
    .bind(muted)
    .bind(until.flatten())
    .bind(changes.archived)
    .fetch_one(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(row.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_ends_at_its_end() {
        let time = |text: &str| text.parse::<Time>().expect("time");
        let archived = |muted| ConversationSettings { muted, archived: true };
        let until = archived(Muted::Until(time("2026-11-24T14:00:00Z")));
        assert_eq!(until.at(time("2026-11-24T13:59:59.999Z")), until);
        assert_eq!(until.at(time("2026-11-24T14:00:00Z")), archived(Muted::No));
        let for_good = archived(Muted::ForGood);
        assert_eq!(for_good.at(time("2036-11-24T14:00:00Z")), for_good);
    }
}
