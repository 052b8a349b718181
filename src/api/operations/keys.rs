//! The public keys with which other programs verify access tokens (RFC 7517), and the document that names them (OpenID
//! Connect Discovery).

use std::sync::Arc;

use poem::{
    EndpointExt, Request, Response, RouteMethod,
    endpoint::make_sync,
    get,
    http::{StatusCode, header},
};
use serde_json::json;

use crate::{credentials::Tokens, log::PublicUrl, problems::Problem};

/// How long clients may cache both documents. A key has to be published for longer than that before it signs.
const KEPT: &str = "public, max-age=300";

/// The path of the keys.
pub(in crate::api) const KEYS: &str = "/.well-known/jwks.json";

/// Serves the keys.
pub(in crate::api) fn published(tokens: Arc<Tokens>) -> RouteMethod {
    let answer = make_sync(move |_| {
        Response::builder()
            .content_type("application/jwk-set+json")
            .header(header::CACHE_CONTROL, KEPT)
            .body(tokens.keys().jwks().to_string())
    });
    get(answer.map_to_response())
}

/// Serves the discovery document, which says where the keys are: below the public URL or, without one, below the
/// address that the client used.
pub(in crate::api) fn described(tokens: &Tokens, public_url: Option<PublicUrl>) -> RouteMethod {
    let issuer = tokens.issuer().to_owned();
    let answer = make_sync(move |request: Request| {
        let Some(base) = public_url.as_ref().map(ToString::to_string).or_else(|| asked(&request)) else {
            let detail = "The request has no host: send the header `Host`.";
            return poem::IntoResponse::into_response(Problem::new(
                StatusCode::BAD_REQUEST,
                "bad_request",
                detail,
            ));
        };
        let document = json!({
            "issuer": issuer,
            "jwks_uri": format!("{base}{KEYS}"),
            "response_types_supported": [],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["EdDSA"],
        });
        Response::builder()
            .content_type("application/json")
            .header(header::CACHE_CONTROL, KEPT)
            .body(document.to_string())
    });
    get(answer)
}

/// The address that the client used. A cache stores the response for this address only.
fn asked(request: &Request) -> Option<String> {
    let host = request.header(header::HOST)?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || ".:-_[]".contains(c);
    (!host.is_empty() && host.chars().all(is_plain)).then(|| format!("{}://{host}", request.scheme()))
}
