//! The pages that explain each kind of problem. The `type` of a problem links to its page.

use poem::{IntoResponse as _, Request, Response, Route, endpoint::make_sync, get, http::header};

use crate::{
    api::http::accept,
    problems::{Problem, all, find},
};

/// The routes that explain one kind of problem, or list all kinds.
pub(in crate::api) fn explained() -> Route {
    Route::new()
        .at("/", get(make_sync(|_| answer("application/json", all().to_string()))))
        .at("/:code", get(make_sync(explain)))
}

fn explain(request: Request) -> Response {
    let Some(code) = request.raw_path_param("code").and_then(find) else {
        return Problem::not_found().into_response();
    };
    match accept::wants_page(request.header(header::ACCEPT).unwrap_or_default()) {
        true => answer("text/html; charset=utf-8", code.html()),
        false => answer("application/json", code.json().to_string()),
    }
}

fn answer(kind: &str, body: String) -> Response {
    Response::builder()
        .content_type(kind)
        .header(header::CACHE_CONTROL, "public, max-age=3600")
        .header(header::VARY, "accept")
        .body(body)
}
