//! What goes out: written straight from its type, documented as its type.

use poem::{
    IntoResponse, Response,
    http::{HeaderValue, StatusCode, header},
};
use poem_openapi::{
    ApiResponse,
    registry::{MetaHeader, MetaMediaType, MetaResponse, MetaResponses, Registry},
    types::Type,
};
use serde::Serialize;

use super::Problem;

/// 200 with a body.
pub struct Reply<T>(pub T);

/// 201 with a body and where the new thing is.
pub struct Created<T> {
    /// The path of the new thing, `/v1/...`.
    pub location: String,
    /// The new thing.
    pub body: T,
}

/// 201 if it was made now, 200 if it was there before.
pub enum Made<T> {
    /// Made by this request.
    Now(Created<T>),
    /// There before.
    Before(T),
}

/// 204: done, and nothing to tell.
pub struct Done;

impl<T: Serialize + Send> IntoResponse for Reply<T> {
    fn into_response(self) -> Response {
        json(StatusCode::OK, &self.0)
    }
}

impl<T: Serialize + Send> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        let mut response = json(StatusCode::CREATED, &self.body);
        match HeaderValue::try_from(self.location) {
            Ok(location) => drop(response.headers_mut().insert(header::LOCATION, location)),
            Err(error) => tracing::error!(%error, "a location is no header value"),
        }
        response
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

impl IntoResponse for Done {
    fn into_response(self) -> Response {
        StatusCode::NO_CONTENT.into_response()
    }
}

fn json<T: Serialize>(status: StatusCode, body: &T) -> Response {
    match serde_json::to_vec(body) {
        Ok(body) => Response::builder().status(status).content_type("application/json").body(body),
        Err(error) => {
            tracing::error!(%error, "a reply is no JSON");
            Problem::internal().into_response()
        }
    }
}

impl<T: Serialize + Type> ApiResponse for Reply<T> {
    fn meta() -> MetaResponses {
        MetaResponses { responses: vec![ok::<T>("As asked")] }
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
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

impl<T: Serialize + Type> ApiResponse for Made<T> {
    fn meta() -> MetaResponses {
        MetaResponses { responses: vec![ok::<T>("There before"), created::<T>()] }
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl ApiResponse for Done {
    fn meta() -> MetaResponses {
        let done = MetaResponse {
            description: "Done",
            status: Some(204),
            status_range: None,
            content: Vec::new(),
            headers: Vec::new(),
        };
        MetaResponses { responses: vec![done] }
    }

    fn register(_: &mut Registry) {}
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
        description: Some("The path of the new thing".into()),
        required: true,
        deprecated: false,
        schema: String::schema_ref(),
    };
    MetaResponse { status: Some(201), headers: vec![location], ..ok::<T>("Made") }
}
