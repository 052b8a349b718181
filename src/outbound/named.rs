//! Requests to a server that the operator of this process names: a node, for the command line.

use std::{fmt, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Request, Uri,
    header::{self, HeaderValue},
};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use thiserror::Error;
use tokio::time::timeout;
use tokio_rustls::rustls::ClientConfig;

use crate::outbound::{
    Bounds, Failed, Trust,
    client::{AGENT, Verb, not_sent, whole},
};

/// A server that the operator names. No guard judges its address: only the operator can name it, and a node may well be
/// in a private network. There is no proxy and no redirect here either, so the credential goes to this server only.
pub(crate) struct NamedServer {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    /// The address without a path and without a trailing slash.
    base: String,
}

/// Why an address of a server is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum BadServer {
    /// The text is not the URL of a server.
    #[error("this is not the address of a server: write it like https://chat.example.com, without a path")]
    NotAServer,
    /// A credential would cross a network in the clear.
    #[error(
        "the key would cross the network in the clear: write https, or allow it with VERBATIM_PLAIN_HTTP=true"
    )]
    Plain,
}

/// Whether a credential may cross a network unencrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PlainHttp {
    /// Only within this machine.
    Loopback,
    /// Anywhere.
    Anywhere,
}

impl fmt::Debug for NamedServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NamedServer").field("base", &self.base).finish_non_exhaustive()
    }
}

impl NamedServer {
    /// A client for the server at this address.
    pub(crate) fn new(trust: &Trust, address: &str, plain: PlainHttp) -> Result<Self, BadServer> {
        let base = base(address, plain)?;
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(ClientConfig::clone(&trust.0))
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Self { client: Client::builder(TokioExecutor::new()).build(https), base })
    }

    /// Sends a request with a bearer credential. Returns the status and the body.
    pub(crate) async fn ask(
        &self,
        verb: Verb,
        path: &str,
        bearer: &str,
        bounds: Bounds,
    ) -> Result<(u16, Bytes), Failed> {
        let (method, body) = verb.parts();
        let broken = |error: &dyn fmt::Display| Failed::Broken(error.to_string());
        let mut credential =
            HeaderValue::from_str(&format!("Bearer {bearer}")).map_err(|error| broken(&error))?;
        credential.set_sensitive(true);
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(header::USER_AGENT, AGENT)
            .header(header::ACCEPT, "application/json, application/problem+json")
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, credential)
            .body(Full::new(body))
            .map_err(|error| broken(&error))?;
        let asking = async {
            let answer = self.client.request(request).await.map_err(|error| not_sent(&error))?;
            let (head, body) = answer.into_parts();
            Ok((head.status.as_u16(), whole(body, bounds.bytes).await?))
        };
        let within: Duration = bounds.within;
        timeout(within, asking).await.unwrap_or(Err(Failed::TooSlow(within)))
    }
}

fn base(address: &str, plain: PlainHttp) -> Result<String, BadServer> {
    let uri: Uri = address.parse().map_err(|_| BadServer::NotAServer)?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(BadServer::NotAServer);
    };
    let is_server = !authority.host().is_empty()
        && !authority.as_str().contains('@')
        && matches!(uri.path(), "" | "/")
        && uri.query().is_none();
    match scheme {
        _ if !is_server => Err(BadServer::NotAServer),
        "http" if plain == PlainHttp::Loopback && !is_loopback(authority.host()) => Err(BadServer::Plain),
        "http" | "https" => Ok(format!("{scheme}://{authority}")),
        _ => Err(BadServer::NotAServer),
    }
}

/// Whether a host is this machine, whatever a name server says.
fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host.eq_ignore_ascii_case("localhost")
        || address.is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_crosses_no_network_in_the_clear_unless_it_may() {
        use BadServer::*;
        for (address, expected) in [
            ("https://chat.example.com", Ok("https://chat.example.com")),
            ("https://chat.example.com:8443/", Ok("https://chat.example.com:8443")),
            ("https://10.0.0.7", Ok("https://10.0.0.7")),
            ("http://127.0.0.1:8080", Ok("http://127.0.0.1:8080")),
            ("http://localhost:8080/", Ok("http://localhost:8080")),
            ("http://[::1]:8080", Ok("http://[::1]:8080")),
            ("http://[::ffff:127.0.0.1]:8080", Ok("http://[::ffff:127.0.0.1]:8080")),
            ("http://10.0.0.7:8080", Err(Plain)),
            ("http://chat.example.com", Err(Plain)),
            ("http://localhost.example.com", Err(Plain)),
            ("http://127.0.0.1.example.com", Err(Plain)),
            ("http://user@127.0.0.1", Err(NotAServer)),
            ("https://chat.example.com/v1", Err(NotAServer)),
            ("https://chat.example.com?a=b", Err(NotAServer)),
            ("ftp://chat.example.com", Err(NotAServer)),
            ("chat.example.com", Err(NotAServer)),
            ("", Err(NotAServer)),
        ] {
            assert_eq!(base(address, PlainHttp::Loopback), expected.map(str::to_owned), "{address}");
        }
        let anywhere = base("http://10.0.0.7:8080", PlainHttp::Anywhere);
        assert_eq!(anywhere, Ok("http://10.0.0.7:8080".to_owned()));
    }
}
