//! The public keys by which other programs check access tokens (RFC 7517).

use bytes::Bytes;
use poem::{EndpointExt, Response, RouteMethod, endpoint::make_sync, get, http::header};

use crate::credentials::Tokens;

/// Serves the keys, which change with a restart only.
pub(in crate::api) fn published(tokens: &Tokens) -> RouteMethod {
    let keys = Bytes::from(tokens.keys().jwks().to_string());
    let answer = make_sync(move |_| {
        Response::builder()
            .content_type("application/jwk-set+json")
            .header(header::CACHE_CONTROL, "public, max-age=300")
            .body(keys.clone())
    });
    get(answer.map_to_response())
}
