//! TLS of the public listener.

use std::path::PathBuf;

use clap::Args;

use crate::{
    config::{BadSetting, pair::pair},
    listen,
};

const CERTIFICATE: &str = "VERBATIM_TLS_CERT_FILE";
const KEY: &str = "VERBATIM_TLS_KEY_FILE";

/// The files of the certificate.
#[derive(Debug, Clone, Args)]
pub(super) struct TlsSettings {
    /// File with the certificate chain of the public listener (PEM, the certificate of this server first). The public
    /// listener then accepts only TLS 1.2 and 1.3. The node reloads the certificate on SIGHUP, and when the content of
    /// the files changes. [default: none; the public listener speaks HTTP without TLS]
    #[arg(long, env = CERTIFICATE, value_name = "FILE")]
    tls_cert_file: Option<PathBuf>,

    /// File with the private key of the certificate (PEM, unencrypted). ECDSA P-256 costs a third of the CPU time of
    /// RSA.
    #[arg(long, env = KEY, value_name = "FILE")]
    tls_key_file: Option<PathBuf>,
}

impl TlsSettings {
    /// Whether the files of a certificate are named.
    pub(super) fn is_set(&self) -> bool {
        self.tls_cert_file.is_some()
    }

    /// TLS with the certificate in the files; `None` if no files are set.
    pub(super) fn read(&self) -> Result<Option<listen::Tls>, BadSetting> {
        let certificate = (self.tls_cert_file.as_ref(), CERTIFICATE);
        let Some((certificate, key)) = pair(certificate, (self.tls_key_file.as_ref(), KEY))? else {
            return Ok(None);
        };
        match listen::Certificate::read(certificate, key) {
            Ok(certificate) => Ok(Some(listen::Tls::with(certificate))),
            Err(bad) => Err(BadSetting(format!("{CERTIFICATE}, {KEY}: {bad}"))),
        }
    }
}
