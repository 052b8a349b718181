//! Which web pages may use REST from a browser: exact origins, without cookies.

use poem::{
    Endpoint, EndpointExt as _, IntoResponse as _, Response,
    error::CorsError,
    http::{HeaderName, Method, StatusCode, header},
    middleware::Cors,
};

use super::{Problem, RequestId, reply::POSITION};

/// How long a browser may remember the answer, in seconds.
const REMEMBER: i32 = 7_200;

/// Lets pages of these origins in, or of any if there are none; other origins get 403. Requests
/// without an origin do not come from pages.
pub fn pages<E: Endpoint<Output = Response> + 'static>(
    inner: E,
    origins: &[String],
) -> impl Endpoint<Output = Response> + use<E> {
    let own =
        ["authorization", "content-type", "idempotency-key", "last-event-id", "traceparent", "x-request-id"];
    let told = [header::LOCATION, header::RETRY_AFTER, POSITION, RequestId::HEADER];
    let cors = Cors::new()
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers(own)
        .expose_headers(told.iter().map(HeaderName::as_str))
        .allow_origins(origins.iter().map(String::as_str))
        .max_age(REMEMBER);
    inner.with(cors).catch_error(|e: CorsError| async move {
        let detail = format!("Pages may not do this here: {e}. VERBATIM_ORIGINS names those that may.");
        Problem::new(StatusCode::FORBIDDEN, "origin_not_allowed", detail).into_response()
    })
}
