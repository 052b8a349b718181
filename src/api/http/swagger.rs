//! The document at `/openapi.json` and Swagger UI at `/docs/`, its assets inside the binary.

use std::{borrow::Cow, sync::Arc};

use bytes::Bytes;
use poem::{
    EndpointExt, IntoResponse, Request, Response, Route,
    endpoint::make_sync,
    get,
    http::{StatusCode, header},
    web::Redirect,
};
use utoipa_swagger_ui::{Config, serve};

use crate::problems::Problem;

const DOCUMENT: &str = "/openapi.json";

/// Swagger UI writes style attributes and shows pictures that it carries within itself; everything
/// else comes from here.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
     img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Serves `document` and the pages that show it.
pub(in crate::api) fn routes(document: String) -> Route {
    let document = Bytes::from(document);
    let config = Arc::new(
        Config::from(DOCUMENT)
            .validator_url("none")
            .display_operation_id(true)
            .persist_authorization(false)
            .try_it_out_enabled(true),
    );
    let redirect = make_sync(|_| Redirect::permanent("/docs/"));
    let page = make_sync(move |request| asset(&request, &config));
    Route::new()
        .at(DOCUMENT, get(make_sync(move |_| described(&document)).map_to_response()))
        .at("/docs", get(redirect.map_to_response()))
        .at("/docs/*path", get(page.map_to_response()))
}

fn described(document: &Bytes) -> Response {
    Response::builder()
        .content_type("application/json")
        .header(header::CACHE_CONTROL, "no-cache")
        .body(document.clone())
}

fn asset(request: &Request, config: &Arc<Config<'static>>) -> Response {
    let path = request.raw_path_param("path").unwrap_or_default();
    let file = match serve(path, Arc::clone(config)) {
        Ok(Some(file)) => file,
        Ok(None) => return Problem::not_found().into_response(),
        Err(error) => {
            tracing::error!(%error, path, "could not serve an asset of Swagger UI");
            return Problem::internal().into_response();
        }
    };
    // The page and its settings follow the binary at once; the rest changes with Swagger UI only.
    let cache = match path {
        "" | "index.html" | "swagger-initializer.js" => "no-cache",
        _ => "public, max-age=604800",
    };
    let response = Response::builder()
        .status(StatusCode::OK)
        .content_type(&file.content_type)
        .header(header::CACHE_CONTROL, cache)
        .header(header::CONTENT_SECURITY_POLICY, POLICY)
        .header(header::REFERRER_POLICY, "no-referrer");
    let response = match file.gzpipped {
        true => response.header(header::CONTENT_ENCODING, "gzip"),
        false => response,
    };
    // Most files lie in the binary and need no copy of their own.
    response.body(match file.bytes {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => bytes.into(),
    })
}
