//! The JSON Schemas of the events' payloads, as `ce-dataschema` names them: `/schemas/<type>.json`.

use poem::{EndpointExt as _, IntoResponse as _, Response, endpoint::BoxEndpoint, endpoint::make_sync, get};

use crate::{api::Problem, log};

/// Serves the schemas, which change only with the program.
pub(in crate::api) fn published() -> BoxEndpoint<'static, Response> {
    let files = log::schema_files();
    let file =
        make_sync(move |request| match request.raw_path_param("file").and_then(|name| files.get(name)) {
            Some(schema) => Response::builder().content_type("application/schema+json").body(schema.clone()),
            None => Problem::not_found().into_response(),
        });
    get(file.map_to_response()).boxed()
}
