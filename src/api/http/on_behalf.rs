//! The header with which a program acts for a user. The operations of a user accept it, and all others refuse it: a
//! program that believes it is acting for a user must not act as itself.

use poem::http::HeaderMap;
use serde_json::{Value, json};

use crate::{
    access::{ActedFor, NotAUser, NotActing, ON_BEHALF_OF},
    api::http::scopes::{self, Need, need_of},
    credentials::Scope,
    problems::Problem,
};

/// The header in its usual capitalisation.
const HEADER: &str = "Verbatim-On-Behalf-Of";

/// The user for whom the caller of an operation with this need wants to act.
pub(in crate::api) fn named(headers: &HeaderMap, need: Option<Need>) -> Result<Option<ActedFor>, Problem> {
    let mut values = headers.get_all(ON_BEHALF_OF).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if !need.is_some_and(Need::is_of_a_user) {
        let detail =
            "this operation cannot be done on behalf of a user: send the request without this header";
        return Err(Problem::parameter(HEADER, "not_on_behalf", detail));
    }
    if values.next().is_some() {
        return Err(Problem::parameter(HEADER, "repeated_parameter", "must be sent only once"));
    }
    let user = value.to_str().map_err(|_| NotAUser).and_then(str::parse);
    user.map(Some).map_err(|wrong| Problem::parameter(HEADER, "invalid", wrong.to_string()))
}

impl From<NotActing> for Problem {
    fn from(error: NotActing) -> Self {
        match error {
            NotActing::MissingScope => scopes::missing(Scope::ActUsers.word()),
            NotActing::MayNot => Self::may_not_act_for(),
            NotActing::RateLimited(exceeded) => exceeded.into(),
            NotActing::Database(outage) => outage.into(),
        }
    }
}

/// Adds the header to the operations of the document that take it.
pub(super) fn describe(operation: &mut Value) {
    let need = operation["operationId"].as_str().and_then(need_of);
    if !need.is_some_and(Need::is_of_a_user) {
        return;
    }
    let header = json!({
        "name": HEADER,
        "in": "header",
        "required": false,
        "description": "The user on whose behalf a service account acts: the id of the user, or `ext:` and the external \
                        id. The key needs the scope `act:users`; for a user who comes from neither a host application \
                        nor an external issuer, it needs `act:users:all`",
        "schema": {
            "type": "string",
            "pattern": "^(ext:[A-Za-z0-9._:@-]{1,128}|[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})$",
        },
        "example": "ext:7",
    });
    if let Some(operation) = operation.as_object_mut()
        && let Some(parameters) = operation.entry("parameters").or_insert(json!([])).as_array_mut()
    {
        parameters.push(header);
    }
}
