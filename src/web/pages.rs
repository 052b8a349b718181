//! Serves the pages that `sdk/pages/` builds: the chat page, and the page for operators.
//!
//! The built files are committed, so that cargo needs no Node.js. The name of a script or a style contains a digest of
//! its contents, and `index.html` refers to these names. So browsers cache these files forever, and request
//! `index.html` each time.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use bytes::Bytes;
use poem::{
    EndpointExt, IntoResponse, Request, Response, Route,
    endpoint::make_sync,
    get,
    http::{StatusCode, header},
    web::Redirect,
};

use crate::problems::Problem;

/// The content security policy of the pages: nothing inline, and nothing from or to another server. `'self'` of
/// `connect-src` includes the WebSockets of the same server.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// The cache policy of files whose names contain a digest of their contents.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// The files of a page, each plain and compressed.
struct Page {
    index: File,
    script: File,
    style: File,
}

struct File {
    kind: &'static str,
    plain: &'static [u8],
    packed: &'static [u8],
}

macro_rules! file {
    ($name:literal, $kind:literal) => {
        File { kind: $kind, plain: include_bytes!($name), packed: include_bytes!(concat!($name, ".gz")) }
    };
}

static CHAT: Page = Page {
    index: file!("chat/index.html", "text/html; charset=utf-8"),
    script: file!("chat/page.js", "text/javascript; charset=utf-8"),
    style: file!("chat/style.css", "text/css; charset=utf-8"),
};

static OPS: Page = Page {
    index: file!("ops/index.html", "text/html; charset=utf-8"),
    script: file!("ops/page.js", "text/javascript; charset=utf-8"),
    style: file!("ops/style.css", "text/css; charset=utf-8"),
};

/// Adds the chat page at `/chat/`, to which `/` redirects.
pub(crate) fn with_chat(routes: Route) -> Route {
    with_page(routes, &CHAT, "/chat")
}

/// Adds the page for operators at `/ops/`, to which `/` redirects.
pub(crate) fn with_ops(routes: Route) -> Route {
    with_page(routes, &OPS, "/ops")
}

fn with_page(routes: Route, page: &'static Page, at: &'static str) -> Route {
    let home = make_sync(move |_| Redirect::temporary(format!("{at}/")));
    let slash = make_sync(move |_| Redirect::permanent(format!("{at}/")));
    let page = make_sync(|request| page.answer(&request));
    routes
        .at("/", get(home.map_to_response()))
        .at(at, get(slash.map_to_response()))
        .at(format!("{at}/*path"), get(page.map_to_response()))
}

impl Page {
    fn answer(&self, request: &Request) -> Response {
        let path = request.raw_path_param("path").unwrap_or_default();
        let (file, cache) = match path {
            "" | "index.html" => (&self.index, "no-cache"),
            path if self.names(path) && path.ends_with(".js") => (&self.script, FOR_EVER),
            path if self.names(path) && path.ends_with(".css") => (&self.style, FOR_EVER),
            _ => return Problem::not_found().into_response(),
        };
        file.answer(request, cache)
    }

    /// Whether `index.html` refers to this file. If so, the file belongs to this build.
    fn names(&self, path: &str) -> bool {
        let quoted = format!("\"{path}\"");
        self.index.plain.windows(quoted.len()).any(|part| part == quoted.as_bytes())
    }
}

impl File {
    fn answer(&self, request: &Request, cache: &'static str) -> Response {
        // The tag is weak because it is the same for both encodings.
        let mut hasher = DefaultHasher::new();
        self.plain.hash(&mut hasher);
        let tag = format!("W/\"{:016x}\"", hasher.finish());
        let response = Response::builder()
            .header(header::CACHE_CONTROL, cache)
            .header(header::ETAG, &tag)
            .header(header::VARY, "accept-encoding")
            .header(header::CONTENT_SECURITY_POLICY, POLICY)
            .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
            .header(header::REFERRER_POLICY, "no-referrer");
        let known = request.header(header::IF_NONE_MATCH).unwrap_or_default();
        if known.split(',').any(|known| known.trim() == tag || known.trim() == "*") {
            return response.status(StatusCode::NOT_MODIFIED).finish();
        }
        let response = response.content_type(self.kind);
        if takes_gzip(request.header(header::ACCEPT_ENCODING).unwrap_or_default()) {
            return response.header(header::CONTENT_ENCODING, "gzip").body(Bytes::from_static(self.packed));
        }
        response.body(Bytes::from_static(self.plain))
    }
}

/// Whether a client that sends this `Accept-Encoding` accepts gzip.
pub(super) fn takes_gzip(accepted: &str) -> bool {
    accepted.split(',').any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        let weight = parts.find_map(|part| part.strip_prefix("q=")).map(str::parse::<f32>);
        named && !matches!(weight, Some(Ok(0.0)))
    })
}

#[cfg(test)]
mod tests {
    use poem::Endpoint as _;

    use super::*;

    async fn ask(path: &str, headers: &[(&str, &str)]) -> Response {
        let routes = match path.starts_with("/ops") {
            true => with_ops(Route::new()),
            false => with_chat(Route::new()),
        };
        let mut request = Request::builder().uri(path.parse().expect("a path"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        routes.get_response(request.finish()).await
    }

    /// The names of script and style in `index.html`.
    async fn names(folder: &str) -> Vec<String> {
        let page = ask(folder, &[]).await.into_body().into_string().await.expect("text");
        let quoted = page.split('"').skip(1).step_by(2);
        let names = quoted.filter(|text| text.ends_with(".js") || text.ends_with(".css"));
        names.map(|name| format!("{folder}{name}")).collect()
    }

    #[tokio::test]
    async fn the_start_leads_to_the_chat_page() {
        for path in ["/", "/chat"] {
            assert_eq!(ask(path, &[]).await.header("location"), Some("/chat/"), "{path}");
        }
        assert_eq!(ask("/ops", &[]).await.header("location"), Some("/ops/"));
    }

    #[tokio::test]
    async fn every_file_is_there_in_both_encodings_and_says_how_long_it_lasts() {
        let files = [names("/chat/").await, names("/ops/").await].concat();
        assert_eq!(files.len(), 4, "{files:?}");
        for file in files {
            let answer = ask(&file, &[]).await;
            assert_eq!((answer.status(), answer.header("cache-control")), (StatusCode::OK, Some(FOR_EVER)));
            assert_eq!(answer.header("content-encoding"), None);
            let packed = ask(&file, &[("accept-encoding", "br, gzip;q=0.8")]).await;
            assert_eq!(packed.header("content-encoding"), Some("gzip"));
            let bytes = packed.into_body().into_bytes().await.expect("bytes");
            assert!(bytes.starts_with(&[0x1f, 0x8b]), "{file}");
        }
        assert_eq!(ask("/chat/page-000000000000.js", &[]).await.status(), StatusCode::NOT_FOUND);
    }

    #[tokio::test]
    async fn a_page_that_has_not_changed_is_not_sent_again() {
        let page = ask("/chat/", &[]).await;
        assert_eq!(page.header("cache-control"), Some("no-cache"));
        let tag = page.header("etag").expect("a tag").to_owned();
        let again = ask("/chat/", &[("if-none-match", &tag)]).await;
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(ask("/chat/", &[("if-none-match", "\"other\"")]).await.status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn nothing_inline_may_run() {
        let page = ask("/chat/", &[]).await;
        let policy = page.header("content-security-policy").expect("a policy").to_owned();
        assert!(!policy.contains("unsafe") && policy.contains("default-src 'none'"), "{policy}");
        let text = page.into_body().into_string().await.expect("text");
        assert!(!text.contains("<style") && !text.contains("<script>") && !text.contains(" style="));
    }

    #[test]
    fn gzip_is_sent_to_those_who_take_it() {
        for (accepted, takes) in [
            ("gzip, deflate, br", true),
            ("br;q=1, GZIP;q=0.1", true),
            ("gzip;q=0", false),
            ("br", false),
            ("", false),
        ] {
            assert_eq!(takes_gzip(accepted), takes, "{accepted}");
        }
    }
}
