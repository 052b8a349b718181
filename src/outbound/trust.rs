//! The authorities whose certificates this process trusts.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use thiserror::Error;
use tokio_rustls::rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs::default_provider,
    pki_types::{CertificateDer, pem::PemObject as _},
};

/// Authorities that cannot be used.
#[derive(Debug, Error)]
pub(crate) enum BadTrust {
    /// A file cannot be read.
    #[error("{} cannot be read: {why}", .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// The error of the system.
        why: std::io::Error,
    },
    /// A file holds no certificate of an authority.
    #[error("{} has no CA certificate in PEM: name the file with that certificate", .0.display())]
    NoCertificate(PathBuf),
}

/// The trusted authorities, ready for use.
#[derive(Debug, Clone)]
pub(crate) struct Trust(pub(super) Arc<ClientConfig>);

impl Trust {
    /// The authorities of the system, and those of a file. A system without authorities, as in a small container, has
    /// those of Mozilla.
    pub(crate) fn load(more: Option<&Path>) -> Result<Self, BadTrust> {
        let mut roots = RootCertStore::empty();
        let (found, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if found == 0 {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        if let Some(file) = more {
            let pem = fs::read(file).map_err(|why| BadTrust::Unreadable { file: file.into(), why })?;
            let none = || BadTrust::NoCertificate(file.into());
            let certificates: Vec<_> =
                CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(|_| none())?;
            if roots.add_parsable_certificates(certificates).0 == 0 {
                return Err(none());
            }
        }
        let config = ClientConfig::builder_with_provider(default_provider().into())
            .with_safe_default_protocol_versions()
            .expect("aws-lc-rs speaks TLS 1.2 and 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(config.into()))
    }
}
