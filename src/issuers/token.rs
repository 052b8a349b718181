//! A token as presented, split into its parts. Its header and claims are not trusted until the signature is checked.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use jsonwebtoken::{Algorithm, crypto};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::issuers::key_set::{Key, MOST_NAME};

/// The maximum length of a token.
const MOST_BYTES: usize = 4096;

/// A token whose signature has not been checked.
pub(super) struct Presented<'a> {
    header: Header,
    claims: Map<String, Value>,
    signed: &'a str,
    signature: &'a str,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: String,
    #[serde(default)]
    typ: String,
    crit: Option<Value>,
}

impl<'a> Presented<'a> {
    /// Splits a token into its parts; `None` for a text that cannot be a token with a named key.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        if text.len() > MOST_BYTES {
            return None;
        }
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        // A third dot would end up in the claims, and is not base64.
        let header: Header = serde_json::from_slice(&BASE64URL.decode(header).ok()?).ok()?;
        let claims = serde_json::from_slice(&BASE64URL.decode(claims).ok()?).ok()?;
        let is_plain = header.crit.is_none() && header.kid.len() <= MOST_NAME;
        is_plain.then_some(Self { header, claims, signed, signature })
    }

    /// The issuer that the token names.
    pub(super) fn issuer(&self) -> Option<&str> {
        self.claims.get("iss")?.as_str()
    }

    /// The key that the token names.
    pub(super) fn key(&self) -> &str {
        &self.header.kid
    }

    /// Whether the token has one of these types. A type may be written as a full media type (RFC 7515).
    pub(super) fn is_of_type(&self, types: &[impl AsRef<str>]) -> bool {
        let typ = &*self.header.typ;
        let short = typ.get(..12).filter(|begin| begin.eq_ignore_ascii_case("application/"));
        let typ = short.map_or(typ, |begin| &typ[begin.len()..]);
        types.iter().any(|accepted| accepted.as_ref().eq_ignore_ascii_case(typ))
    }

    /// The algorithm that the token names, if it is one of these.
    pub(super) fn algorithm(&self, of: &[Algorithm]) -> Option<Algorithm> {
        let algorithm: Algorithm = self.header.alg.parse().ok()?;
        of.contains(&algorithm).then_some(algorithm)
    }

    /// The claims, if this key made the signature with this algorithm.
    pub(super) fn signed_by(self, key: &Key, algorithm: Algorithm) -> Option<Map<String, Value>> {
        let is_signed = key.is_for(algorithm)
            && crypto::verify(self.signature, self.signed.as_bytes(), &key.checks, algorithm)
                .unwrap_or(false);
        is_signed.then_some(self.claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(header: &str, claims: &str) -> String {
        format!("{}.{}.c2ln", BASE64URL.encode(header), BASE64URL.encode(claims))
    }

    #[test]
    fn a_token_names_its_issuer_its_key_its_type_and_its_algorithm() {
        let text =
            text(r#"{"alg":"RS256","kid":"k","typ":"application/AT+jwt","x5t":"a"}"#, r#"{"iss":"i"}"#);
        let token = Presented::parse(&text).expect("a token");
        assert_eq!((token.issuer(), token.key()), (Some("i"), "k"));
        assert!(token.is_of_type(&["JWT", "at+jwt"]) && !token.is_of_type(&["JWT", ""]));
        assert_eq!(token.algorithm(&[Algorithm::ES256, Algorithm::RS256]), Some(Algorithm::RS256));
        assert_eq!(token.algorithm(&[Algorithm::ES256]), None);
    }

    #[test]
    fn what_cannot_be_a_token_is_none() {
        let (header, claims) = (r#"{"alg":"RS256","kid":"k"}"#, r#"{"iss":"i"}"#);
        assert!(Presented::parse(&text(header, claims)).is_some_and(|token| token.is_of_type(&[""])));
        let good = text(header, claims);
        for bad in [
            String::new(),
            "a.b".into(),
            "..".into(),
            "a.b.c.d".into(),
            format!("{good}.c2ln"),
            format!("{}=.e30.c2ln", BASE64URL.encode(header)),
            text("[]", claims),
            text(header, "[]"),
            text(header, "7"),
            text(r#"{"alg":"RS256"}"#, claims),
            text(r#"{"kid":"k"}"#, claims),
            text(r#"{"alg":"RS256","kid":7}"#, claims),
            text(r#"{"alg":"RS256","kid":"k","crit":["exp"]}"#, claims),
            text(&format!(r#"{{"alg":"RS256","kid":"{}"}}"#, "k".repeat(257)), claims),
            text(header, &format!(r#"{{"iss":"{}"}}"#, "i".repeat(4096))),
        ] {
            assert!(Presented::parse(&bad).is_none(), "{bad}");
        }
    }
}
