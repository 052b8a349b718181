//! The address of nats-server, and the login of this process there.

use std::path::PathBuf;

use clap::Args;

use crate::{
    config::{
        BadSetting,
        pair::pair,
        secret::{either, secret},
    },
    log::{NatsLogin, NatsServers, NatsTls},
};

const CREDENTIALS: &str = "VERBATIM_NATS_CREDENTIALS_FILE";
const KEY: &str = "VERBATIM_NATS_NKEY_FILE";
const TOKEN: &str = "VERBATIM_NATS_TOKEN";
const OPERATOR: &str = "VERBATIM_NATS_OPERATOR_URL";
const OPERATOR_CREDENTIALS: &str = "VERBATIM_NATS_OPERATOR_CREDENTIALS_FILE";
const ERASER: &str = "VERBATIM_NATS_ERASER_URL";
const ERASER_CREDENTIALS: &str = "VERBATIM_NATS_ERASER_CREDENTIALS_FILE";
const AUTHORITIES: &str = "VERBATIM_NATS_CA_FILE";
const CERTIFICATE: &str = "VERBATIM_NATS_CERT_FILE";
const CERTIFICATE_KEY: &str = "VERBATIM_NATS_KEY_FILE";

/// Where nats-server is, and how to log in.
#[derive(Debug, Clone, Args)]
pub(super) struct NatsSettings {
    /// URL of nats-server, with user and password percent-encoded: nats://user:password@host:4222. Separate the URLs
    /// of several servers by commas. Omit user and password if you set one of the files below.
    #[arg(long, env = "VERBATIM_NATS_URL", value_name = "URL", hide_env_values = true)]
    nats_url: Option<String>,

    /// File with the value of VERBATIM_NATS_URL.
    #[arg(long, env = "VERBATIM_NATS_URL_FILE", value_name = "FILE")]
    nats_url_file: Option<PathBuf>,

    /// The `.creds` file of this process, as created by `verbatim nats init` for a nats-server in operator mode.
    #[arg(long, env = CREDENTIALS, value_name = "FILE")]
    nats_credentials_file: Option<PathBuf>,

    /// File with the private NKey of this process (SU…), for a nats-server that has the public key.
    #[arg(long, env = KEY, value_name = "FILE")]
    nats_nkey_file: Option<PathBuf>,

    /// Token that nats-server requires of all clients.
    #[arg(long, env = TOKEN, value_name = "TOKEN", hide_env_values = true)]
    nats_token: Option<String>,

    /// File with the value of VERBATIM_NATS_TOKEN.
    #[arg(long, env = "VERBATIM_NATS_TOKEN_FILE", value_name = "FILE")]
    nats_token_file: Option<PathBuf>,

    /// File with the CA certificates (PEM) for nats-server, in addition to those of the system.
    #[arg(long, env = AUTHORITIES, value_name = "FILE")]
    nats_ca_file: Option<PathBuf>,

    /// File with the client certificate of this process for nats-server (PEM).
    #[arg(long, env = CERTIFICATE, value_name = "FILE")]
    nats_cert_file: Option<PathBuf>,

    /// File with the private key of that certificate (PEM).
    #[arg(long, env = CERTIFICATE_KEY, value_name = "FILE")]
    nats_key_file: Option<PathBuf>,

    /// URL of nats-server with a user that may create and change streams. Only `migrate`, `log`, `restore` and
    /// `consumers` use this setting; without it, they use VERBATIM_NATS_URL.
    #[arg(long, env = OPERATOR, value_name = "URL", hide_env_values = true)]
    nats_operator_url: Option<String>,

    /// File with the value of VERBATIM_NATS_OPERATOR_URL.
    #[arg(long, env = "VERBATIM_NATS_OPERATOR_URL_FILE", value_name = "FILE")]
    nats_operator_url_file: Option<PathBuf>,

    /// The `.creds` file of a user that may create and change streams.
    #[arg(long, env = OPERATOR_CREDENTIALS, value_name = "FILE")]
    nats_operator_credentials_file: Option<PathBuf>,

    /// URL of nats-server with the user that may delete from the log. Only the eraser uses this setting; without it,
    /// the eraser uses VERBATIM_NATS_URL.
    #[arg(long, env = ERASER, value_name = "URL", hide_env_values = true)]
    nats_eraser_url: Option<String>,

    /// File with the value of VERBATIM_NATS_ERASER_URL.
    #[arg(long, env = "VERBATIM_NATS_ERASER_URL_FILE", value_name = "FILE")]
    nats_eraser_url_file: Option<PathBuf>,

    /// The `.creds` file of the user that may delete from the log.
    #[arg(long, env = ERASER_CREDENTIALS, value_name = "FILE")]
    nats_eraser_credentials_file: Option<PathBuf>,
}

impl NatsSettings {
    /// The address of nats-server, with the login of this process.
    pub(super) fn servers(&self) -> Result<NatsServers, BadSetting> {
        let url = either(self.nats_url.as_ref(), self.nats_url_file.as_ref(), "VERBATIM_NATS_URL")?;
        let servers = NatsServers::from(url).with_login(self.login()?).with_tls(self.tls()?);
        self.checked(servers, "VERBATIM_NATS_URL")
    }

    /// The address of nats-server, with the login of an operator if there is one.
    pub(super) fn operators(&self) -> Result<NatsServers, BadSetting> {
        let (url, file) = (self.nats_operator_url.as_ref(), self.nats_operator_url_file.as_ref());
        let credentials = self.nats_operator_credentials_file.as_ref();
        self.others(url, file, OPERATOR, credentials, OPERATOR_CREDENTIALS)
    }

    /// The address of nats-server, with the login of the eraser if there is one.
    pub(super) fn erasers(&self) -> Result<NatsServers, BadSetting> {
        let (url, file) = (self.nats_eraser_url.as_ref(), self.nats_eraser_url_file.as_ref());
        let credentials = self.nats_eraser_credentials_file.as_ref();
        self.others(url, file, ERASER, credentials, ERASER_CREDENTIALS)
    }

    /// The address of nats-server, with another login if one is set.
    fn others(
        &self,
        url: Option<&String>,
        file: Option<&PathBuf>,
        name: &str,
        credentials: Option<&PathBuf>,
        credentials_name: &str,
    ) -> Result<NatsServers, BadSetting> {
        let has_url = url.is_some() || file.is_some();
        let login = match credentials {
            Some(file) => Some(NatsLogin::Credentials(secret(file, credentials_name)?)),
            None if has_url => None,
            None => return self.servers(),
        };
        let (url, name) = match has_url {
            true => (either(url, file, name)?, name),
            false => (
                either(self.nats_url.as_ref(), self.nats_url_file.as_ref(), "VERBATIM_NATS_URL")?,
                "VERBATIM_NATS_URL",
            ),
        };
        self.checked(NatsServers::from(url).with_login(login).with_tls(self.tls()?), name)
    }

    /// The address of nats-server, with the login from the text of a `.creds` file.
    pub(super) fn with_credentials(&self, creds: &str) -> Result<NatsServers, BadSetting> {
        let url = either(self.nats_url.as_ref(), self.nats_url_file.as_ref(), "VERBATIM_NATS_URL")?;
        let servers = NatsServers::from(url).with_credentials(creds).with_tls(self.tls()?);
        self.checked(servers, "VERBATIM_NATS_URL")
    }

    /// Whether a setting names nats-server.
    pub(super) fn is_set(&self) -> bool {
        let (urls, files) =
            ([&self.nats_url, &self.nats_operator_url], [&self.nats_url_file, &self.nats_operator_url_file]);
        urls.iter().any(|url| url.is_some()) || files.iter().any(|file| file.is_some())
    }

    fn checked(&self, servers: NatsServers, name: &str) -> Result<NatsServers, BadSetting> {
        match servers.can_be_used() {
            Ok(()) => Ok(servers),
            Err(bad) => Err(BadSetting(format!("{name} cannot be used: {bad}"))),
        }
    }

    fn login(&self) -> Result<Option<NatsLogin>, BadSetting> {
        let token = self.nats_token.as_ref();
        let has_token = token.is_some() || self.nats_token_file.is_some();
        match (&self.nats_credentials_file, &self.nats_nkey_file, has_token) {
            (None, None, false) => Ok(None),
            (Some(file), None, false) => Ok(Some(NatsLogin::Credentials(secret(file, CREDENTIALS)?))),
            (None, Some(file), false) => Ok(Some(NatsLogin::Key(secret(file, KEY)?))),
            (None, None, true) => {
                either(token, self.nats_token_file.as_ref(), TOKEN).map(|token| Some(NatsLogin::Token(token)))
            }
            _ => {
                Err(BadSetting(format!("more than one of {CREDENTIALS}, {KEY} and {TOKEN} is set: keep one")))
            }
        }
    }

    fn tls(&self) -> Result<NatsTls, BadSetting> {
        let authorities = self.nats_ca_file.clone();
        let certificate =
            pair((self.nats_cert_file.clone(), CERTIFICATE), (self.nats_key_file.clone(), CERTIFICATE_KEY))?;
        for (file, name) in [
            (&self.nats_ca_file, AUTHORITIES),
            (&self.nats_cert_file, CERTIFICATE),
            (&self.nats_key_file, CERTIFICATE_KEY),
        ] {
            if let Some(file) = file {
                secret(file, name)?;
            }
        }
        Ok(NatsTls { authorities, certificate })
    }
}
