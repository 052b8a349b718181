//! What goes out: written straight from its type, documented as its type.

use std::borrow::Cow;

use poem::{
    IntoResponse, Response,
    http::{HeaderValue, StatusCode, header},
};
use poem_openapi::{
    ApiResponse,
    registry::{MetaHeader, MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry},
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

/// A part of a list, and where the next part begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Page<T> {
    /// The things of this page.
    pub items: Vec<T>,
    /// For the parameter `cursor` of the next request; `None` at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

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

impl<T: Type> Type for Page<T> {
    const IS_REQUIRED: bool = true;
    type RawValueType = Self;
    type RawElementValueType = T;

    fn name() -> Cow<'static, str> {
        format!("{}Page", T::name()).into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Reference(Self::name().into_owned())
    }

    fn register(registry: &mut Registry) {
        registry.create_schema::<Self, _>(Self::name().into_owned(), |registry| {
            T::register(registry);
            let described = |description| MetaSchema { description: Some(description), ..MetaSchema::ANY };
            let cursor = "For the parameter `cursor` of the next request; absent at the end";
            MetaSchema {
                description: Some("A part of a list, and where the next part begins"),
                required: vec!["items"],
                properties: vec![
                    ("items", Vec::<T>::schema_ref().merge(described("The things of this page"))),
                    ("next_cursor", String::schema_ref().merge(described(cursor))),
                ],
                ..MetaSchema::new("object")
            }
        });
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a T> + 'a> {
        Box::new(self.items.iter())
    }
}
