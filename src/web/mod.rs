//! The edge for **browsers**: pages for people. Their assets are embedded in the binary.

mod pages;
mod swagger;

use poem::Route;

pub(crate) use pages::with_ops;

/// Adds Swagger UI for the API document that is served at `document`, and the chat page if `has_chat` is set.
pub(crate) fn with_pages(routes: Route, document: &'static str, has_chat: bool) -> Route {
    let routes = swagger::with_swagger(routes, document);
    if has_chat { pages::with_chat(routes) } else { routes }
}
