//! The pages that explain each kind of problem. The `type` of a problem links to its page.

use poem::{IntoResponse as _, Request, Response, Route, endpoint::make_sync, get, http::header};

use crate::{
    api::http::accept,
    problems::{Problem, all, all_html, find},
};

const PAGE: &str = "text/html; charset=utf-8";

/// The routes that explain one kind of problem, or list all kinds.
pub(in crate::api) fn explained() -> Route {
    Route::new().at("/", get(make_sync(list))).at("/:code", get(make_sync(explain)))
}

fn list(request: Request) -> Response {
    match wants_page(&request) {
        true => answer(PAGE, all_html()),
        false => answer("application/json", all().to_string()),
    }
}

fn explain(request: Request) -> Response {
    let Some(code) = request.raw_path_param("code").and_then(find) else {
        return Problem::not_found().into_response();
    };
    match wants_page(&request) {
        true => answer(PAGE, code.html()),
        false => answer("application/json", code.json().to_string()),
    }
}

fn wants_page(request: &Request) -> bool {
    accept::wants_page(request.header(header::ACCEPT).unwrap_or_default())
}

fn answer(kind: &str, body: String) -> Response {
    Response::builder()
        .content_type(kind)
        .header(header::CACHE_CONTROL, "public, max-age=3600")
        .header(header::VARY, "accept")
        .body(body)
}
