//! Exports of what a legal hold keeps, for programs with the scope `admin:export`.

use poem_openapi::{Object, OpenApi, param::Path, types::Example};
use serde::{Deserialize, Serialize};

use crate::{
    api::{
        Body, Caller, Followed, Found, Reply, Requested,
        http::examples,
        operations::{
            exports::{ExportState, example, link, refused},
            tag::Tag,
        },
    },
    domain::{ExportId, HoldId, Time},
    exports::{Exports, SeenExport},
};

/// The export to create
#[derive(Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(example)]
struct NewHeldExport {
    /// The legal hold
    hold: HoldId,
}

impl Example for NewHeldExport {
    fn example() -> Self {
        Self { hold: examples::hold() }
    }
}

/// An export of the content that a legal hold keeps
#[derive(Serialize, Object)]
#[oai(example)]
struct HeldExport {
    /// The id of the export
    id: ExportId,
    /// The legal hold
    hold: HoldId,
    /// Whether the export can be downloaded
    state: ExportState,
    /// The path of the zip on this server. It contains a secret. The link belongs to the key of this request and ends
    /// with it. Absent if the export has expired or the hold was lifted
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    /// When the export was requested. The export has no later event
    created_at: Time,
    /// When the export expires
    expires_at: Time,
}

impl HeldExport {
    fn of(hold: HoldId, seen: &SeenExport) -> Self {
        let (state, url) = link(seen);
        let SeenExport { id, created_at, expires_at, .. } = *seen;
        Self { id, hold, state, url, created_at, expires_at }
    }
}

impl Example for HeldExport {
    fn example() -> Self {
        Self::of(examples::hold(), &example())
    }
}

pub(in crate::api) struct HeldExportOperations {
    pub(in crate::api) exports: Exports,
}

#[OpenApi(tag = "Tag::Holds")]
impl HeldExportOperations {
    /// Export the content under a legal hold
    ///
    /// Requests an export of everything that an active hold covers at this moment: the events of its users or of its
    /// conversations as they are stored in the log, including texts that were deleted, that are older than their
    /// retention, or whose erasure is held. The export is ready at once, for seven days or until the hold is lifted.
    /// If the hold was lifted already, the response is 410 `hold_lifted`. The rate limit `export` counts the
    /// requests of a service account for each hold. Only the audit trail records the export. Needs the scope `admin:export`.
    #[oai(path = "/admin/exports", method = "post", operation_id = "request_held_export")]
    async fn request(
        &self,
        caller: Caller,
        body: Body<NewHeldExport>,
    ) -> Result<Requested<HeldExport>, Followed> {
        let hold = body.0.hold;
        let requested = self.exports.request_held(&caller, hold).await;
        let export = HeldExport::of(hold, &requested.map_err(refused)?);
        Ok(Requested { location: format!("/v1/admin/exports/{}", export.id), body: export })
    }

    /// Get an export of a legal hold
    ///
    /// Returns an export that the caller requested, with the link to its zip. Needs the scope `admin:export`.
    #[oai(path = "/admin/exports/:id", method = "get", operation_id = "get_held_export")]
    async fn get(&self, caller: Caller, id: Path<ExportId>) -> Result<Reply<HeldExport>, Found> {
        let found = self.exports.one_held(&caller, id.0).await;
        let (hold, seen) = found.map_err(refused)?;
        Ok(Reply(HeldExport::of(hold, &seen)))
    }
}
