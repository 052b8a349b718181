//! Decides which web pages may use this server from a browser, by exact origin, without cookies. Pages of the server's
//! own origin always may, and every allowed page can read every response, including refusals.

use std::str::FromStr;

use poem::{
    Response,
    http::{HeaderMap, HeaderValue, Method, Uri, header, uri::Authority},
};

use crate::problems::{Problem, RequestId};

/// The methods and request headers that a page may use.
const METHODS: &str = "GET, POST, PUT, PATCH, DELETE";
const HEADERS: &str =
    "authorization, content-type, idempotency-key, last-event-id, traceparent, x-request-id";
/// The response headers that a page may read.
const TOLD: &str = "allow, location, ratelimit, ratelimit-policy, retry-after, verbatim-cursor, verbatim-position, \
     www-authenticate, x-request-id";
/// How long a browser may cache the answer to a preflight request, in seconds.
const REMEMBER: &str = "7200";

/// The pages in browsers that may use this server. Programs that send no `Origin` always may, because nothing here
/// relies on cookies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    /// Any page.
    Any,
    /// Only these origins, and the server's own.
    Only {
        /// The origins, compared exactly: scheme, host and port as browsers write them.
        named: Vec<String>,
        /// Whether browsers reach the server by TLS only, so that a page without TLS is not its own.
        over_tls: bool,
    },
}

/// An origin that no browser sends, so it would not admit any page.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no page has the origin `{origin}`: {instead}")]
pub struct BadOrigin {
    origin: String,
    instead: String,
}

impl FromStr for Origins {
    type Err = BadOrigin;

    fn from_str(list: &str) -> Result<Self, BadOrigin> {
        match list.trim() {
            "*" => Ok(Self::Any),
            list => list
                .split(',')
                .map(|origin| origin_of(origin.trim()))
                .collect::<Result<_, _>>()
                .map(|named| Self::Only { named, over_tls: false }),
        }
    }
}

/// An origin as browsers write it. The error says what to write instead.
fn origin_of(text: &str) -> Result<String, BadOrigin> {
    let bad = |instead: String| Err(BadOrigin { origin: text.to_owned(), instead });
    if text == "null" {
        return Ok(text.to_owned());
    }
    if text.is_empty() {
        return bad("name an origin between two commas, or write `*` alone for any page".into());
    }
    if text.contains('*') {
        return bad("there are no wildcards: write each origin, or `*` alone for any page".into());
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return bad(format!("write the scheme as well, as in `https://{}`", text.trim_end_matches('/')));
    };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let lower = format!("{scheme}://{host}").to_ascii_lowercase();
    let default =
        [("https", ":443"), ("http", ":80")].into_iter().find(|(of, _)| scheme.eq_ignore_ascii_case(of));
    let right = default.and_then(|(_, port)| lower.strip_suffix(port)).unwrap_or(&lower);
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|number| number.to_string() == port);
    let end = host.rfind(']').unwrap_or(0);
    let port = host[end..].split_once(':').map(|(_, port)| port);
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    if scheme.is_empty()
        || host.is_empty()
        || !host.bytes().all(is_host)
        || port.is_some_and(|port| !is_port(port))
    {
        return bad(
            "write scheme, host and perhaps a port as a browser does (`https://chat.example`, `http://localhost:3000`), \
             a host with other letters in its ASCII form (`xn--…`)"
                .into(),
        );
    }
    if right == text { Ok(text.to_owned()) } else { bad(format!("write `{right}`")) }
}

/// A page that may use this server.
pub(super) struct Page(HeaderValue);

impl Origins {
    /// The same for a server that browsers reach by TLS only.
    pub fn over_tls(self) -> Self {
        match self {
            Self::Any => Self::Any,
            Self::Only { named, .. } => Self::Only { named, over_tls: true },
        }
    }

    /// Whether the page that sent a request may use this server. A request without `Origin` always may.
    pub fn let_in(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        headers.get_all(header::ORIGIN).iter().all(|origin| match self {
            Self::Any => true,
            Self::Only { named, over_tls } => {
                named.iter().any(|one| one == origin) || is_own(origin, *over_tls, uri, headers)
            }
        })
    }

    /// The page that sent a request, or the refusal of a page that is not allowed. `None` if the request has no
    /// `Origin`.
    pub(super) fn of(&self, uri: &Uri, headers: &HeaderMap) -> Option<Result<Page, Response>> {
        let origin = headers.get(header::ORIGIN)?;
        if self.let_in(uri, headers) {
            return Some(Ok(Page(origin.clone())));
        }
        let detail = "Pages of this origin may not use this server: ask the operator to add the origin to VERBATIM_ORIGINS.";
        let problem = Problem::forbidden("origin_not_allowed", detail)
            .with(header::VARY, HeaderValue::from_static("origin"));
        Some(Err(problem.answer(RequestId::of(headers))))
    }
}

/// Whether an origin is the server's own, judged by the host that the client asked for. Browsers compare origins the
/// same way and let no page set `Host` or `Sec-Fetch-Site`. The latter also works where a proxy has changed the host.
fn is_own(origin: &HeaderValue, over_tls: bool, uri: &Uri, headers: &HeaderMap) -> bool {
    if headers.get("sec-fetch-site").is_some_and(|site| site == "same-origin") {
        return true;
    }
    let asked = uri.authority().map(Authority::as_str);
    let asked = asked.or_else(|| headers.get(header::HOST)?.to_str().ok());
    let of_page = origin.to_str().ok().and_then(|origin| {
        let (scheme, host) = origin.split_once("://")?;
        (scheme == "https" || scheme == "http" && !over_tls).then_some(host)
    });
    asked.zip(of_page).is_some_and(|(asked, of_page)| asked.eq_ignore_ascii_case(of_page))
}

impl Page {
    /// Whether the request is a preflight request.
    pub(super) fn only_asks(&self, method: &Method, headers: &HeaderMap) -> bool {
        *method == Method::OPTIONS && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
    }

    /// The response to a preflight request from an allowed origin.
    pub(super) fn may(self) -> Response {
        let answer = Response::builder()
            .header(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS)
            .header(header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS)
            .header(header::ACCESS_CONTROL_MAX_AGE, REMEMBER)
            .body(());
        self.reads(answer)
    }

    /// Lets the page read the response.
    pub(super) fn reads(self, mut answer: Response) -> Response {
        let headers = answer.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, self.0);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(TOLD));
        headers.append(header::VARY, HeaderValue::from_static("origin"));
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_taken_as_browsers_write_them() {
        for list in [
            "https://chat.example",
            "https://chat.example,http://localhost:3000, http://[::1]:8080",
            "capacitor://localhost,null",
            "https://xn--bcher-kva.example:8443",
        ] {
            let only = list.split(',').map(|origin| origin.trim().to_owned()).collect();
            assert_eq!(list.parse(), Ok(Origins::Only { named: only, over_tls: false }));
        }
        assert_eq!(" * ".parse(), Ok(Origins::Any));
    }

    #[test]
    fn an_origin_that_lets_nobody_in_is_refused_with_what_to_write() {
        for (wrong, instead) in [
            ("https://chat.example/", "write `https://chat.example`"),
            ("https://chat.example/app?x=1", "write `https://chat.example`"),
            ("https://Chat.Example", "write `https://chat.example`"),
            ("https://chat.example:443", "write `https://chat.example`"),
            ("HTTP://chat.example:80/", "write `http://chat.example`"),
            ("chat.example", "as in `https://chat.example`"),
            ("localhost:3000/", "as in `https://localhost:3000`"),
            ("https://*.chat.example", "no wildcards"),
            ("https://chat.example,*", "`*` alone"),
            ("https://chat.example,", "between two commas"),
            ("", "between two commas"),
            ("https://", "write scheme, host"),
            ("https://user@chat.example", "write scheme, host"),
            ("https://bücher.example", "xn--"),
            ("https://chat.example:99999", "write scheme, host"),
            ("https://chat.example https://other.example", "write scheme, host"),
        ] {
            let refused = wrong.parse::<Origins>().expect_err(wrong).to_string();
            assert!(refused.contains(instead), "{wrong}: {refused}");
        }
    }

    #[test]
    fn a_page_of_the_servers_own_origin_is_no_stranger() {
        let origins: Origins = "https://chat.example".parse().expect("an origin");
        let sent = |origins: &Origins, lines: &[(&'static str, &'static str)]| {
            let lines = lines.iter().map(|(name, value)| {
                (header::HeaderName::from_static(name), HeaderValue::from_static(value))
            });
            origins.let_in(&Uri::from_static("/v1/me"), &lines.collect())
        };
        let asked = |lines: &[(&'static str, &'static str)]| sent(&origins, lines);
        assert!(asked(&[("host", "127.0.0.1:8080")]), "not a page");
        assert!(asked(&[("origin", "https://chat.example"), ("host", "127.0.0.1:8080")]));
        assert!(asked(&[("origin", "http://127.0.0.1:8080"), ("host", "127.0.0.1:8080")]));
        assert!(
            asked(&[("origin", "https://own.example"), ("host", "Own.Example")]),
            "behind a proxy with TLS"
        );
        assert!(asked(&[
            ("origin", "https://own.example"),
            ("host", "node-1"),
            ("sec-fetch-site", "same-origin")
        ]));
        for stranger in ["http://127.0.0.1:8081", "http://127.0.0.1", "null", "ftp://127.0.0.1:8080"] {
            let lines = [("origin", stranger), ("host", "127.0.0.1:8080"), ("sec-fetch-site", "same-site")];
            assert!(!asked(&lines), "{stranger}");
        }
        let over_tls = origins.clone().over_tls();
        assert!(sent(&over_tls, &[("origin", "https://own.example"), ("host", "own.example")]));
        assert!(!sent(&over_tls, &[("origin", "http://own.example"), ("host", "own.example")]));
    }
}
