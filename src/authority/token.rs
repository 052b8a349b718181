//! The signed texts of NATS: JWTs with the signature algorithm `ed25519-nkey`.

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use serde_json::{Value, json};

use crate::authority::NKey;

const HEADER: &str = r#"{"typ":"JWT","alg":"ed25519-nkey"}"#;

/// What a JWT says of its subject.
pub(super) struct Said<'a> {
    /// The public key of the operator, the account or the user.
    pub(super) subject: &'a str,
    /// A name for people; the templates of permissions use that of a user.
    pub(super) name: &'a str,
    /// Seconds since 1970.
    pub(super) at: i64,
    pub(super) expires: Option<i64>,
    /// The claims of NATS.
    pub(super) nats: Value,
}

/// The signed text.
pub(super) fn signed(by: &NKey, said: Said<'_>) -> String {
    let Said { subject, name, at, expires, nats } = said;
    let mut claims = json!({ "iat": at, "iss": by.public(), "name": name, "sub": subject, "nats": nats });
    if let Some(expires) = expires {
        claims["exp"] = expires.into();
    }
    sign(by, claims)
}

fn sign(by: &NKey, mut claims: Value) -> String {
    // Servers tell two JWTs of one account apart by this id, so it follows from the content.
    claims["jti"] = "".into();
    let id = digest(&SHA256, claims.to_string().as_bytes());
    claims["jti"] = BASE64.encode(id).into();
    let signed = format!("{}.{}", BASE64.encode(HEADER), BASE64.encode(claims.to_string()));
    let signature = BASE64.encode(by.sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_over_header_and_payload() {
        let key = NKey::of_account();
        let said = Said { subject: "U", name: "n", at: 1, expires: Some(2), nats: json!({ "type": "user" }) };
        let token = signed(&key, said);
        let (text, signature) = token.rsplit_once('.').expect("three parts");
        let signature = BASE64.decode(signature).expect("base64");
        let public = nkeys::KeyPair::from_public_key(&key.public()).expect("a public key");
        assert!(public.verify(text.as_bytes(), &signature).is_ok());
        assert!(public.verify(b"another", &signature).is_err());
    }
}
