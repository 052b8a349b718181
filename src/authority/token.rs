//! The JWTs of NATS, with the signature algorithm `ed25519-nkey`.

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use serde_json::{Map, Value, json};

use crate::authority::NKey;

const HEADER: &str = r#"{"typ":"JWT","alg":"ed25519-nkey"}"#;

/// The content of a JWT.
pub(super) struct Said<'a> {
    /// The public key of the operator, the account or the user.
    pub(super) subject: &'a str,
    /// A name for people. The templates of permissions use the name of a user.
    pub(super) name: &'a str,
    /// Seconds since 1970.
    pub(super) at: i64,
    pub(super) expires: Option<i64>,
    /// The claims of NATS.
    pub(super) nats: Value,
}

/// The signed JWT.
pub(super) fn signed(by: &NKey, said: Said<'_>) -> String {
    let Said { subject, name, at, expires, nats } = said;
    let mut claims = json!({ "iat": at, "iss": by.public(), "name": name, "sub": subject, "nats": nats });
    if let Some(expires) = expires {
        claims["exp"] = expires.into();
    }
    sign(by, claims)
}

fn sign(by: &NKey, mut claims: Value) -> String {
    // Servers distinguish two JWTs of one account by this id, so it is derived from the content.
    claims["jti"] = "".into();
    let id = digest(&SHA256, claims.to_string().as_bytes());
    claims["jti"] = BASE64.encode(id).into();
    let signed = format!("{}.{}", BASE64.encode(HEADER), BASE64.encode(claims.to_string()));
    let signature = BASE64.encode(by.sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

/// The claims of a NATS JWT that nats-server returned. Nothing here checks its signature.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Claims(Value);

/// The text is not a JWT of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not an account JWT")]
pub(crate) struct BadClaims;

impl Claims {
    /// Reads the claims of an account from its JWT, as nats-server returns it.
    pub(crate) fn of_account(token: &str) -> Result<Self, BadClaims> {
        let payload = token.trim().split('.').nth(1).ok_or(BadClaims)?;
        let json = BASE64.decode(payload).map_err(|_| BadClaims)?;
        let claims: Value = serde_json::from_slice(&json).map_err(|_| BadClaims)?;
        (claims["nats"]["type"] == "account").then_some(Self(claims)).ok_or(BadClaims)
    }

    /// The revoked users by their public keys. A JWT of such a user is refused if it was issued at or before the given
    /// time, in seconds since 1970.
    fn revocations(&mut self) -> &mut Map<String, Value> {
        let nats = self.0["nats"].as_object_mut().expect("the type was found in it");
        let revocations = nats.entry("revocations").or_insert_with(|| json!({}));
        if !revocations.is_object() {
            *revocations = json!({});
        }
        revocations.as_object_mut().expect("it was made one just now")
    }

    /// Revokes the JWTs of a user that were issued at or before `until`.
    pub(crate) fn revoke(&mut self, user: &str, until: i64) {
        self.revocations().insert(user.to_owned(), until.into());
    }
}

/// Signs the claims of an account again. A server accepts only a JWT that is not older than the one it has, so the time
/// never goes back.
pub(crate) fn signed_account(by: &NKey, claims: Claims, now: i64) -> String {
    let Claims(mut claims) = claims;
    claims["iss"] = by.public().into();
    claims["iat"] = now.max(claims["iat"].as_i64().unwrap_or(now)).into();
    sign(by, claims)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_signed_again_with_its_revocations() {
        let (operator, account) = (NKey::of_operator(), NKey::of_account());
        let nats = json!({ "type": "account", "version": 2, "limits": { "conn": -1 } });
        let subject = account.public();
        let said = Said { subject: &subject, name: "READERS", at: 1_000, expires: None, nats };
        let first = signed(&operator, said);
        let mut claims = Claims::of_account(&first).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(claims.0["nats"]["revocations"], Value::Null);
        claims.revoke("UX", 900);
        let again = signed_account(&operator, claims, 500);
        let read = Claims::of_account(&again).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(read.0["nats"]["revocations"]["UX"], 900);
        assert_eq!((&read.0["iat"], &read.0["nats"]["limits"]["conn"]), (&json!(1_000), &json!(-1)));
        assert_ne!(read.0["jti"], Claims::of_account(&first).unwrap_or_else(|e| panic!("{e}")).0["jti"]);
        for wrong in ["", "a.b.c", "a", "a.e30.c"] {
            assert_eq!(Claims::of_account(wrong), Err(BadClaims), "{wrong}");
        }
    }

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
