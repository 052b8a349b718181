//! The data outside the log: the profile, the logins and the settings of a user, as they are at the download, and the
//! text that explains the files.

use serde::Serialize;
use sqlx::PgPool;

use super::error::ExportError;
use crate::{
    accounts::{self, ConversationSettings, Muted, blocks::MAX_BLOCKS, exports::Export},
    domain::{ConversationId, LoginId, Time, UserId, UserKind},
};

/// The files of a user before the conversations.
pub(super) struct Own {
    profile: Profile,
    logins: Vec<LoginEntry>,
    settings: SettingEntries,
}

#[derive(Serialize)]
struct Profile {
    id: UserId,
    username: String,
    display_name: String,
    avatar_url: Option<String>,
    kind: UserKind,
    created_at: Time,
}

#[derive(Serialize)]
struct LoginEntry {
    id: LoginId,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<String>,
    created_at: Time,
    last_used_at: Time,
    expires_at: Time,
}

#[derive(Serialize)]
struct SettingEntries {
    blocks: Vec<BlockEntry>,
    conversations: Vec<SettingEntry>,
}

#[derive(Serialize)]
struct BlockEntry {
    user_id: UserId,
    created_at: Time,
}

#[derive(Serialize)]
struct SettingEntry {
    conversation_id: ConversationId,
    muted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    muted_until: Option<Time>,
    archived: bool,
}

impl Own {
    /// Reads everything of a user. Each list was limited when it was written.
    pub(super) async fn of(pool: &PgPool, user: UserId, now: Time) -> Result<Self, ExportError> {
        let account = accounts::find(pool, user).await?.ok_or(ExportError::NotFound)?;
        let profile = Profile {
            id: account.id,
            username: account.username.to_string(),
            display_name: account.display_name.to_string(),
            avatar_url: account.avatar_url.map(|url| url.to_string()),
            kind: account.kind,
            created_at: account.created_at,
        };
        let logins = accounts::list(pool, user, now).await?.into_iter().map(|login| LoginEntry {
            id: login.id,
            device: login.device.map(|device| device.to_string()),
            created_at: login.created_at,
            last_used_at: login.last_used_at,
            expires_at: login.expires_at,
        });
        let blocks = accounts::blocks(pool, user, None, MAX_BLOCKS).await?.into_iter();
        let blocks = blocks.map(|block| BlockEntry { user_id: block.user, created_at: block.created_at });
        let conversations =
            accounts::all_settings(pool, user).await?.into_iter().filter_map(|(id, settings)| {
                // Settings that were changed back, or have ended, are stored like the others.
                let settings = settings.at(now);
                if settings == ConversationSettings::default() {
                    return None;
                }
                let muted_until = match settings.muted {
                    Muted::Until(end) => Some(end),
                    Muted::No | Muted::ForGood => None,
                };
                let muted = settings.muted != Muted::No;
                Some(SettingEntry { conversation_id: id, muted, muted_until, archived: settings.archived })
            });
        let settings = SettingEntries { blocks: blocks.collect(), conversations: conversations.collect() };
        Ok(Self { profile, logins: logins.collect(), settings })
    }

    /// The files, each with its content.
    pub(super) fn files(&self) -> [(&'static str, Vec<u8>); 3] {
        [
            ("profile.json", pretty(&self.profile)),
            ("logins.json", pretty(&self.logins)),
            ("settings.json", pretty(&self.settings)),
        ]
    }
}

/// JSON that is formatted for people.
pub(super) fn pretty(value: &impl Serialize) -> Vec<u8> {
    let mut text = serde_json::to_vec_pretty(value).expect("ids, texts and times are JSON");
    text.push(b'\n');
    text
}

/// The text that explains the files.
pub(super) fn readme(export: &Export) -> String {
    let Export { id, user, of, created_at, .. } = export;
    let since = match of.since() {
        Some(since) => format!("It has the events since {since}."),
        None => "It starts with your first event.".to_owned(),
    };
    format!(
        "Your data on this server
========================

This is the export {id} of the user {user}.
It was requested at {created_at} and contains nothing that happened later in your conversations. {since}

profile.json    your account at the time of the download
logins.json     the devices on which you were logged in at the time of the download
settings.json   the users you blocked and the conversations you muted or archived, at the time of the download
conversations/  one file for each conversation, named by its id. Each line is one event, oldest first, as JSON: a
                CloudEvent (https://cloudevents.io) in structured mode. `type` says what happened, `actor` is the user who
                did it, `data` is the content, `position` is the position of the event, and `previous` the position of the
                previous event
manifest.json   the length and the SHA-256 of each file, and the positions up to which the export reads

The export contains the events from the times when you were a member. If you are a member now, it also contains earlier
events that the conversation allows its members to read.

`data` with `\"deleted\": true` marks a message that was deleted, and `\"erased\": true` a message that was erased: its text
can no longer be read, by you or by anyone else.

This server stores no attachments, so there is no folder with attachments.
"
    )
}
