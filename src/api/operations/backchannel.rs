//! The endpoint to which an issuer sends logout tokens (OpenID Connect Back-Channel Logout 1.0). It takes a form, as
//! that specification requires, so it is not an operation of our document.

use std::sync::Arc;

use poem::{
    Endpoint, IntoResponse, Request, Response,
    http::{HeaderValue, StatusCode, header},
};

use crate::{
    access::{Access, AccessError},
    issuers::NotProven,
    problems::Problem,
};

/// The maximum size of a form, in bytes: enough for a logout token and some other fields.
const MOST_BYTES: usize = 16 * 1024;

pub(in crate::api) struct BackchannelLogout(pub(in crate::api) Arc<Access>);

impl Endpoint for BackchannelLogout {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        let ended = self.log_out(&mut request).await;
        let mut response = ended.map_or_else(Problem::into_response, IntoResponse::into_response);
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(response)
    }
}

impl BackchannelLogout {
    async fn log_out(&self, request: &mut Request) -> Result<(), Problem> {
        let bad = |detail: &'static str| Problem::new(StatusCode::BAD_REQUEST, "invalid_body", detail);
        let is_form = request.content_type().is_some_and(|of| {
            of.split(';')
                .next()
                .is_some_and(|of| of.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded"))
        });
        if !is_form {
            let detail = "The body is not a form: send `logout_token` as application/x-www-form-urlencoded.";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail));
        }
        let body = request.take_body().into_bytes_limit(MOST_BYTES).await;
        let body =
            body.map_err(|_| bad("The form is incomplete or too large: send `logout_token` alone."))?;
        let form = std::str::from_utf8(&body).unwrap_or_default();
        let mut tokens = form.split('&').filter_map(|field| field.strip_prefix("logout_token="));
        // The characters of a token need no escaping in a form.
        let (Some(token), None) = (tokens.next(), tokens.next()) else {
            return Err(bad("The form has no `logout_token`, or more than one: send one."));
        };
        match self.0.log_out_by_issuer(token).await {
            Ok(()) => Ok(()),
            // The specification has a single status for all invalid tokens.
            Err(AccessError::NotProven(why)) if why != NotProven::Unavailable => {
                let problem = Problem::from(why);
                Err(Problem::new(StatusCode::BAD_REQUEST, problem.code, problem.detail))
            }
            Err(error) => Err(error.into()),
        }
    }
}
