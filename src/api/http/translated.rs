//! Translates the errors of poem and poem-openapi into problems with our own wording.

use std::{borrow::Cow, time::Duration};

use poem::{
    Error,
    error::{NotFoundError, ParsePathError as NoPath},
    http::StatusCode,
};
use poem_openapi::error::{AuthorizationError, ContentTypeError, ParseParamError, ParsePathError};

use crate::{api::http::wrong::WHOLE, listen, problems::Problem};

/// How poem-openapi begins its reason if a text in a path cannot be an id that the host application has chosen. Such a
/// text is explained, because no answer has led the caller to it.
const NO_EXTERNAL_ID: &str = "failed to parse \"ExternalId\": ";

/// What is wrong with a parameter that is absent.
const REQUIRED: &str = "this parameter is required";

/// The problem for an error of poem or poem-openapi.
pub(in crate::api) fn of_error(error: Error) -> Problem {
    let error = match error.downcast::<Problem>() {
        Ok(problem) => return problem,
        Err(error) => error,
    };
    if let Some(wrong) = error.downcast_ref::<ParseParamError>() {
        let reason = reason(&wrong.reason);
        Problem::parameter(wrong.name, if reason == REQUIRED { "missing" } else { "invalid" }, reason)
    } else if let Some(wrong) = error.downcast_ref::<ParsePathError>()
        && wrong.reason.starts_with(NO_EXTERNAL_ID)
    {
        Problem::parameter("external_id", "invalid", reason(&wrong.reason))
    } else if error.is::<ParsePathError>() || error.is::<NoPath>() || error.is::<NotFoundError>() {
        Problem::not_found()
    } else if error.is::<ContentTypeError>() {
        Problem::not_json()
    } else if error.is::<AuthorizationError>() {
        of_status(StatusCode::UNAUTHORIZED)
    } else {
        if error.status().is_server_error() {
            tracing::error!(%error, "a handler failed");
        }
        of_status(error.status())
    }
}

/// The problem for an error status without further information.
pub(in crate::api) fn of_status(status: StatusCode) -> Problem {
    match status.as_u16() {
        401 => Problem::unauthorized(
            "missing_token",
            "The access token is missing: send the header `Authorization: Bearer <access token>`.",
        ),
        403 => Problem::forbidden(
            "forbidden",
            "Your role does not allow this: ask an owner of the conversation.",
        ),
        404 => Problem::not_found(),
        405 => Problem::new(
            status,
            "method_not_allowed",
            "The resource does not support this method: use one of those in the header `Allow`.",
        ),
        409 => Problem::conflict(
            "conflict",
            "The current state does not allow this: load the state again before you retry.",
        ),
        413 => Problem::too_large(listen::BODY),
        415 => Problem::not_json(),
        429 => Problem::too_many(
            "rate_limited",
            "Too many requests: retry after the time in `Retry-After`.",
            Duration::from_secs(1),
        ),
        503 => Problem::unavailable(
            "unavailable",
            "The server cannot process the request at the moment: send the same request again.",
            Duration::from_secs(1),
        ),
        400..500 => Problem::new(
            status,
            "bad_request",
            "The server cannot process this request: check it against the API reference.",
        ),
        _ => Problem::internal(),
    }
}

/// Rewords poem-openapi's reason, and strips the names of our types around it.
fn reason(text: &str) -> Cow<'_, str> {
    let text = text.split_once(" (occurred while parsing ").map_or(text, |(text, _)| text);
    let why = text
        .strip_prefix("failed to parse \"")
        .and_then(|rest| rest.split_once("\": "))
        .map_or(text, |(_, why)| why);
    let limit = |name: &str| {
        let rest = why.strip_prefix("verification failed. ")?.strip_prefix(name)?;
        rest.strip_prefix('(')?.strip_suffix(')')
    };
    if why.ends_with("expects an input value.") {
        REQUIRED.into()
    } else if let Some(least) = limit("minLength") {
        format!("must have at least {least} character").into()
    } else if let Some(most) = limit("maxLength") {
        format!("must have at most {most} characters").into()
    } else if why == "provided string was not `true` or `false`" {
        "must be true or false".into()
    } else if ["invalid digit found in string", "number too large to fit in target type"].contains(&why) {
        WHOLE.into()
    } else if let Some((_, expected)) =
        why.strip_prefix("unknown variant").and_then(|why| why.split_once(", expected "))
    {
        format!("expected {expected}").into()
    } else {
        why.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_our_type_is_not_shown() {
        assert_eq!(reason("failed to parse \"integer\": too \"big\": no"), "too \"big\": no");
        assert_eq!(reason("failed to parse \"a\": no (occurred while parsing \"optional_a\")"), "no");
        assert_eq!(reason("verification failed"), "verification failed");
    }

    #[test]
    fn what_poem_says_of_a_parameter_is_said_in_our_words() {
        for (theirs, ours) in [
            ("Type \"string\" expects an input value.", "this parameter is required"),
            ("verification failed. minLength(1)", "must have at least 1 character"),
            ("verification failed. maxLength(256)", "must have at most 256 characters"),
            (
                "failed to parse \"boolean\": provided string was not `true` or `false`",
                "must be true or false",
            ),
            (
                "failed to parse \"DeliveryState\": unknown variant `zz`, expected one of `ok`, `failed`",
                "expected one of `ok`, `failed`",
            ),
        ] {
            assert_eq!(reason(theirs), ours);
        }
    }
}
