//! The certificate of a listener, read from its files.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use aws_lc_rs::digest::{SHA256, digest};
use time::OffsetDateTime;
use tokio_rustls::rustls::{
    self, InconsistentKeys,
    crypto::aws_lc_rs::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use crate::listen::validity;

/// A certificate or a key that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadCertificate {
    /// A file cannot be read.
    #[error("{} cannot be read: {why}", .file.display())]
    Unreadable {
        /// The file that cannot be read.
        file: PathBuf,
        /// The error from the operating system.
        why: String,
    },
    /// The first file holds no certificate.
    #[error("{} has no certificate in PEM: name the file with the certificate and its chain", .0.display())]
    NoCertificate(PathBuf),
    /// The second file holds no key.
    #[error("{} has no private key in PEM: name the file with the unencrypted key", .0.display())]
    NoKey(PathBuf),
    /// The key cannot sign.
    #[error("the key in {} cannot be used ({why}): make one for ECDSA P-256, or for RSA with 2048 bits", .file.display())]
    Useless {
        /// The file with the key.
        file: PathBuf,
        /// The error from the TLS library.
        why: String,
    },
    /// The key belongs to another certificate.
    #[error(
        "the key in {} does not match the first certificate in {}: name the files of one pair, with the certificate of \
         this server first", .key.display(), .certificate.display()
    )]
    Mismatch {
        /// The file with the certificate.
        certificate: PathBuf,
        /// The file with the key.
        key: PathBuf,
    },
}

/// A certificate to present to clients, with its private key.
#[derive(Clone)]
pub(super) struct Pair {
    key: Arc<CertifiedKey>,
    pub(super) until: OffsetDateTime,
}

/// Two files, and the last usable pair that they contained.
pub struct Certificate {
    certificate: PathBuf,
    key: PathBuf,
    current: RwLock<Pair>,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

/// The bytes of both files, with a digest to detect changes.
pub(super) struct Content {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Content {
    pub(super) fn digest(&self) -> Vec<u8> {
        let both = [&self.certificate, &self.key].map(|file| digest(&SHA256, file));
        both.iter().flat_map(|half| half.as_ref().to_vec()).collect()
    }
}

impl Certificate {
    /// Reads a certificate with its chain, and its key.
    ///
    /// # Errors
    /// If they cannot be read, or do not belong together.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, BadCertificate> {
        let (certificate, key) = (certificate.to_owned(), key.to_owned());
        let content = content(&certificate, &key)?;
        let current = RwLock::new(pair(&certificate, &key, &content)?);
        Ok(Self { certificate, key, current })
    }

    /// The end of the certificate's validity, if it has passed.
    pub fn expired(&self, now: OffsetDateTime) -> Option<OffsetDateTime> {
        Some(self.current().until).filter(|until| *until <= now)
    }

    /// The end of the certificate's validity.
    pub(crate) fn until(&self) -> OffsetDateTime {
        self.current().until
    }

    pub(super) fn content(&self) -> Result<Content, BadCertificate> {
        content(&self.certificate, &self.key)
    }

    pub(super) fn pair(&self, content: &Content) -> Result<Pair, BadCertificate> {
        pair(&self.certificate, &self.key, content)
    }

    pub(super) fn current(&self) -> Pair {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Presents this pair to clients from now on. Open connections keep their certificate.
    pub(super) fn replace(&self, pair: Pair) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = pair;
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current().key)
    }
}

fn content(certificate: &Path, key: &Path) -> Result<Content, BadCertificate> {
    let read = |file: &Path| {
        fs::read(file).map_err(|e| BadCertificate::Unreadable { file: file.into(), why: e.to_string() })
    };
    Ok(Content { certificate: read(certificate)?, key: read(key)? })
}

fn pair(certificate: &Path, key: &Path, content: &Content) -> Result<Pair, BadCertificate> {
    let none = || BadCertificate::NoCertificate(certificate.into());
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(&content.certificate).collect::<Result<_, _>>().map_err(|_| none())?;
    let until = chain.first().and_then(|first| validity::not_after(first)).ok_or_else(none)?;
    let secret =
        PrivateKeyDer::from_pem_slice(&content.key).map_err(|_| BadCertificate::NoKey(key.into()))?;
    let useless = |e: rustls::Error| BadCertificate::Useless { file: key.into(), why: e.to_string() };
    let secret = default_provider().key_provider.load_private_key(secret).map_err(useless)?;
    let found = CertifiedKey::new(chain, secret);
    match found.keys_match() {
        Ok(()) => Ok(Pair { key: Arc::new(found), until }),
        Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            Err(BadCertificate::Mismatch { certificate: certificate.into(), key: key.into() })
        }
        Err(_) => Err(none()),
    }
}
