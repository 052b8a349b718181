//! The address of a request's client, even behind trusted proxies.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use poem::{
    FromRequest, Request, RequestBody,
    http::{HeaderMap, HeaderName, header::FORWARDED},
};

use crate::{listen::proxies::Proxies, problems::Problem};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The address of the client, in the extensions of each request. An IPv4 address is never mapped into IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientAddress(pub IpAddr);

impl ClientAddress {
    /// The address of the client of `request`; `None` if the request did not come through the door.
    pub fn of(request: &Request) -> Option<Self> {
        request.extensions().get::<Self>().copied()
    }

    /// The address of the peer, or the address that a trusted proxy names. Each proxy appends the address of its own
    /// peer, so the client's address is the last one that is not a proxy's; a client may write anything before it. An
    /// unreadable or contradictory header counts as absent, and the peer's address is used.
    pub(super) fn told(peer: SocketAddr, headers: &HeaderMap, proxies: &Proxies) -> Self {
        let peer = peer.ip().to_canonical();
        if !proxies.contain(peer) {
            return Self(peer);
        }
        let standard = lines(headers, &FORWARDED).map(|list| client(forwarded(&list)?, proxies));
        let usual = lines(headers, &X_FORWARDED_FOR)
            .map(|list| client(list.split(',').map(address).collect(), proxies));
        let told = match (standard, usual) {
            (None, None) => None,
            (Some(told), None) | (None, Some(told)) => told,
            // A proxy writes one of the two headers and may pass on the other as the client sent it, so they have to
            // agree.
            (Some(standard), Some(usual)) => standard.filter(|_| standard == usual),
        };
        Self(told.unwrap_or(peer))
    }
}

impl<'a> FromRequest<'a> for ClientAddress {
    async fn from_request(request: &'a Request, _: &mut RequestBody) -> poem::Result<Self> {
        Self::of(request).ok_or_else(|| Problem::internal().into())
    }
}

impl fmt::Display for ClientAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The last address that is not a proxy's. If all of them are proxies' addresses, the request began at the first one.
fn client(addresses: Vec<Option<IpAddr>>, proxies: &Proxies) -> Option<IpAddr> {
    let mut first = None;
    for address in addresses.into_iter().rev() {
        let address = address?;
        if !proxies.contain(address) {
            return Some(address);
        }
        first = Some(address);
    }
    first
}

/// All lines of a header as one list, if the header is present. A line that is not text becomes an invalid element.
fn lines(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let lines: Vec<_> = headers.get_all(name).iter().map(|line| line.to_str().unwrap_or("?")).collect();
    if lines.is_empty() { None } else { Some(lines.join(",")) }
}

/// The addresses of `for=` (RFC 7239), one for each proxy. `None` if a quoted string is not closed.
fn forwarded(list: &str) -> Option<Vec<Option<IpAddr>>> {
    let elements = split(list, ',')?;
    elements
        .into_iter()
        .map(|element| {
            let mut named = split(element, ';')?.into_iter().filter_map(|pair| {
                let (name, value) = pair.split_once('=')?;
                name.trim().eq_ignore_ascii_case("for").then_some(value.trim())
            });
            let value = named.next();
            let value = value.filter(|_| named.next().is_none());
            Some(value.and_then(|value| address(value.trim_matches('"'))))
        })
        .collect()
}

/// Splits `text` at the separators outside quotes. `None` if a quoted string is not closed.
fn split(text: &str, separator: char) -> Option<Vec<&str>> {
    let (mut quoted, mut escaped) = (false, false);
    let parts = text
        .split(|character| {
            let is_escaped = escaped;
            escaped = quoted && !is_escaped && character == '\\';
            quoted ^= character == '"' && !is_escaped;
            character == separator && !quoted
        })
        .collect();
    if quoted { None } else { Some(parts) }
}

/// Parses an address, optionally in brackets and optionally with a port.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = || text.parse::<IpAddr>().ok();
    let bracketed =
        || text.strip_prefix('[')?.strip_suffix(']')?.parse::<std::net::Ipv6Addr>().ok().map(IpAddr::V6);
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    bare().or_else(bracketed).or_else(with_port).map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use poem::http::HeaderValue;

    use super::*;

    const OURS: &str = "10.0.0.0/8,fd00::/8";

    fn told(proxies: &str, peer: &str, lines: &[(&'static str, &'static str)]) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let peer = SocketAddr::new(peer.parse().expect("an address"), 50_000);
        ClientAddress::told(peer, &headers, &proxies.parse().expect("networks")).to_string()
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        const SAYS: &[(&str, &str)] = &[("x-forwarded-for", "192.0.2.1")];
        for (proxies, peer, address) in [
            ("", "10.0.0.1", "10.0.0.1"),
            (OURS, "203.0.113.9", "203.0.113.9"),
            (OURS, "10.0.0.1", "192.0.2.1"),
            (OURS, "fd00::1", "192.0.2.1"),
            (OURS, "::ffff:10.0.0.1", "192.0.2.1"),
            ("", "::ffff:10.0.0.1", "10.0.0.1"),
            ("127.0.0.1", "127.0.0.1", "192.0.2.1"),
        ] {
            assert_eq!(told(proxies, peer, SAYS), address, "{peer} behind `{proxies}`");
        }
    }

    #[test]
    fn the_last_address_that_is_no_proxys_is_the_clients() {
        for (value, address) in [
            ("192.0.2.1", "192.0.2.1"),
            ("127.0.0.1, 192.0.2.1", "192.0.2.1"),
            ("192.0.2.1, 10.0.0.2", "192.0.2.1"),
            ("203.0.113.5, 192.0.2.1, 10.0.0.3,10.0.0.2", "192.0.2.1"),
            ("nonsense, 192.0.2.1", "192.0.2.1"),
            ("10.0.0.8, 10.0.0.2", "10.0.0.8"),
            ("192.0.2.1:4711", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("[::ffff:192.0.2.1]:80", "192.0.2.1"),
            ("::ffff:192.0.2.1, ::ffff:10.0.0.2", "192.0.2.1"),
        ] {
            assert_eq!(told(OURS, "10.0.0.1", &[("x-forwarded-for", value)]), address, "{value}");
        }
        let two = [("x-forwarded-for", "203.0.113.5"), ("x-forwarded-for", "192.0.2.1, 10.0.0.2")];
        assert_eq!(told(OURS, "10.0.0.1", &two), "192.0.2.1", "two lines are one list");
    }

    #[test]
    fn the_standard_header_says_the_same() {
        for (value, address) in [
            ("for=192.0.2.1", "192.0.2.1"),
            ("For=192.0.2.1;proto=https;by=203.0.113.43", "192.0.2.1"),
            ("proto=https; for=\"192.0.2.1:4711\"", "192.0.2.1"),
            ("for=\"[2001:db8::1]:4711\"", "2001:db8::1"),
            ("for=\"[2001:db8::1]\"", "2001:db8::1"),
            ("for=127.0.0.1, for=192.0.2.1, for=10.0.0.2", "192.0.2.1"),
            ("for=127.0.0.1;host=\"a,b;for=1.2.3.4\", for=192.0.2.1", "192.0.2.1"),
            ("for=_hidden, for=192.0.2.1", "192.0.2.1"),
        ] {
            assert_eq!(told(OURS, "10.0.0.1", &[("forwarded", value)]), address, "{value}");
        }
    }

    #[test]
    fn garbage_counts_as_not_said() {
        for lines in [
            &[][..],
            &[("x-forwarded-for", "")],
            &[("x-forwarded-for", "unknown")],
            &[("x-forwarded-for", "192.0.2.1, nonsense")],
            &[("x-forwarded-for", "192.0.2.1,")],
            &[("x-forwarded-for", "192.0.2.1, 10.0.0.2, ,10.0.0.3")],
            &[("x-forwarded-for", "192.0.2.256")],
            &[("x-forwarded-for", "192.0.2.1:99999")],
            &[("x-forwarded-for", "192.0.2.1 10.0.0.2")],
            &[("x-forwarded-for", "fe80::1%eth0")],
            &[("forwarded", "for=unknown")],
            &[("forwarded", "for=_hidden")],
            &[("forwarded", "proto=https")],
            &[("forwarded", "for=192.0.2.1;for=192.0.2.2")],
            &[("forwarded", "for=192.0.2.1, for=\"10.0.0.2")],
            // One of them came from the client, so neither counts.
            &[("forwarded", "for=192.0.2.1"), ("x-forwarded-for", "192.0.2.2")],
            &[("forwarded", "garbage"), ("x-forwarded-for", "192.0.2.2")],
        ] {
            assert_eq!(told(OURS, "10.0.0.1", lines), "10.0.0.1", "{lines:?}");
        }
        let both = [("forwarded", "for=192.0.2.1"), ("x-forwarded-for", "203.0.113.5, 192.0.2.1")];
        assert_eq!(told(OURS, "10.0.0.1", &both), "192.0.2.1", "they agree");
    }
}
