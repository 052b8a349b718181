//! The files of an export, in order: the explanation, the data outside the log, the conversations, and the manifest
//! last, because it lists all the others.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;
use sqlx::PgPool;

use super::{error::ExportError, material::Material, own::pretty, sending::Sending, zipped::ZippedFile};
use crate::{
    accounts::{
        exports::Export,
        holds::{self, LegalHold},
    },
    domain::{ConversationId, HoldId, Position, Time, UserId},
    live::Conversations,
    log::{Log, PublicUrl},
};

/// How long this process may take to follow the log to the end of the export.
const NODE_WITHIN: Duration = Duration::from_secs(5);
/// The version of the layout of the files.
const LAYOUT: u32 = 1;

/// Everything that the files are made from.
pub(super) struct Content {
    pub(super) log: Log,
    pub(super) conversations: Conversations,
    pub(super) pool: PgPool,
    pub(super) public_url: Option<PublicUrl>,
    pub(super) export: Export,
    pub(super) material: Material,
}

#[derive(Serialize)]
struct Manifest<'a> {
    layout: u32,
    export_id: String,
    user_id: UserId,
    #[serde(skip_serializing_if = "Option::is_none")]
    hold_id: Option<HoldId>,
    created_at: Time,
    since: Option<Time>,
    log: LogEnd<'a>,
    files: &'a [ZippedFile],
}

/// The positions up to which the log was read.
#[derive(Serialize)]
struct LogEnd<'a> {
    epoch: &'a str,
    /// The last position of each stream, by the number of the stream.
    positions: BTreeMap<usize, Position>,
}

impl Content {
    /// Writes all files.
    pub(super) async fn write(&self, to: &mut Sending) -> Result<(), ExportError> {
        let mut files = Vec::new();
        for (name, content) in self.material.files(&self.export) {
            files.push(file(to, name, &content).await?);
        }
        for id in self.material.conversations() {
            files.extend(self.conversation(to, id).await?);
        }
        file(to, "manifest.json", &pretty(&self.manifest(&files))).await?;
        Ok(())
    }

    /// Writes the file of a conversation, unless no event of it belongs to the export.
    async fn conversation(
        &self,
        to: &mut Sending,
        id: ConversationId,
    ) -> Result<Option<ZippedFile>, ExportError> {
        let upto = self.export.upto.get(self.log.stream_of(id)).copied().unwrap_or_default();
        if !self.conversations.reached(id, upto, NODE_WITHIN).await {
            return Err(ExportError::Lagging);
        }
        let Some(mut events) = self.material.open(&self.log, &self.export, id, upto).await? else {
            return Ok(None);
        };
        let mut has_begun = false;
        while let Some(lines) = events.page(&self.pool).await? {
            to.may_go_on().await?;
            if let Some(hold) = self.export.of.hold() {
                active(&self.pool, hold).await?;
            }
            for line in lines {
                if !std::mem::replace(&mut has_begun, true) {
                    to.begin(&format!("conversations/{id}.ndjson"), true)?;
                }
                to.write(&line.bytes(self.public_url.as_ref())).await?;
            }
        }
        Ok(if has_begun { to.end() } else { None })
    }

    fn manifest<'a>(&'a self, files: &'a [ZippedFile]) -> Manifest<'a> {
        let Export { id, user, of, epoch, upto, created_at, .. } = &self.export;
        Manifest {
            layout: LAYOUT,
            export_id: id.to_string(),
            user_id: *user,
            hold_id: of.hold(),
            created_at: *created_at,
            since: of.since(),
            log: LogEnd { epoch: &epoch.0, positions: upto.iter().copied().enumerate().collect() },
            files,
        }
    }
}

/// A hold that is not lifted.
pub(super) async fn active(pool: &PgPool, id: HoldId) -> Result<LegalHold, ExportError> {
    let hold = holds::find(pool, id).await?.ok_or(ExportError::NoHold(id))?;
    match hold.lifted_at {
        None => Ok(hold),
        Some(_) => Err(ExportError::HoldLifted),
    }
}

async fn file(to: &mut Sending, name: &str, content: &[u8]) -> Result<ZippedFile, ExportError> {
    to.begin(name, false)?;
    to.write(content).await?;
    to.end().ok_or(ExportError::NotFound)
}
