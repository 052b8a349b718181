//! The responses of operations. The type of a response both writes and documents it.

use poem::{
    IntoResponse, Response,
    http::{HeaderName, HeaderValue, StatusCode, header},
};
use poem_openapi::{
    ApiResponse,
    registry::{MetaHeader, MetaMediaType, MetaResponse, MetaResponses, Registry},
    types::Type,
};
use serde::Serialize;

use crate::{
    api::http::{
        include::{MentionsUsers, Named},
        page::Page,
    },
    domain::Position,
    problems::Problem,
    reading::Standing,
};

/// The header with the position of a list, or with the position that a command without a response body has
/// reached.
pub(in crate::api) const POSITION: HeaderName = HeaderName::from_static("verbatim-position");

/// The header with the cursor from which a client can follow a list.
pub(in crate::api) const CURSOR: HeaderName = HeaderName::from_static("verbatim-cursor");

/// 200 with a body.
pub struct Reply<T>(pub T);

/// 200 with a page of a list that can be followed. Headers name the moment at which the list was read.
pub struct Listed<T>(pub Named<Page<T>>);

/// 201 with a body and the path of the new resource.
pub struct Created<T> {
    /// The path of the new resource, `/v1/...`.
    pub location: String,
    /// The new resource.
    pub body: T,
}

/// 201 if this request created the resource, 200 if it existed before.
pub enum Made<T> {
    /// This request created the resource.
    Now(Created<T>),
    /// The resource existed before.
    Before(T),
}

/// 201 or 200, or 202 without a body if another user has to accept first.
pub enum MadeOrInvited<T> {
    /// The resource exists, whether it was created now or before.
    Made(Made<T>),
    /// The other user was invited.
    Invited,
}

/// 202 with a body and a `Location`: the request was accepted.
pub struct Requested<T> {
    /// The path of the new resource.
    pub location: String,
    /// The new resource.
    pub body: T,
}

/// 204: the request succeeded, and the response has no body.
pub struct Done;

/// 204 with the position that the command has reached in the header `Verbatim-Position`.
pub struct Reached(pub Position);

impl<T: Serialize + Send> IntoResponse for Reply<T> {
    fn into_response(self) -> Response {
        json(StatusCode::OK, &self.0)
    }
}

impl<T: Serialize + Send> IntoResponse for Listed<T> {
    fn into_response(self) -> Response {
        let Standing { position, cursor, .. } = &self.0.answer.standing;
        let position = position.map(|position| (POSITION, position.0.into()));
        let cursor = cursor.as_ref().and_then(|cursor| Some((CURSOR, HeaderValue::from_str(cursor).ok()?)));
        let mut response = json(StatusCode::OK, &self.0);
        response.headers_mut().extend(position.into_iter().chain(cursor));
        response
    }
}

impl<T: Serialize + Send> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        located(json(StatusCode::CREATED, &self.body), self.location)
    }
}

impl<T: Serialize + Send> IntoResponse for Requested<T> {
    fn into_response(self) -> Response {
        located(json(StatusCode::ACCEPTED, &self.body), self.location)
    }
}

impl<T: Serialize + Send> IntoResponse for Made<T> {
    fn into_response(self) -> Response {
        match self {
            Self::Now(created) => created.into_response(),
            Self::Before(body) => json(StatusCode::OK, &body),
        }
    }
}

impl<T: Serialize + Send> IntoResponse for MadeOrInvited<T> {
    fn into_response(self) -> Response {
        match self {
            Self::Made(made) => made.into_response(),
            Self::Invited => StatusCode::ACCEPTED.into_response(),
        }
    }
}

impl IntoResponse for Done {
    fn into_response(self) -> Response {
        StatusCode::NO_CONTENT.into_response()
    }
}

impl IntoResponse for Reached {
    fn into_response(self) -> Response {
        let mut response = Done.into_response();
        response.headers_mut().insert(POSITION, self.0.0.into());
        response
    }
}

fn located(mut response: Response, location: String) -> Response {
    match HeaderValue::try_from(location) {
        Ok(location) => drop(response.headers_mut().insert(header::LOCATION, location)),
        Err(error) => tracing::error!(%error, "could not write the header Location"),
    }
    response
}

fn json<T: Serialize>(status: StatusCode, body: &T) -> Response {
    match serde_json::to_vec(body) {
        Ok(body) => Response::builder().status(status).content_type("application/json").body(body),
        Err(error) => {
            tracing::error!(%error, "could not write a reply as JSON");
            Problem::internal().into_response()
        }
    }
}

impl<T: Serialize + Type> ApiResponse for Reply<T> {
    fn meta() -> MetaResponses {
        MetaResponses { responses: vec![ok::<T>("The requested resource")] }
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: Serialize + MentionsUsers> ApiResponse for Listed<T> {
    fn meta() -> MetaResponses {
        let header = |name: &str, description: &str, schema| MetaHeader {
            name: name.into(),
            description: Some(description.into()),
            required: false,
            deprecated: false,
            schema,
        };
        let position = "For a list of one conversation: the page includes every event up to this position, and none \
                        after it";
        let cursor = "The cursor for `after` of `/v1/events`, or for `cursor` of `hello`: the events after it have \
                      every change that the page does not include. Absent with `as_of`, and while the server cannot \
                      show one of the conversations as it is now";
        let headers = vec![
            header("Verbatim-Position", position, Position::schema_ref()),
            header("Verbatim-Cursor", cursor, String::schema_ref()),
        ];
        MetaResponses {
            responses: vec![MetaResponse { headers, ..ok::<Named<Page<T>>>("A page of the list") }],
        }
    }

    fn register(registry: &mut Registry) {
        Named::<Page<T>>::register(registry);
    }
}

impl<T: Serialize + Type> ApiResponse for Created<T> {
    fn meta() -> MetaResponses {
        MetaResponses { responses: vec![created::<T>()] }
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: Serialize + Type> ApiResponse for Requested<T> {
    fn meta() -> MetaResponses {
        let accepted = MetaResponse { status: Some(202), description: "Accepted", ..created::<T>() };
        MetaResponses { responses: vec![accepted] }
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: Serialize + Type> ApiResponse for Made<T> {
    fn meta() -> MetaResponses {
        MetaResponses { responses: vec![ok::<T>("The resource existed already"), created::<T>()] }
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: Serialize + Type> ApiResponse for MadeOrInvited<T> {
    fn meta() -> MetaResponses {
        let invited = MetaResponse {
            description: "The user was invited, and has to accept first. The response has no body",
            status: Some(202),
            ..done(Vec::new())
        };
        MetaResponses { responses: vec![ok::<T>("The resource existed already"), created::<T>(), invited] }
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl ApiResponse for Done {
    fn meta() -> MetaResponses {
        MetaResponses { responses: vec![done(Vec::new())] }
    }

    fn register(_: &mut Registry) {}
}

impl ApiResponse for Reached {
    fn meta() -> MetaResponses {
        let position = MetaHeader {
            name: "Verbatim-Position".into(),
            description: Some(
                "The position that the command has reached. Pass it as `min_position` to later reads".into(),
            ),
            required: true,
            deprecated: false,
            schema: Position::schema_ref(),
        };
        MetaResponses { responses: vec![done(vec![position])] }
    }

    fn register(_: &mut Registry) {}
}

fn done(headers: Vec<MetaHeader>) -> MetaResponse {
    MetaResponse {
        description: "Done. The response has no body",
        status: Some(204),
        status_range: None,
        content: Vec::new(),
        headers,
    }
}

fn ok<T: Type>(description: &'static str) -> MetaResponse {
    MetaResponse {
        description,
        status: Some(200),
        status_range: None,
        content: vec![MetaMediaType { content_type: "application/json", schema: T::schema_ref() }],
        headers: Vec::new(),
    }
}

fn created<T: Type>() -> MetaResponse {
    let location = MetaHeader {
        name: "Location".into(),
        description: Some("The path of the new resource".into()),
        required: true,
        deprecated: false,
        schema: String::schema_ref(),
    };
    MetaResponse { status: Some(201), headers: vec![location], ..ok::<T>("Created") }
}
