//! Exports of the caller's own data as a file.

use poem::{
    Body as Bytes, IntoResponse, Response,
    http::{StatusCode, header},
};
use poem_openapi::{
    ApiResponse, Object, OpenApi,
    param::{Path, Query},
    registry::{MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry},
    types::Example,
};
use serde::{Deserialize, Serialize};

use crate::{
    api::{
        BodyIfAny, Caller, Cursor, Downloaded, Found, Limit, Page, Problem, Reply, Requested, SignedIn,
        given,
        http::{
            examples,
            reasons::{AGAIN, sentence},
            values::words,
        },
        operations::tag::Tag,
    },
    domain::{ExportId, Time},
    exports::{Download, ExportError, Exports, LIFE, SeenExport},
};

/// The options of an export
#[derive(Default, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(example)]
struct NewExport {
    /// The beginning of the export: earlier events are left out. The default is the first event that the caller may
    /// see
    #[serde(default, deserialize_with = "given")]
    since: Option<Time>,
}

impl Example for NewExport {
    fn example() -> Self {
        Self { since: Some(examples::time()) }
    }
}

/// Whether an export can be downloaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ExportState {
    Ready,
    Expired,
}

words! {
    /// Whether an export can be downloaded: `ready`, or `expired` after seven days
    ExportState as "ExportState": "ready" "expired";
}

/// An export of the caller's data
#[derive(Serialize, Object)]
#[oai(example)]
struct Export {
    /// The id of the export
    id: ExportId,
    /// Whether the export can be downloaded
    state: ExportState,
    /// The path of the zip on this server. It contains a secret, so that a browser can open it without an access
    /// token. The link belongs to the login of this request and ends with it. Absent if the export has expired
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    /// The beginning of the export: earlier events are left out
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Time>,
    /// When the export was requested. The export has no later event
    created_at: Time,
    /// When the export expires
    expires_at: Time,
}

impl From<SeenExport> for Export {
    fn from(seen: SeenExport) -> Self {
        let (state, url) = link(&seen);
        let SeenExport { id, since, created_at, expires_at, .. } = seen;
        Self { id, state, url, since, created_at, expires_at }
    }
}

/// Whether an export can be downloaded, and where.
pub(super) fn link(SeenExport { id, secret, .. }: &SeenExport) -> (ExportState, Option<String>) {
    let url = secret.as_ref().map(|secret| format!("/v1/exports/{id}?token={secret}"));
    (if url.is_some() { ExportState::Ready } else { ExportState::Expired }, url)
}

impl Example for Export {
    fn example() -> Self {
        example().into()
    }
}

pub(super) fn example() -> SeenExport {
    let at = examples::time();
    let secret = Some(SECRET.into());
    SeenExport { id: examples::export(), since: None, created_at: at, expires_at: at.plus(LIFE), secret }
}

const SECRET: &str = "AZMPPG5CfYGMa3CBkqOztMLTgqGr4pE3m0bVbX2FZ9rj1sX8Qe6Hn5LwUuY3oT0a";

/// A zip
struct Zip(Download);

impl IntoResponse for Zip {
    fn into_response(self) -> Response {
        let name = format!("attachment; filename=\"{}\"", self.0.name);
        // The URL of the file is a secret, so no page that is opened from it may learn it as the referrer.
        Response::builder()
            .content_type(ZIP)
            .header(header::CONTENT_DISPOSITION, name)
            .header(header::REFERRER_POLICY, "no-referrer")
            .header("x-accel-buffering", "no")
            .body(Bytes::from_bytes_stream(self.0.bytes()))
    }
}

const ZIP: &str = "application/zip";

impl ApiResponse for Zip {
    fn meta() -> MetaResponses {
        let schema = MetaSchemaRef::Inline(Box::new(MetaSchema::new_with_format("string", "binary")));
        let zip = MetaResponse {
            description: "A zip. If the download is interrupted, the file is incomplete: download it again",
            status: Some(200),
            status_range: None,
            content: vec![MetaMediaType { content_type: ZIP, schema }],
            headers: Vec::new(),
        };
        MetaResponses { responses: vec![zip] }
    }

    fn register(_: &mut Registry) {}
}

pub(in crate::api) struct ExportOperations {
    pub(in crate::api) exports: Exports,
}

#[OpenApi(tag = "Tag::Exports")]
impl ExportOperations {
    /// Export my data
    ///
    /// Requests an export of everything that the caller may see at this moment: the account, the logins, the
    /// settings, and the events of each conversation. The export is ready at once, for seven days. The rate
    /// limit `export` counts the requests of an account: by default it may make one every 12 hours.
    #[oai(path = "/me/exports", method = "post", operation_id = "request_export")]
    async fn request(
        &self,
        caller: Caller,
        body: BodyIfAny<NewExport>,
    ) -> Result<Requested<Export>, SignedIn> {
        let requested = self.exports.request(&caller, body.0.unwrap_or_default().since).await;
        let export: Export = requested.map_err(refused)?.into();
        Ok(Requested { location: format!("/v1/me/exports/{}", export.id), body: export })
    }

    /// List my exports
    ///
    /// Lists the exports of the caller, newest first. An export is listed for at least 30 days after it expires.
    #[oai(path = "/me/exports", method = "get", operation_id = "list_exports")]
    async fn list(
        &self,
        caller: Caller,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor<(Time, ExportId)>>>,
    ) -> Result<Reply<Page<Export>>, SignedIn> {
        let part = limit.0.part(cursor.0);
        let found = self.exports.list(&caller, part.after, part.limit).await;
        let page = Page::cut(found.map_err(refused)?, limit.0, |last| (last.created_at, last.id));
        Ok(Reply(page.map(Export::from)))
    }

    /// Get an export
    ///
    /// Returns an export of the caller, with the link to its zip.
    #[oai(path = "/me/exports/:id", method = "get", operation_id = "get_export")]
    async fn get(&self, caller: Caller, id: Path<ExportId>) -> Result<Reply<Export>, Found> {
        let found = self.exports.one(&caller, id.0).await;
        Ok(Reply(found.map_err(refused)?.into()))
    }

    /// Download an export
    ///
    /// Downloads the zip, which is written during the download. It has the events up to the time of the request. An
    /// export of the caller's own data also has the account, the logins and the settings as they are now. A message
    /// that was deleted in the meantime has no text. The link needs no access token. It ends when the export expires
    /// or its login ends (410 `export_over`), or when the account is deactivated (403 `suspended`). The link to an
    /// export of a legal hold ends with its key, and when the hold is lifted (410 `hold_lifted`). A node sends one
    /// export at a time, at 10 MB a second at most: meanwhile, another download is refused with 503 `at_capacity`, and
    /// one of the same account with 429 `too_many_at_once`.
    #[oai(path = "/exports/:id", method = "get", operation_id = "download_export")]
    async fn download(
        &self,
        id: Path<ExportId>,
        /// The secret of the link
        token: Query<String>,
    ) -> Result<Zip, Downloaded> {
        let download = self.exports.download(id.0, &token.0).await;
        Ok(Zip(download.map_err(refused)?))
    }
}

pub(super) fn refused(error: ExportError) -> Problem {
    use ExportError::*;
    match error {
        RateLimited(exceeded) => exceeded.into(),
        InTheFuture => Problem::invalid("/since", "in_the_future", "must be in the past"),
        NoHold(_) => Problem::invalid("/hold", "no_hold", error.to_string()),
        HoldLifted => Problem::new(StatusCode::GONE, "hold_lifted", sentence(error)),
        NotFound => Problem::not_found(),
        Over => Problem::new(StatusCode::GONE, "export_over", sentence(error)),
        Suspended => Problem::forbidden("suspended", sentence(error)),
        Crowded(no_place) => no_place.into(),
        Lagging => {
            let detail = "The views have not caught up with this export yet: send the same request again.";
            Problem::unavailable("not_yet", detail, AGAIN)
        }
        Unavailable(outage) => outage.into(),
        Database(outage) => outage.into(),
        Zip(_) | Abandoned | NotTaken => Problem::internal(),
    }
}
