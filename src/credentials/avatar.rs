//! The address of a user's picture. Clients of other users load it, so every parser must read it in the same way.

use std::fmt;

use thiserror::Error;

/// Why a text is not the address of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BadAvatarUrl {
    /// The text has more than [`AvatarUrl::LIMIT`] bytes.
    #[error("the URL of an avatar must have at most {} bytes: use a shorter URL", AvatarUrl::LIMIT)]
    TooLong,
    /// The URL has another scheme, or none.
    #[error("the URL of an avatar must begin with https:// in lower case")]
    NotHttps,
    /// The URL has a user name or a password before its host.
    #[error(
        "the URL of an avatar must not have a user name or password: remove everything between // and the @, and the @"
    )]
    Userinfo,
    /// The URL has no host, or an invalid host or port.
    #[error("the URL of an avatar needs a host, as in https://example.com/ana.png: correct the host")]
    Host,
    /// The character is not accepted in a URL.
    #[error("the character U+{:04X} is not accepted in a URL: percent-encode it", u32::from(*.0))]
    Character(char),
}

/// The absolute https URL of a user's picture, as typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AvatarUrl(String);

impl AvatarUrl {
    /// The maximum length of a URL, in bytes.
    pub const LIMIT: usize = 2_048;

    /// Parses a URL as typed.
    pub fn parse(typed: &str) -> Result<Self, BadAvatarUrl> {
        if typed.len() > Self::LIMIT {
            return Err(BadAvatarUrl::TooLong);
        }
        // Browsers treat a backslash as a slash, so they could see a different host in such a URL than this parser.
        let is_plain = |c: &char| c.is_ascii_graphic() && !"\"<>\\^`{|}".contains(*c);
        if let Some(c) = typed.chars().find(|c| !is_plain(c)) {
            return Err(BadAvatarUrl::Character(c));
        }
        let rest = typed.strip_prefix("https://").ok_or(BadAvatarUrl::NotHttps)?;
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        match authority {
            _ if authority.contains('@') => Err(BadAvatarUrl::Userinfo),
            _ if is_host_and_port(authority) => Ok(Self(typed.to_owned())),
            _ => Err(BadAvatarUrl::Host),
        }
    }

    /// The URL, as typed.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A URL that was parsed before, read back from Postgres.
    pub(crate) fn known(url: String) -> Self {
        Self(url)
    }
}

impl fmt::Display for AvatarUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a text is a host name or an address, optionally with a port.
fn is_host_and_port(authority: &str) -> bool {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    };
    let is_host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host.len() <= 253 && host.strip_suffix('.').unwrap_or(host).split('.').all(is_label),
    };
    let is_port = |port: &str| {
        port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
    };
    is_host && port.is_none_or(is_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_has_an_absolute_https_url() {
        for url in [
            "https://example.com",
            "https://cdn.example.com:8443/u/ana.png?size=64&v=2#face",
            "https://[2001:db8::1]/ana.png",
            "https://[2001:db8::1]:444/ana.png",
            "https://192.0.2.7/%C3%A4na.png",
            "https://example.com/@ana",
            "https://xn--bcher-kva.example/a",
        ] {
            assert_eq!(AvatarUrl::parse(url).map(|url| url.to_string()).as_deref(), Ok(url));
        }
    }

    #[test]
    fn a_url_of_another_form_is_refused() {
        use BadAvatarUrl::{Character, Host, NotHttps, TooLong, Userinfo};
        let long = format!("https://example.com/{}", "a".repeat(AvatarUrl::LIMIT));
        for (url, why) in [
            ("", NotHttps),
            ("http://example.com/a", NotHttps),
            ("HTTPS://example.com/a", NotHttps),
            ("//example.com/a", NotHttps),
            ("javascript:alert(1)", NotHttps),
            ("data:image/png;base64,AAAA", NotHttps),
            ("https:example.com", NotHttps),
            ("https://", Host),
            ("https:///a", Host),
            ("https://:443/a", Host),
            ("https://example..com/a", Host),
            ("https://example.com:0/a", Host),
            ("https://example.com:/a", Host),
            ("https://example.com:65536/a", Host),
            ("https://example.com:+1/a", Host),
            ("https://[::g]/a", Host),
            ("https://::1/a", Host),
            ("https://exa%6Dple.com/a", Host),
            ("https://ana@example.com/a", Userinfo),
            ("https://ana:secret@example.com/a", Userinfo),
            ("https://example.com\\@evil.example/a", Character('\\')),
            ("https://example.com/a b", Character(' ')),
            ("https://example.com/\u{e4}", Character('\u{e4}')),
            ("https://example.com/\u{202e}", Character('\u{202e}')),
            ("https://example.com/\n", Character('\n')),
            ("https://example.com/\"><script>", Character('"')),
            (&long, TooLong),
        ] {
            assert_eq!(AvatarUrl::parse(url), Err(why), "{url}");
        }
    }
}
