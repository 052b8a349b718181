//! The secret of a link: it proves that a login of the owner was given the link, so that a browser can open it without
//! an access token. The secret is computed, not stored: a login always gets the same link, and the link ends with the
//! export and with the login.

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use uuid::Uuid;

use crate::domain::{ExportId, LoginId};

/// Bytes of the id of the login.
const LOGIN: usize = 16;
/// The purpose of the derived key: the key that it is derived from has other uses.
const PURPOSE: &[u8] = b"verbatim export links";

/// The key for all links. Cheap to clone.
#[derive(Clone)]
pub(super) struct LinkKey(hmac::Key);

impl LinkKey {
    /// The key for links, derived from the key that all nodes share.
    pub(super) fn derived(shared: &[u8; 32]) -> Self {
        let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, shared), PURPOSE);
        Self(hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()))
    }

    /// The secret of the link to an export for a login.
    pub(super) fn secret(&self, export: ExportId, login: LoginId) -> String {
        let mut bytes = login.uuid().as_bytes().to_vec();
        bytes.extend_from_slice(hmac::sign(&self.0, &signed(export, &bytes)).as_ref());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The login that was given this link to the export; `None` if no login was.
    pub(super) fn login(&self, export: ExportId, secret: &str) -> Option<LoginId> {
        let bytes = URL_SAFE_NO_PAD.decode(secret).ok()?;
        let (login, tag) = bytes.split_first_chunk::<LOGIN>()?;
        hmac::verify(&self.0, &signed(export, login), tag).ok()?;
        Some(LoginId::known(Uuid::from_bytes(*login)))
    }
}

fn signed(export: ExportId, login: &[u8]) -> Vec<u8> {
    [export.uuid().as_bytes(), login].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_belongs_to_one_export_one_login_and_one_key() {
        let (export, other) = (ExportId::known(Uuid::from_u128(1)), ExportId::known(Uuid::from_u128(2)));
        let login = LoginId::known(Uuid::from_u128(3));
        let key = LinkKey::derived(&[7; 32]);
        let secret = key.secret(export, login);
        assert!(secret.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'), "{secret}");
        assert_eq!(key.login(export, &secret), Some(login));
        assert_eq!(key.login(other, &secret), None);
        assert_eq!(LinkKey::derived(&[8; 32]).login(export, &secret), None);
        for at in 0..secret.len() {
            let mut changed = secret.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(key.login(export, &String::from_utf8(changed).expect("ASCII")), None, "{at}");
        }
        for wrong in ["", "A", "ü", &secret[1..], &format!("{secret}A"), &"A".repeat(9_000)] {
            assert_eq!(key.login(export, wrong), None);
        }
    }
}
