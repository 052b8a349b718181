//! The private settings of the caller for a conversation. A change is not an event of the conversation.

use std::sync::Arc;

use poem_openapi::{Object, OpenApi, param::Path, types::Example};
use serde::{Deserialize, Serialize};

use crate::{
    api::{Body, Caller, Found, Problem, Reply, Ruled, given, http::examples, operations::tag::Tag},
    commands::{Commands, SettingChanges},
    domain::{ConversationId, Time},
    reading::{self, Muted, Reading},
};

/// The settings of the caller for one conversation
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Object)]
#[oai(example)]
pub(in crate::api) struct ConversationSettings {
    /// Whether the devices of the caller should stay silent. The server does not enforce this
    pub(in crate::api) muted: bool,
    /// When the mute ends; absent if it has no end
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::api) muted_until: Option<Time>,
    /// Whether the conversation is archived. New messages do not unarchive it
    pub(in crate::api) archived: bool,
}

impl From<reading::ConversationSettings> for ConversationSettings {
    fn from(settings: reading::ConversationSettings) -> Self {
        let (muted, muted_until) = match settings.muted {
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
    /// When the mute ends: a time in the future
    #[serde(default, deserialize_with = "given")]
    muted_until: Option<Time>,
    /// Whether the conversation is archived
    #[serde(default, deserialize_with = "given")]
    archived: Option<bool>,
}

impl TryFrom<ConversationSettingsUpdate> for SettingChanges {
    type Error = Problem;

    fn try_from(update: ConversationSettingsUpdate) -> Result<Self, Problem> {
        let muted = match (update.muted, update.muted_until) {
            (Some(false), Some(_)) => {
                let detail = "applies only to a muted conversation: remove it, or set `muted`";
                return Err(Problem::invalid("/muted_until", "contradictory", detail));
            }
            (_, Some(end)) => Some(Muted::Until(end)),
            (muted, None) => muted.map(|muted| if muted { Muted::ForGood } else { Muted::No }),
        };
        Ok(Self { muted, archived: update.archived })
    }
}

impl Example for ConversationSettingsUpdate {
    fn example() -> Self {
        Self { muted: None, muted_until: Some(examples::time()), archived: Some(false) }
    }
}

pub(in crate::api) struct Settings {
    pub(in crate::api) commands: Arc<Commands>,
    pub(in crate::api) reading: Arc<Reading>,
}

#[OpenApi(tag = "Tag::Conversations")]
impl Settings {
    /// Get my settings for a conversation
    ///
    /// Returns the settings of the caller for one conversation. Other members do not see them.
    #[oai(path = "/conversations/:id/settings", method = "get", operation_id = "get_settings")]
    async fn get(
        &self,
        caller: Caller,
        id: Path<ConversationId>,
    ) -> Result<Reply<ConversationSettings>, Found> {
        Ok(Reply(self.reading.settings(caller.user, id.0).await?.into()))
    }

    /// Mute or archive a conversation
    ///
    /// Changes the settings of the caller for one conversation, on all devices of the caller. The change creates no
    /// event, and other members do not see it. A user can archive at most 10,000 conversations.
    #[oai(path = "/conversations/:id/settings", method = "patch", operation_id = "update_settings")]
    async fn update(
        &self,
        caller: Caller,
        id: Path<ConversationId>,
        body: Body<ConversationSettingsUpdate>,
    ) -> Result<Reply<ConversationSettings>, Ruled> {
        Ok(Reply(self.commands.settle(caller.user, id.0, body.0.try_into()?).await?.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(muted: Option<bool>, muted_until: Option<Time>) -> Result<Option<Muted>, String> {
        let update = ConversationSettingsUpdate { muted, muted_until, archived: None };
        let read = SettingChanges::try_from(update);
        read.map(|changes| changes.muted).map_err(|problem| problem.errors[0].code.clone())
    }

    #[test]
    fn silence_has_an_end_or_none() {
        let end = examples::time();
        assert_eq!(changes(None, None), Ok(None));
        assert_eq!(changes(Some(true), None), Ok(Some(Muted::ForGood)));
        assert_eq!(changes(Some(false), None), Ok(Some(Muted::No)));
        assert_eq!(changes(None, Some(end)), Ok(Some(Muted::Until(end))));
        assert_eq!(changes(Some(true), Some(end)), Ok(Some(Muted::Until(end))));
        assert_eq!(changes(Some(false), Some(end)), Err("contradictory".into()));
    }
}
