//! Decides whether a request may become a socket. This is a pure function of its head.

use base64::{Engine, engine::general_purpose::STANDARD};
use poem::{
    Response,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version, header},
};

use crate::{
    access::ON_BEHALF_OF,
    gateway::{frames::contract::PROTOCOL, wire::websocket},
    listen::Origins,
    problems::Problem,
};

/// A request that may become a socket once its token has been checked.
#[derive(Clone, PartialEq, Eq)]
pub struct Accepted {
    /// `Sec-WebSocket-Key`.
    pub key: String,
    /// The access token, not yet checked. Never logged, never echoed.
    pub token: String,
}

impl Accepted {
    /// The 101 response, after which the connection speaks [`PROTOCOL`], without extensions.
    pub fn switching(&self) -> Response {
        Response::builder()
            .status(StatusCode::SWITCHING_PROTOCOLS)
            .header(header::CONNECTION, "Upgrade")
            .header(header::UPGRADE, "websocket")
            .header(header::SEC_WEBSOCKET_ACCEPT, websocket::accept_key(&self.key))
            .header(header::SEC_WEBSOCKET_PROTOCOL, PROTOCOL)
            .body(())
    }
}

/// Why a request may not become a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadHandshake {
    /// The method is not GET.
    Method,
    /// The URL has a token, and proxies and browser histories store URLs.
    TokenInUrl,
    /// HTTP before 1.1 cannot be upgraded.
    Http,
    /// The request does not ask for a WebSocket.
    NoUpgrade,
    /// The WebSocket version is not 13.
    WrongVersion,
    /// The key is missing or is not 16 bytes long.
    BadKey,
    /// The origin of the page is not on the list.
    Origin,
    /// [`PROTOCOL`] is not among the subprotocols.
    UnknownProtocol,
    /// The token is missing.
    NoToken,
    /// There is more than one token, so the caller is ambiguous.
    Tokens,
    /// A program asks for a socket on behalf of a user, but would get a socket of its own.
    OnBehalf,
}

impl BadHandshake {
    const fn row(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Method => (
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "A WebSocket begins with a GET request: use GET.",
            ),
            Self::TokenInUrl => (
                StatusCode::BAD_REQUEST,
                "token_in_url",
                "The URL has a token, and proxies and browser histories store URLs: send the token as Authorization: Bearer, \
                 or from a browser as the subprotocol entry bearer.<token>. Log in again, because this token may have \
                 leaked.",
            ),
            Self::Http => (
                StatusCode::BAD_REQUEST,
                "bad_handshake",
                "HTTP/1.0 cannot be upgraded: send the request over HTTP/1.1.",
            ),
            Self::NoUpgrade => (
                StatusCode::UPGRADE_REQUIRED,
                "upgrade_required",
                "This address accepts only WebSocket: send Connection: Upgrade and Upgrade: websocket, and check that no \
                 proxy removes these headers.",
            ),
            Self::WrongVersion => (
                StatusCode::UPGRADE_REQUIRED,
                "upgrade_required",
                "The server supports only version 13 of WebSocket: send Sec-WebSocket-Version: 13.",
            ),
            Self::BadKey => (
                StatusCode::BAD_REQUEST,
                "bad_handshake",
                "Sec-WebSocket-Key is not 16 bytes in base64: send a new random key with every request.",
            ),
            Self::Origin => (
                StatusCode::FORBIDDEN,
                "origin_not_allowed",
                "Pages of this origin may not connect: ask the operator to add the origin to VERBATIM_ORIGINS.",
            ),
            Self::UnknownProtocol => (
                StatusCode::BAD_REQUEST,
                "unknown_protocol",
                "The subprotocol verbatim.v1 is missing: offer it in Sec-WebSocket-Protocol.",
            ),
            Self::NoToken => (
                StatusCode::UNAUTHORIZED,
                "missing_token",
                "The access token is missing: send Authorization: Bearer, or from a browser the subprotocol entry bearer.<token>.",
            ),
            Self::Tokens => (
                StatusCode::BAD_REQUEST,
                "bad_handshake",
                "The request has more than one access token: send it in only one place.",
            ),
            Self::OnBehalf => (
                StatusCode::BAD_REQUEST,
                "bad_handshake",
                "A socket cannot be opened on behalf of a user: create a token for the user, and connect with it.",
            ),
        }
    }

    /// Headers that the response must have.
    fn headers(self) -> &'static [(HeaderName, &'static str)] {
        const UPGRADE: (HeaderName, &str) = (header::UPGRADE, "websocket");
        match self {
            Self::Method => &[(header::ALLOW, "GET")],
            Self::NoUpgrade => &[UPGRADE],
            Self::WrongVersion => &[UPGRADE, (header::SEC_WEBSOCKET_VERSION, "13")],
            Self::NoToken => &[(header::WWW_AUTHENTICATE, "Bearer")],
            _ => &[],
        }
    }
}

impl From<BadHandshake> for Problem {
    fn from(refused: BadHandshake) -> Self {
        let (status, code, detail) = refused.row();
        let problem = Self::new(status, code, detail);
        refused.headers().iter().fold(problem, |problem, (name, value)| {
            problem.with(name.clone(), HeaderValue::from_static(value))
        })
    }
}

/// Judges the head of a request for a socket.
///
/// # Errors
/// [`BadHandshake`] with the answer that the client gets instead of a socket.
pub fn accept(
    method: &Method,
    uri: &Uri,
    version: Version,
    headers: &HeaderMap,
    origins: &Origins,
) -> Result<Accepted, BadHandshake> {
    let demand = |is_so: bool, refused| if is_so { Ok(()) } else { Err(refused) };
    demand(method == Method::GET, BadHandshake::Method)?;
    demand(!has_token(uri.query().unwrap_or_default()), BadHandshake::TokenInUrl)?;
    demand(version >= Version::HTTP_11, BadHandshake::Http)?;
    let upgrades = items(headers, header::UPGRADE).any(|item| item.eq_ignore_ascii_case("websocket"));
    let connects = items(headers, header::CONNECTION).any(|item| item.eq_ignore_ascii_case("upgrade"));
    demand(upgrades && connects, BadHandshake::NoUpgrade)?;
    demand(only(headers, header::SEC_WEBSOCKET_VERSION) == Some("13"), BadHandshake::WrongVersion)?;
    let key = only(headers, header::SEC_WEBSOCKET_KEY).unwrap_or_default();
    demand(STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16), BadHandshake::BadKey)?;
    demand(!headers.contains_key(ON_BEHALF_OF), BadHandshake::OnBehalf)?;
    demand(origins.let_in(uri, headers), BadHandshake::Origin)?;
    let mut offered = items(headers, header::SEC_WEBSOCKET_PROTOCOL);
    demand(offered.any(|protocol| protocol == PROTOCOL), BadHandshake::UnknownProtocol)?;
    Ok(Accepted { key: key.to_owned(), token: token(headers)?.to_owned() })
}

fn has_token(query: &str) -> bool {
    let names = query.split('&').map(|pair| pair.split_once('=').map_or(pair, |(name, _)| name));
    names
        .into_iter()
        .any(|name| ["token", "access_token"].iter().any(|token| name.eq_ignore_ascii_case(token)))
}

/// The one token in `Authorization` or among the subprotocols.
fn token(headers: &HeaderMap) -> Result<&str, BadHandshake> {
    let header = headers.get_all(header::AUTHORIZATION).iter().filter_map(|value| {
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    });
    let entry = items(headers, header::SEC_WEBSOCKET_PROTOCOL)
        .filter_map(|protocol| protocol.strip_prefix("bearer."));
    let mut tokens = header.chain(entry).filter(|token| !token.is_empty());
    let token = tokens.next().ok_or(BadHandshake::NoToken)?;
    tokens.next().map_or(Ok(token), |_| Err(BadHandshake::Tokens))
}

/// The value of a header that occurs exactly once.
fn only(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// The items of a comma-separated header, over all its lines.
fn items(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use poem::IntoResponse as _;

    use super::*;

    const GOOD: &[(&str, &str)] = &[
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-protocol", "verbatim.v1"),
        ("authorization", "Bearer a.b.c"),
    ];

    /// A valid request with some headers changed. Several lines with one name replace the header together, and an empty
    /// value removes it.
    fn ask(changes: &[(&'static str, &str)]) -> Result<Accepted, BadHandshake> {
        ask_at("/v1/ws", changes)
    }

    fn ask_at(uri: &str, changes: &[(&'static str, &str)]) -> Result<Accepted, BadHandshake> {
        let kept = GOOD.iter().filter(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
        let mut headers = HeaderMap::new();
        for (name, value) in kept.chain(changes).filter(|(_, value)| !value.is_empty()) {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        let origins: Origins = "https://app.example.com".parse().expect("an origin");
        accept(&Method::GET, &uri.parse().unwrap(), Version::HTTP_11, &headers, &origins)
    }

    fn good() -> Accepted {
        Accepted { key: GOOD[3].1.to_owned(), token: "a.b.c".to_owned() }
    }

    impl std::fmt::Debug for Accepted {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "{} {}", self.key, self.token)
        }
    }

    #[test]
    fn good_requests_in_all_their_spellings_are_accepted() {
        let spellings: &[&[(&'static str, &str)]] = &[
            &[],
            &[("upgrade", "WEBSOCKET")],
            &[("upgrade", "h2c, WebSocket")],
            &[("connection", "keep-alive, Upgrade")],
            &[("connection", "keep-alive"), ("connection", "UPGRADE")],
            &[("sec-websocket-extensions", "permessage-deflate; server_max_window_bits=8")],
            &[("sec-websocket-protocol", "verbatim.v2, verbatim.v1")],
            &[("authorization", "bearer a.b.c")],
            &[("authorization", ""), ("sec-websocket-protocol", "verbatim.v1, bearer.a.b.c")],
            &[
                ("authorization", ""),
                ("sec-websocket-protocol", "bearer.a.b.c"),
                ("sec-websocket-protocol", "verbatim.v1"),
            ],
            &[("origin", "https://app.example.com")],
        ];
        for spelling in spellings {
            assert_eq!(ask(spelling), Ok(good()), "{spelling:?}");
        }
        assert_eq!(ask_at("/v1/ws?filter=token", &[]), Ok(good()), "a value is no name");
    }

    #[test]
    fn every_fault_has_its_own_refusal() {
        let rows: &[(&'static str, &str, BadHandshake)] = &[
            ("upgrade", "", BadHandshake::NoUpgrade),
            ("upgrade", "h2c", BadHandshake::NoUpgrade),
            ("connection", "", BadHandshake::NoUpgrade),
            ("connection", "keep-alive", BadHandshake::NoUpgrade),
            ("sec-websocket-version", "", BadHandshake::WrongVersion),
            ("sec-websocket-version", "8", BadHandshake::WrongVersion),
            ("sec-websocket-version", "13,8", BadHandshake::WrongVersion),
            ("sec-websocket-key", "", BadHandshake::BadKey),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ", BadHandshake::BadKey),
            ("sec-websocket-key", "AAAA", BadHandshake::BadKey),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZTIyMjI=", BadHandshake::BadKey),
            ("origin", "null", BadHandshake::Origin),
            ("origin", "https://app.example.com.evil.io", BadHandshake::Origin),
            ("origin", "http://app.example.com", BadHandshake::Origin),
            ("origin", "https://app.example.com:8443", BadHandshake::Origin),
            ("origin", "https://APP.example.com", BadHandshake::Origin),
            ("origin", "https://app.example.com/", BadHandshake::Origin),
            ("sec-websocket-protocol", "", BadHandshake::UnknownProtocol),
            ("sec-websocket-protocol", "verbatim.v2", BadHandshake::UnknownProtocol),
            ("sec-websocket-protocol", "VERBATIM.V1", BadHandshake::UnknownProtocol),
            ("sec-websocket-protocol", "bearer.a.b.c", BadHandshake::UnknownProtocol),
            ("authorization", "", BadHandshake::NoToken),
            ("authorization", "Basic YTpi", BadHandshake::NoToken),
            ("authorization", "Bearer  ", BadHandshake::NoToken),
            ("sec-websocket-protocol", "verbatim.v1, bearer.x.y.z", BadHandshake::Tokens),
            ("verbatim-on-behalf-of", "ext:7", BadHandshake::OnBehalf),
        ];
        for (name, value, refused) in rows {
            assert_eq!(ask(&[(name, value)]), Err(*refused), "{name}: {value}");
        }
        let lines = [("sec-websocket-version", "13"), ("sec-websocket-version", "8")];
        assert_eq!(ask(&lines), Err(BadHandshake::WrongVersion));
        let origins = [("origin", "https://app.example.com"), ("origin", "https://evil.io")];
        assert_eq!(ask(&origins), Err(BadHandshake::Origin));
        for uri in ["/v1/ws?token=a.b.c", "/v1/ws?a=b&access_token=a.b.c", "/v1/ws?Token"] {
            assert_eq!(ask_at(uri, &[]), Err(BadHandshake::TokenInUrl), "{uri}");
        }
    }

    #[test]
    fn method_version_and_origin_setting_count() {
        let mut headers = HeaderMap::new();
        for (name, value) in GOOD.iter().chain(&[("origin", "https://anything.test")]) {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        let uri = Uri::from_static("/v1/ws");
        let ask = |method, version, origins| accept(&method, &uri, version, &headers, &origins);
        assert_eq!(ask(Method::POST, Version::HTTP_11, Origins::Any), Err(BadHandshake::Method));
        assert_eq!(ask(Method::GET, Version::HTTP_10, Origins::Any), Err(BadHandshake::Http));
        assert_eq!(
            ask(Method::GET, Version::HTTP_11, "https://app.example.com".parse().expect("an origin")),
            Err(BadHandshake::Origin)
        );
        assert_eq!(ask(Method::GET, Version::HTTP_11, Origins::Any), Ok(good()));
    }

    #[test]
    fn answers_say_what_the_standards_want() {
        let told = |refused| {
            let problem = Problem::from(refused);
            (problem.status.as_u16(), problem.code, problem.into_response())
        };
        let (status, _, answer) = told(BadHandshake::NoToken);
        assert_eq!((status, answer.header("www-authenticate")), (401, Some("Bearer")));
        assert_eq!(told(BadHandshake::NoUpgrade).0, 426);
        let (status, _, answer) = told(BadHandshake::WrongVersion);
        assert_eq!((status, answer.header("sec-websocket-version")), (426, Some("13")));
        let (status, code, _) = told(BadHandshake::TokenInUrl);
        assert_eq!((status, code), (400, "token_in_url"));
        assert_eq!(told(BadHandshake::Origin).0, 403);
        assert_eq!(told(BadHandshake::UnknownProtocol).0, 400);
        let switching = good().switching();
        assert_eq!(switching.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        assert_eq!(switching.header("sec-websocket-protocol"), Some(PROTOCOL));
        assert_eq!(switching.header("sec-websocket-extensions"), None);
    }
}
