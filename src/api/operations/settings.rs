//! How I want to see a conversation: for myself alone, so it is no event of the conversation.

use std::collections::HashMap;

use poem_openapi::{Object, OpenApi, param::Path, types::Example};
use serde::{Deserialize, Serialize};

use sqlx::PgPool;

use crate::{
    accounts::{self, Muted, SettingChanges, SettingError},
    api::operations::tag::Tag,
    api::{Body, Caller, Found, Problem, Reply, Ruled, given, http::examples},
    clock::Clock,
    domain::{ConversationId, Time, UserId},
    reading::Reading,
};

/// The settings of the caller for one conversation
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Object)]
#[oai(example)]
pub(in crate::api) struct ConversationSettings {
    /// Whether the devices of the caller should stay silent. The devices have to do so themselves
    pub(in crate::api) muted: bool,
    /// The end of the mute; absent if the mute has no end
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::api) muted_until: Option<Time>,
    /// Whether the conversation is archived. New messages do not end that
    pub(in crate::api) archived: bool,
}

impl ConversationSettings {
    pub(in crate::api) fn of(settings: accounts::ConversationSettings, now: Time) -> Self {
        let (muted, muted_until) = match settings.muted.at(now) {
            Muted::No => (false, None),
            Muted::Until(end) => (true, Some(end)),
            Muted::ForGood => (true, None),
        };
        Self { muted, muted_until, archived: settings.archived }
    }
}

impl Example for ConversationSettings {
    fn example() -> Self {
        Self { muted: true, muted_until: Some(examples::time()), archived: false }
    }
}

/// The fields to change; an absent field keeps its value
#[derive(Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(example)]
struct ConversationSettingsUpdate {
    /// Whether the devices of the caller should stay silent. Without `muted_until` the mute has no end
    #[serde(default, deserialize_with = "given")]
    muted: Option<bool>,
    /// The end of the mute, a time in the future
    #[serde(default, deserialize_with = "given")]
    muted_until: Option<Time>,
    /// Whether the conversation is archived
    #[serde(default, deserialize_with = "given")]
    archived: Option<bool>,
}

impl ConversationSettingsUpdate {
    fn read(self, now: Time) -> Result<SettingChanges, Problem> {
        let wrong = |code, detail| Err(Problem::invalid("/muted_until", code, detail));
        let muted = match (self.muted, self.muted_until) {
            (Some(false), Some(_)) => {
                return wrong("contradictory", "leave it out, or mute the conversation");
            }
            (_, Some(end)) if end <= now => return wrong("in_the_past", "name a time to come"),
            (_, Some(end)) => Some(Muted::Until(end)),
            (muted, None) => muted.map(|muted| if muted { Muted::ForGood } else { Muted::No }),
        };
        Ok(SettingChanges { muted, archived: self.archived })
    }
}

impl Example for ConversationSettingsUpdate {
    fn example() -> Self {
        Self { muted: None, muted_until: Some(examples::time()), archived: Some(false) }
    }
}

pub(in crate::api) struct Settings {
    pub(in crate::api) pool: PgPool,
    pub(in crate::api) reading: Reading,
    pub(in crate::api) clock: Clock,
}

#[OpenApi(tag = "Tag::Conversations")]
impl Settings {
    /// Get my settings of a conversation
    ///
    /// Returns the settings of the caller for one conversation. Other members do not see them.
    #[oai(path = "/conversations/:id/settings", method = "get", operation_id = "get_settings")]
    async fn get(
        &self,
        caller: Caller,
        id: Path<ConversationId>,
    ) -> Result<Reply<ConversationSettings>, Found> {
        self.reading.open(caller.user, id.0, None).await?;
        Ok(Reply(settings_for(&self.pool, self.clock.now(), caller.user, id.0).await?))
    }

    /// Mute or archive a conversation
    ///
    /// Changes the settings of the caller for one conversation, on all devices of the caller. The change is no
    /// event, and other members do not see it. A user can archive at most 10,000 conversations.
    #[oai(path = "/conversations/:id/settings", method = "patch", operation_id = "update_settings")]
    async fn update(
        &self,
        caller: Caller,
        id: Path<ConversationId>,
        body: Body<ConversationSettingsUpdate>,
    ) -> Result<Reply<ConversationSettings>, Ruled> {
        let now = self.clock.now();
        let changes = body.0.read(now)?;
        self.reading.open(caller.user, id.0, None).await?;
        let settings = accounts::settle(&self.pool, caller.user, id.0, changes).await?;
        Ok(Reply(ConversationSettings::of(settings, now)))
    }
}

/// How somebody wants to see a conversation.
pub(in crate::api) async fn settings_for(
    pool: &PgPool,
    now: Time,
    me: UserId,
    id: ConversationId,
) -> Result<ConversationSettings, Problem> {
    Ok(settings_of(pool, now, me, &[id]).await?.remove(&id).unwrap_or_default())
}

/// The same once it is out of the archive.
pub(in crate::api) async fn unarchived(
    pool: &PgPool,
    now: Time,
    me: UserId,
    id: ConversationId,
) -> Result<ConversationSettings, Problem> {
    let settings = settings_for(pool, now, me, id).await?;
    if !settings.archived {
        return Ok(settings);
    }
    let changes = SettingChanges { archived: Some(false), ..SettingChanges::default() };
    let settings = accounts::settle(pool, me, id, changes).await?;
    Ok(ConversationSettings::of(settings, now))
}

/// The same for several; those without settings are left out.
pub(in crate::api) async fn settings_of(
    pool: &PgPool,
    now: Time,
    me: UserId,
    ids: &[ConversationId],
) -> Result<HashMap<ConversationId, ConversationSettings>, Problem> {
    let settings = accounts::settings(pool, me, ids).await?;
    Ok(settings.into_iter().map(|(id, settings)| (id, ConversationSettings::of(settings, now))).collect())
}

impl From<SettingError> for Problem {
    fn from(error: SettingError) -> Self {
        match error {
            SettingError::TooManyArchived => Self::conflict(
                "too_many_archived",
                "Too many conversations are archived: take another conversation out of the archive first.",
            ),
            SettingError::Database(outage) => outage.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn changes(muted: Option<bool>, muted_until: Option<Time>) -> Result<Option<Muted>, String> {
        let changes = ConversationSettingsUpdate { muted, muted_until, archived: None };
        let read = changes.read(examples::time());
        read.map(|changes| changes.muted).map_err(|problem| problem.errors[0].code.clone())
    }

    #[test]
    fn silence_has_an_end_or_none() {
        let later = examples::time().plus(Duration::from_millis(1));
        assert_eq!(changes(None, None), Ok(None));
        assert_eq!(changes(Some(true), None), Ok(Some(Muted::ForGood)));
        assert_eq!(changes(Some(false), None), Ok(Some(Muted::No)));
        assert_eq!(changes(None, Some(later)), Ok(Some(Muted::Until(later))));
        assert_eq!(changes(Some(true), Some(later)), Ok(Some(Muted::Until(later))));
        assert_eq!(changes(Some(false), Some(later)), Err("contradictory".into()));
        assert_eq!(changes(None, Some(examples::time())), Err("in_the_past".into()));
    }

    #[test]
    fn silence_that_is_over_is_none() {
        let settings =
            accounts::ConversationSettings { muted: Muted::Until(examples::time()), archived: true };
        let shown = ConversationSettings::of(settings, examples::time());
        assert_eq!(shown, ConversationSettings { archived: true, ..Default::default() });
    }
}
