//! The files of an export, in order: the explanation, what lies beside the log, the conversations, and the manifest last,
//! because it names all the others.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;
use sqlx::PgPool;

use super::{
    error::ExportError,
    own::{Own, pretty, readme},
    sending::Sending,
    visible::VisibleEvents,
    withheld::withheld,
    zipped::ZippedFile,
};
use crate::{
    accounts::exports::Export,
    domain::{ConversationId, Position, RetentionRules, Time, UserId},
    live::{Conversations, Shown},
    log::{EventData, Log, PublicUrl, structured},
    views::{Memberships, Stay},
};

/// How long this process may take to follow the log as far as the export reads it.
const NODE_WITHIN: Duration = Duration::from_secs(5);
/// The version of the layout of the files.
const LAYOUT: u32 = 1;

/// All that the files are made of.
pub(super) struct Content {
    pub(super) log: Log,
    pub(super) conversations: Conversations,
    pub(super) pool: PgPool,
    pub(super) retention: RetentionRules,
    pub(super) public_url: Option<PublicUrl>,
    pub(super) export: Export,
    pub(super) own: Own,
    pub(super) memberships: Memberships,
}

#[derive(Serialize)]
struct Manifest<'a> {
    layout: u32,
    export_id: String,
    user_id: UserId,
    created_at: Time,
    since: Option<Time>,
    log: LogEnd<'a>,
    files: &'a [ZippedFile],
}

/// The end of what was read of the log.
#[derive(Serialize)]
struct LogEnd<'a> {
    epoch: &'a str,
    /// The last position of each stream, by the number of the stream.
    positions: BTreeMap<usize, Position>,
}

impl Content {
    /// Writes all files.
    pub(super) async fn write(&self, to: &mut Sending) -> Result<(), ExportError> {
        let mut files = vec![file(to, "README.txt", readme(&self.export).as_bytes()).await?];
        for (name, content) in self.own.files() {
            files.push(file(to, name, &content).await?);
        }
        for (id, stays) in self.stays() {
            files.extend(self.conversation(to, id, &stays).await?);
        }
        file(to, "manifest.json", &pretty(&self.manifest(&files))).await?;
        Ok(())
    }

    /// The stays in each conversation, the oldest conversation first.
    fn stays(&self) -> BTreeMap<ConversationId, Vec<Stay>> {
        let mut stays: BTreeMap<ConversationId, Vec<Stay>> = BTreeMap::new();
        for stay in self.memberships.present.iter().chain(&self.memberships.past) {
            stays.entry(stay.conversation).or_default().push(*stay);
        }
        stays
    }

    /// Writes the file of a conversation, unless the user may see no event of it.
    async fn conversation(
        &self,
        to: &mut Sending,
        id: ConversationId,
        stays: &[Stay],
    ) -> Result<Option<ZippedFile>, ExportError> {
        let upto = self.export.upto.get(self.log.stream_of(id)).copied().unwrap_or_default();
        if !self.conversations.reached(id, upto, NODE_WITHIN).await {
            return Err(ExportError::Lagging);
        }
        let Some(mut visible) = VisibleEvents::open(&self.log, self.export.user, stays, upto).await? else {
            return Ok(None);
        };
        let mut has_begun = false;
        while let Some(mut events) = visible.page().await? {
            to.may_go_on().await?;
            events.retain(|shown| self.export.since.is_none_or(|since| shown.recorded.time >= since));
            let withheld = withheld(&self.pool, self.retention, &events).await?;
            for (shown, instead) in events.iter().zip(&withheld) {
                if !std::mem::replace(&mut has_begun, true) {
                    to.begin(&format!("conversations/{id}.ndjson"), true)?;
                }
                let data = instead.as_deref().map_or(EventData::Stored, EventData::Instead);
                to.write(&self.line(shown, data)).await?;
            }
        }
        Ok(if has_begun { to.end() } else { None })
    }

    fn line(&self, shown: &Shown, data: EventData<'_>) -> Vec<u8> {
        let mut line = structured(&shown.recorded, shown.previous, self.public_url.as_ref(), data);
        // A line break in JSON stands between its parts, and would end the line here.
        line.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
        line.push(b'\n');
        line
    }

    fn manifest<'a>(&'a self, files: &'a [ZippedFile]) -> Manifest<'a> {
        let Export { id, user, since, epoch, upto, created_at, .. } = &self.export;
        Manifest {
            layout: LAYOUT,
            export_id: id.to_string(),
            user_id: *user,
            created_at: *created_at,
            since: *since,
            log: LogEnd { epoch: &epoch.0, positions: upto.iter().copied().enumerate().collect() },
            files,
        }
    }
}

async fn file(to: &mut Sending, name: &str, content: &[u8]) -> Result<ZippedFile, ExportError> {
    to.begin(name, false)?;
    to.write(content).await?;
    to.end().ok_or(ExportError::NotFound)
}
