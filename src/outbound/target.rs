//! The URLs that this process calls.

use std::fmt;

use hyper::Uri;
use thiserror::Error;

/// The longest URL, in bytes.
const MOST_BYTES: usize = 2048;
/// The longest signed URL, in bytes, which may contain a session token.
const MOST_SIGNED: usize = 16 * 1024;

/// A URL that we may call: `https`, or `http` where that is allowed, without a user, at an ordinary port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target(pub(super) Uri);

/// Why a URL is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum BadTarget {
    /// The text is too long.
    #[error("a URL must have at most {MOST_BYTES} bytes: shorten it")]
    TooLong,
    /// The text is not a URL with a host.
    #[error("not a URL: write it like https://host.example.com/path")]
    NotAUrl,
    /// The scheme is not https.
    #[error("the scheme of the URL must be https")]
    Scheme,
    /// The URL has a user or a password.
    #[error("the URL must not have a user name or password: remove them")]
    User,
    /// The port belongs to another protocol.
    #[error("the port of the URL must be 80, 443, or 1024 and above")]
    Port,
}

impl Target {
    /// Parses an `https` URL.
    pub(crate) fn parse(text: &str) -> Result<Self, BadTarget> {
        Self::parse_with(text, false)
    }

    /// Parses a URL, which may be `http` if that is allowed.
    pub(crate) fn parse_with(text: &str, allow_http: bool) -> Result<Self, BadTarget> {
        Self::parse_within(MOST_BYTES, text, allow_http)
    }

    /// Parses a URL that this process has signed, for a server that the operator names.
    pub(crate) fn parse_signed(text: &str) -> Result<Self, BadTarget> {
        Self::parse_within(MOST_SIGNED, text, true)
    }

    fn parse_within(most: usize, text: &str, allow_http: bool) -> Result<Self, BadTarget> {
        if text.len() > most {
            return Err(BadTarget::TooLong);
        }
        let uri: Uri = text.parse().map_err(|_| BadTarget::NotAUrl)?;
        let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else {
            return Err(BadTarget::NotAUrl);
        };
        if scheme.as_str() != "https" && !(allow_http && scheme.as_str() == "http") {
            return Err(BadTarget::Scheme);
        }
        if authority.as_str().contains('@') {
            return Err(BadTarget::User);
        }
        if authority.host().is_empty() {
            return Err(BadTarget::NotAUrl);
        }
        // A port that cannot be parsed would count as absent.
        let has_port = authority.as_str().len() > authority.host().len();
        match authority.port_u16() {
            None if has_port => Err(BadTarget::Port),
            Some(port) if port < 1024 && ![80, 443].contains(&port) => Err(BadTarget::Port),
            _ => Ok(Self(uri)),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_https_url_is_a_target() {
        use BadTarget::*;
        let long = format!("https://id.example.com/{}", "x".repeat(MOST_BYTES));
        for (text, expected) in [
            ("https://id.example.com/keys", None),
            ("https://id.example.com", None),
            ("https://id.example.com:443/keys?a=b", None),
            ("https://id.example.com:80/", None),
            ("https://id.example.com:8443/", None),
            ("https://[2606:4700::1]:8443/", None),
            // These are names to a URL, and become addresses when they are resolved.
            ("https://2130706433/", None),
            ("https://0x7f.1/", None),
            ("http://id.example.com/", Some(Scheme)),
            ("ftp://id.example.com/", Some(Scheme)),
            ("file:///etc/passwd", Some(NotAUrl)),
            ("https:///keys", Some(NotAUrl)),
            ("/keys", Some(NotAUrl)),
            ("id.example.com/keys", Some(NotAUrl)),
            ("", Some(NotAUrl)),
            ("https://a b/", Some(NotAUrl)),
            ("https://id.example.com/\r\nx: y", Some(NotAUrl)),
            ("https://user@id.example.com/", Some(User)),
            ("https://user:password@id.example.com/", Some(User)),
            ("https://id.example.com@127.0.0.1/", Some(User)),
            ("https://id.example.com:22/", Some(Port)),
            ("https://id.example.com:25/", Some(Port)),
            ("https://id.example.com:0/", Some(Port)),
            ("https://id.example.com:1023/", Some(Port)),
            ("https://id.example.com:65536/", Some(Port)),
            (long.as_str(), Some(TooLong)),
        ] {
            assert_eq!(Target::parse(text).err(), expected, "{text}");
        }
    }
}
