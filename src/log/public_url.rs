//! Where readers of the log find the schemas of its events.

use std::{fmt, str::FromStr};

/// Where people and programs reach this server: `https://chat.example.com`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl(String);

impl PublicUrl {
    /// Whether the server is reached by TLS.
    pub(crate) fn is_https(&self) -> bool {
        self.0.starts_with("https://")
    }

    /// The absolute URL of the schema of a type: CloudEvents requires an absolute one in `dataschema`.
    pub(crate) fn schema(&self, kind: &str) -> String {
        format!("{}/schemas/{kind}.json", self.0)
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is not such a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAPublicUrl;

impl fmt::Display for NotAPublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("https:// or http:// with a host is expected, and no query: https://chat.example.com")
    }
}

impl std::error::Error for NotAPublicUrl {}

impl FromStr for PublicUrl {
    type Err = NotAPublicUrl;
    fn from_str(text: &str) -> Result<Self, NotAPublicUrl> {
        let url = text.trim_end_matches('/');
        let rest = url.strip_prefix("https://").or(url.strip_prefix("http://")).ok_or(NotAPublicUrl)?;
        let is_plain = |c: char| c.is_ascii_graphic() && !"?#@\"<>\\^`{|}".contains(c);
        let is_good = !rest.is_empty() && !rest.starts_with(['/', ':']) && rest.chars().all(is_plain);
        is_good.then(|| Self(url.to_owned())).ok_or(NotAPublicUrl)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_has_an_absolute_url() {
        for url in ["https://chat.example.com", "https://chat.example.com/", "http://localhost:8080/chat//"] {
            let schema = url.parse::<PublicUrl>().expect(url).schema("verbatim.message.sent.v1");
            let wanted = url.trim_end_matches('/').to_owned() + "/schemas/verbatim.message.sent.v1.json";
            assert_eq!(schema, wanted);
        }
        for wrong in [
            "",
            "/",
            "chat.example.com",
            "https://",
            "https:///x",
            "ftp://x",
            "https://x?a",
            "https://x y",
            "https://a@b",
        ] {
            assert_eq!(wrong.parse::<PublicUrl>(), Err(NotAPublicUrl), "{wrong}");
        }
    }
}
