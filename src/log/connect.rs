//! Connecting: the servers that the settings name, our credentials, and the failures that a retry does not cure.

use std::{fmt, path::PathBuf, time::Duration};

use async_nats::{Client, ConnectError, ConnectErrorKind, ConnectOptions, Event, ServerAddr};
use percent_encoding::percent_decode_str;
use tokio::{sync::watch, time::sleep};

use crate::log::{
    errors::{BadUrl, OpenError},
    limits::{MAX_EVENT_BYTES, REQUEST_TIMEOUT},
    streams::maker::Refusals,
};

/// After this many refusals of our credentials in a row, connecting fails. Fewer prove nothing: a starting server may
/// open its port a moment before it knows its accounts.
const REFUSALS: usize = 5;
/// How long to wait before refused credentials are tried again.
const AFTER_REFUSAL: Duration = Duration::from_millis(500);

/// The servers of a log: their URLs, and our login if the URLs have none.
#[derive(Clone)]
pub struct NatsServers {
    /// A comma-separated list, which may contain user and password.
    urls: String,
    login: Option<NatsLogin>,
    tls: NatsTls,
}

/// A login that comes from a file of its own.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum NatsLogin {
    /// The text of a `.creds` file: a JWT and its private key.
    Credentials(String),
    /// The private key of a user that the server knows by its public key.
    Key(String),
    /// A secret that all users share.
    Token(String),
}

/// Files for TLS to the servers.
#[derive(Debug, Clone, Default)]
pub(crate) struct NatsTls {
    /// The authorities of the servers' certificates, besides those of the system.
    pub(crate) authorities: Option<PathBuf>,
    /// Our own certificate, and its key.
    pub(crate) certificate: Option<(PathBuf, PathBuf)>,
}

impl fmt::Debug for NatsServers {
    /// Shows neither the URLs nor the login: both contain secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsServers").finish_non_exhaustive()
    }
}

impl From<&str> for NatsServers {
    fn from(urls: &str) -> Self {
        Self { urls: urls.into(), login: None, tls: NatsTls::default() }
    }
}

impl From<&String> for NatsServers {
    fn from(urls: &String) -> Self {
        urls.as_str().into()
    }
}

impl From<String> for NatsServers {
    fn from(urls: String) -> Self {
        urls.as_str().into()
    }
}

impl From<&NatsServers> for NatsServers {
    fn from(servers: &NatsServers) -> Self {
        servers.clone()
    }
}

impl NatsServers {
    /// The same servers with a login that is not in their URLs.
    pub(crate) fn with_login(self, login: Option<NatsLogin>) -> Self {
        Self { login, ..self }
    }

    /// The same servers with files for TLS.
    pub(crate) fn with_tls(self, tls: NatsTls) -> Self {
        Self { tls, ..self }
    }

    /// The same servers with the login of a `.creds` text.
    pub fn with_credentials(self, creds: &str) -> Self {
        self.with_login(Some(NatsLogin::Credentials(creds.into())))
    }

    /// The URLs without user and password, which may be shown.
    pub(crate) fn urls(&self) -> Result<Vec<String>, BadUrl> {
        let parsed = Parsed::parse(&self.urls)?;
        Ok(parsed.addresses.iter().map(|address| address.as_url_str().to_owned()).collect())
    }

    /// Checks the URLs, the login and the options for TLS, without connecting.
    pub(crate) fn can_be_used(&self) -> Result<(), BadUrl> {
        self.options().map(drop)
    }

    /// The addresses, and the options that log in.
    fn options(&self) -> Result<(Vec<ServerAddr>, ConnectOptions), BadUrl> {
        let parsed = Parsed::parse(&self.urls)?;
        let mut options = match (&self.login, &parsed.credentials) {
            (Some(_), Some(_)) => {
                return Err(BadUrl(
                    "it has a user or a token, but a file with another login is also set: use one way to log in".into(),
                ));
            }
            (None, _) => parsed.options(),
            (Some(NatsLogin::Token(token)), None) => ConnectOptions::with_token(token.clone()),
            (Some(NatsLogin::Key(seed)), None) if seed.starts_with("SU") => {
                ConnectOptions::with_nkey(seed.clone())
            }
            (Some(NatsLogin::Key(_)), None) => {
                return Err(BadUrl(
                    "the file with the login has no private user NKey, which begins with SU".into(),
                ));
            }
            // The library needs a line break after the last line, and reading a setting removes it.
            (Some(NatsLogin::Credentials(creds)), None) => {
                ConnectOptions::with_credentials(&format!("{creds}\n"))
                    .map_err(|_| BadUrl("the file with the login is not a `.creds` file".into()))?
            }
        };
        if let Some(file) = &self.tls.authorities {
            options = options.add_root_certificates(file.clone()).require_tls(true);
        }
        if let Some((certificate, key)) = &self.tls.certificate {
            options = options.add_client_certificate(certificate.clone(), key.clone()).require_tls(true);
        }
        Ok((parsed.addresses, options))
    }
}

/// A login in a URL.
#[derive(Clone, PartialEq, Eq)]
enum Credentials {
    Password { user: String, password: String },
    Token(String),
}

/// The parsed URLs. All servers get the same credentials, because they are one system.
struct Parsed {
    /// Without the credentials, so that no log line of a library can show them.
    addresses: Vec<ServerAddr>,
    credentials: Option<Credentials>,
}

impl Parsed {
    /// Reads a comma-separated list of `nats://user:password@host:port` or `nats://token@host:port`.
    fn parse(urls: &str) -> Result<Self, BadUrl> {
        let mut servers = Self { addresses: Vec::new(), credentials: None };
        for url in urls.split(',').map(str::trim) {
            let (address, credentials) = server(url)?;
            match (&servers.credentials, credentials) {
                (Some(known), Some(other)) if *known != other => {
                    return Err(BadUrl(
                        "its servers have different users or passwords, but all servers get the same login: use one \
                         user and password for all"
                            .into(),
                    ));
                }
                (None, Some(first)) => servers.credentials = Some(first),
                _ => {}
            }
            servers.addresses.push(address);
        }
        Ok(servers)
    }

    fn options(&self) -> ConnectOptions {
        match self.credentials.clone() {
            Some(Credentials::Password { user, password }) => {
                ConnectOptions::with_user_and_password(user, password)
            }
            Some(Credentials::Token(token)) => ConnectOptions::with_token(token),
            None => ConnectOptions::new(),
        }
    }
}

fn server(url: &str) -> Result<(ServerAddr, Option<Credentials>), BadUrl> {
    if url.is_empty() {
        return Err(BadUrl("the list has an empty address: name a server between two commas".into()));
    }
    let address: ServerAddr = url.parse().map_err(|e| {
        BadUrl(format!(
            "{e}. Expected nats://user:password@host:4222; in user and password, percent-encode all but letters and \
             digits (`/` is %2F, `@` is %40)"
        ))
    })?;
    let mut address = address.into_inner();
    let decoded = |text: &str| {
        let decoded = percent_decode_str(text).decode_utf8();
        decoded.map(String::from).map_err(|_| BadUrl("user or password is not UTF-8 when decoded".into()))
    };
    let credentials = match (address.username(), address.password()) {
        ("", None) => None,
        ("", Some(_)) => return Err(BadUrl("it has a password without a user: set both".into())),
        (token, None) => Some(Credentials::Token(decoded(token)?)),
        (user, Some(password)) => {
            Some(Credentials::Password { user: decoded(user)?, password: decoded(password)? })
        }
    };
    let no_host = || BadUrl("it has a server without a host. Expected nats://user:password@host:4222".into());
    address.set_username("").and_then(|()| address.set_password(None)).map_err(|()| no_host())?;
    let address = ServerAddr::from_url(address).map_err(|e| BadUrl(e.to_string()))?;
    if address.host().is_empty() { Err(no_host()) } else { Ok((address, credentials)) }
}

/// The state of a connection, as recorded by the callbacks of the client.
#[derive(Clone)]
pub(super) struct Noted {
    /// How often a connection was established.
    pub(super) connections: watch::Sender<u64>,
    /// Whether there is a connection.
    pub(super) works: watch::Sender<bool>,
    /// The subject that the server refused last.
    pub(super) refusals: Refusals,
}

/// Connects to one of the servers.
pub(super) async fn connect(servers: &NatsServers, noted: Noted) -> Result<Client, OpenError> {
    let mut refusals = 0;
    loop {
        let (addresses, options) = servers.options()?;
        match noting(options, noted.clone()).connect(&addresses[..]).await {
            Ok(client) => return large_enough(client),
            Err(e) if !is_refusal(&e) => return Err(OpenError::Connect(told(&e))),
            Err(e) => {
                refusals += 1;
                if refusals >= REFUSALS {
                    return Err(OpenError::Refused(told(&e)));
                }
                tracing::warn!(error = told(&e), "nats-server refused the login; retrying");
            }
        }
        sleep(AFTER_REFUSAL).await;
    }
}

/// Refuses a server that would refuse the largest events.
fn large_enough(client: Client) -> Result<Client, OpenError> {
    let found = client.max_payload();
    if found < MAX_EVENT_BYTES as usize { Err(OpenError::Small { found }) } else { Ok(client) }
}

fn noting(options: ConnectOptions, Noted { connections, works, refusals }: Noted) -> ConnectOptions {
    options
        .name(concat!("verbatim ", env!("CARGO_PKG_VERSION")))
        // A hanging server is noticed when the third ping is due.
        .ping_interval(Duration::from_secs(2))
        .connection_timeout(Duration::from_secs(2))
        .request_timeout(Some(REQUEST_TIMEOUT))
        .reconnect_delay_callback(|attempts| Duration::from_millis(50 << attempts.min(5)))
        .event_callback(move |event| {
            match event {
                Event::Connected => {
                    tracing::info!("connected to NATS");
                    connections.send_modify(|times| *times += 1);
                    note(&works, true);
                }
                Event::Disconnected => {
                    tracing::warn!("lost the connection to NATS; reconnecting");
                    note(&works, false);
                }
                Event::ServerError(error) => {
                    tracing::warn!(%error, "nats-server reported an error");
                    refusals.note(&error);
                }
                Event::SlowConsumer(subscription) => {
                    tracing::warn!(subscription, "dropped messages of a subscription with a full queue");
                }
                // Only this process closes its connections: after a command, or after a failed attempt to open the log.
                Event::Closed => tracing::debug!("closed the connection to NATS"),
                other => tracing::warn!(event = %other, "the connection to NATS reported a problem"),
            }
            std::future::ready(())
        })
}

/// Whether a server has checked our credentials and refused them.
fn is_refusal(e: &ConnectError) -> bool {
    matches!(e.kind(), ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication)
}

/// An error with all its causes, each once: many errors repeat the error below them.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(below) = cause {
        let said = below.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = below.source();
    }
    text
}

/// Notes whether the log works, and wakes the tasks that wait for a change.
pub(in crate::log) fn note(works: &watch::Sender<bool>, now: bool) {
    works.send_if_modified(|works| std::mem::replace(works, now) != now);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(urls: &str) -> Option<Credentials> {
        Parsed::parse(urls).unwrap_or_else(|e| panic!("{urls}: {e}")).credentials
    }

    fn password(user: &str, password: &str) -> Option<Credentials> {
        Some(Credentials::Password { user: user.into(), password: password.into() })
    }

    #[test]
    fn user_and_password_are_decoded() {
        let as_written = "nats://a%40b:aB3%2F%3D%25%C3%A9@localhost:4222";
        assert!(credentials(as_written) == password("a@b", "aB3/=%é"));
        assert!(credentials("nats://verbatim:100%@localhost") == password("verbatim", "100%"));
        assert!(credentials("localhost:4222").is_none());
    }

    #[test]
    fn a_name_without_a_password_is_a_token() {
        assert!(credentials("nats://s3cr%2Bt@localhost") == Some(Credentials::Token("s3cr+t".into())));
    }

    #[test]
    fn all_servers_have_the_same_credentials_or_none() {
        let one = "nats://verbatim:%61@one, nats://two,nats://verbatim:a@three";
        let servers = Parsed::parse(one).unwrap_or_else(|e| panic!("{e}"));
        assert!(servers.credentials == password("verbatim", "a"));
        let addresses: Vec<_> = servers.addresses.iter().map(ServerAddr::as_url_str).collect();
        assert_eq!(addresses, ["nats://one", "nats://two", "nats://three"]);
        for other in ["nats://verbatim:b@two", "nats://else:a@two", "nats://token@two"] {
            let refused = Parsed::parse(&format!("nats://verbatim:a@one,{other}")).err();
            assert!(refused.is_some_and(|e| e.to_string().contains("different users")), "{other}");
        }
    }

    #[test]
    fn what_cannot_be_an_address_is_refused_without_the_password() {
        for wrong in [
            "",
            "nats://u:hunter2@one,,two",
            "http://u:hunter2@one",
            "nats://u:hunter2/@one",
            "nats://:hunter2@one",
            "nats://u:hunter2%FF@one",
        ] {
            let said =
                NatsServers::from(wrong).can_be_used().err().map(|bad| OpenError::from(bad).to_string());
            let said = said.unwrap_or_else(|| panic!("{wrong} is taken"));
            assert!(said.contains("VERBATIM_NATS_URL") && !said.contains("hunter2"), "{said}");
        }
    }

    #[test]
    fn two_logins_at_once_are_refused_and_no_secret_is_shown() {
        let token = || Some(NatsLogin::Token("hunter2".into()));
        assert!(NatsServers::from("nats://one").with_login(token()).can_be_used().is_ok());
        for urls in ["nats://u:p@one", "nats://token@one", "nats://one,nats://u:p@two"] {
            let said =
                NatsServers::from(urls).with_login(token()).can_be_used().map_err(|bad| bad.to_string());
            assert!(said.is_err_and(|said| said.contains("one way to log in")), "{urls}");
        }
        let creds = NatsServers::from("nats://one").with_credentials("hunter2");
        assert!(creds.can_be_used().is_err_and(|bad| bad.to_string().contains("not a `.creds` file")));
        assert!(!format!("{creds:?}").contains("hunter2"));
    }

    #[test]
    fn an_error_is_told_with_its_causes() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let error = ConnectError::with_source(ConnectErrorKind::Io, refused);
        assert_eq!(told(&error), "IO error: connection refused");
    }
}
