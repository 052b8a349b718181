//! Serves Swagger UI at `/docs/`, from assets that are embedded in the binary.

use std::{borrow::Cow, io::Read as _, sync::Arc};

use bytes::Bytes;
use flate2::read::GzDecoder;
use poem::{
    EndpointExt, IntoResponse, Request, Response, Route,
    endpoint::make_sync,
    get,
    http::{StatusCode, header},
    web::Redirect,
};
use utoipa_swagger_ui::{Config, serve};

use super::pages::takes_gzip;
use crate::problems::Problem;

/// The content security policy of the pages. Swagger UI needs style attributes and the pictures that its own
/// files embed; everything else comes from this server.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
     img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Adds the pages to `routes`. They show the API document that is served at `document`.
pub(crate) fn with_swagger(routes: Route, document: &'static str) -> Route {
    let config = Arc::new(
        Config::from(document)
            .validator_url("none")
            .display_operation_id(true)
            .persist_authorization(false)
            .try_it_out_enabled(true),
    );
    let redirect = make_sync(|_| Redirect::permanent("/docs/"));
    let page = make_sync(move |request| asset(&request, &config));
    routes.at("/docs", get(redirect.map_to_response())).at("/docs/*path", get(page.map_to_response()))
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
    // The page and its settings may change with each binary; the other files change only with Swagger UI.
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
    // Most files are embedded in the binary, and are served without a copy.
    let bytes = match file.bytes {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => bytes.into(),
    };
    if !file.gzpipped {
        return response.body(bytes);
    }
    let response = response.header(header::VARY, "accept-encoding");
    if takes_gzip(request.header(header::ACCEPT_ENCODING).unwrap_or_default()) {
        return response.header(header::CONTENT_ENCODING, "gzip").body(bytes);
    }
    let mut plain = Vec::new();
    match GzDecoder::new(&*bytes).read_to_end(&mut plain) {
        Ok(_) => response.body(plain),
        Err(error) => {
            tracing::error!(%error, path, "could not unpack an asset of Swagger UI");
            Problem::internal().into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use poem::Endpoint as _;

    use super::*;

    async fn get(path: &'static str) -> Response {
        let routes = with_swagger(Route::new(), "/openapi.json");
        routes.get_response(Request::builder().uri(path.parse().expect("a path")).finish()).await
    }

    #[tokio::test]
    async fn swagger_ui_is_there() {
        assert_eq!(get("/docs").await.header("location"), Some("/docs/"));
        for (path, kind, cache) in [
            ("/docs/", "text/html", "no-cache"),
            ("/docs/index.html", "text/html", "no-cache"),
            ("/docs/swagger-initializer.js", "text/javascript", "no-cache"),
            ("/docs/swagger-ui-bundle.js", "text/javascript", "public, max-age=604800"),
            ("/docs/swagger-ui.css", "text/css", "public, max-age=604800"),
        ] {
            let answer = get(path).await;
            assert_eq!(
                (answer.status().as_u16(), answer.header("content-type"), answer.header("cache-control")),
                (200, Some(kind), Some(cache))
            );
            let policy = answer.header("content-security-policy");
            assert!(policy.is_some_and(|policy| policy.contains("script-src 'self'")), "{path}");
        }
        let response = get("/docs/swagger-initializer.js").await;
        assert_eq!(response.header("content-encoding"), None);
        let style = get("/docs/swagger-ui.css").await;
        assert_eq!((style.header("content-encoding"), style.header("vary")), (None, Some("accept-encoding")));
        let style =
            style.into_body().into_string().await.expect("text, for a client that does not take gzip");
        assert!(style.contains(".swagger-ui"));
        let script = response.into_body().into_string().await.expect("text");
        assert!(script.contains("\"url\": \"/openapi.json\""));
    }
}
