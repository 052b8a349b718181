//! The public keys of an issuer, from its JWK set (RFC 7517).

use std::{collections::HashMap, sync::Arc};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse},
};
use serde::Deserialize;

/// The maximum number of keys of a set that are read.
const MOST_KEYS: usize = 32;
/// The longest name of a key, in bytes.
pub(super) const MOST_NAME: usize = 256;
/// The sizes of RSA keys in bits. A larger key would cost too much to check.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// A key that can check signatures.
pub(super) struct Key {
    pub(super) checks: DecodingKey,
    algorithms: Vec<Algorithm>,
}

impl Key {
    /// Whether the key can check signatures of this algorithm.
    pub(super) fn is_for(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }
}

/// The usable keys of an issuer by their names.
#[derive(Clone, Default)]
pub(super) struct KeySet(HashMap<String, Arc<Key>>);

#[derive(Deserialize)]
struct Document {
    keys: Vec<serde_json::Value>,
}

impl KeySet {
    /// Reads a JWK set; `None` if the body is not one. Unusable keys are left out: encryption keys, keys of unknown
    /// kinds, secrets, short RSA keys, keys without a name, and keys with the name of an earlier one.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let Document { keys } = serde_json::from_slice(body).ok()?;
        let mut set = HashMap::new();
        for (name, key) in keys.into_iter().take(MOST_KEYS).filter_map(usable) {
            set.entry(name).or_insert_with(|| Arc::new(key));
        }
        Some(Self(set))
    }

    pub(super) fn named(&self, name: &str) -> Option<Arc<Key>> {
        self.0.get(name).cloned()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

fn usable(key: serde_json::Value) -> Option<(String, Key)> {
    let jwk: Jwk = serde_json::from_value(key).ok()?;
    let common = &jwk.common;
    let for_signatures = common.public_key_use.as_ref().is_none_or(|of| *of == PublicKeyUse::Signature)
        && common.key_operations.as_ref().is_none_or(|list| list.contains(&KeyOperations::Verify));
    let name = common.key_id.clone().filter(|name| (1..=MOST_NAME).contains(&name.len()))?;
    let mut algorithms = match &jwk.algorithm {
        AlgorithmParameters::RSA(key) if RSA_BITS.contains(&bits(&key.n)?) => {
            use Algorithm::{PS256, PS384, PS512, RS256, RS384, RS512};
            vec![RS256, RS384, RS512, PS256, PS384, PS512]
        }
        AlgorithmParameters::EllipticCurve(key) => match key.curve {
            EllipticCurve::P256 => vec![Algorithm::ES256],
            EllipticCurve::P384 => vec![Algorithm::ES384],
            _ => return None,
        },
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            vec![Algorithm::EdDSA]
        }
        _ => return None,
    };
    if let Some(only) = common.key_algorithm {
        algorithms.retain(|algorithm| KeyAlgorithm::from(*algorithm) == only);
    }
    let checks = DecodingKey::from_jwk(&jwk).ok()?;
    (for_signatures && !algorithms.is_empty()).then_some((name, Key { checks, algorithms }))
}

/// The bit length of a number in base64url.
fn bits(number: &str) -> Option<usize> {
    let bytes = BASE64URL.decode(number).ok()?;
    let begin = bytes.iter().position(|byte| *byte != 0)?;
    Some((bytes.len() - begin) * 8 - bytes[begin].leading_zeros() as usize)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn rsa(kid: &str, bytes: usize) -> Value {
        json!({ "kty": "RSA", "kid": kid, "use": "sig", "n": BASE64URL.encode(vec![0xff; bytes]), "e": "AQAB" })
    }

    fn with(mut key: Value, name: &str, value: Value) -> Value {
        key[name] = value;
        key
    }

    fn ed(kid: &str) -> Value {
        json!({ "kty": "OKP", "crv": "Ed25519", "kid": kid, "x": BASE64URL.encode([7; 32]) })
    }

    fn read(keys: &[Value]) -> KeySet {
        KeySet::read(json!({ "keys": keys, "more": 1 }).to_string().as_bytes()).expect("a set")
    }

    #[test]
    fn keys_that_are_of_no_use_are_left_out_and_the_others_stay() {
        let ec = |curve: &str| json!({ "kty": "EC", "crv": curve, "kid": "k", "x": "AQ", "y": "AQ" });
        for (useless, key) in [
            ("for encryption", with(rsa("k", 256), "use", json!("enc"))),
            ("for another use", with(rsa("k", 256), "use", json!("tls"))),
            ("only for signing", with(rsa("k", 256), "key_ops", json!(["sign"]))),
            ("for OAEP", with(rsa("k", 256), "alg", json!("RSA-OAEP"))),
            ("for another kind of key", with(rsa("k", 256), "alg", json!("ES256"))),
            ("a short one", rsa("k", 128)),
            (
                "one bit too short",
                with(rsa("k", 256), "n", json!(BASE64URL.encode([&[0x7f][..], &[0xff; 255]].concat()))),
            ),
            (
                "a long number with zeros",
                with(rsa("k", 256), "n", json!(BASE64URL.encode([&[0; 128][..], &[0xff; 128]].concat()))),
            ),
            ("a huge one", rsa("k", 2048)),
            ("a secret", json!({ "kty": "oct", "kid": "k", "k": "c2VjcmV0", "alg": "HS256" })),
            ("of an unknown kind", json!({ "kty": "AKP", "kid": "k", "pub": "AQ" })),
            ("of an unknown curve", ec("secp256k1")),
            ("of P-521", ec("P-521")),
            ("without a name", with(ed("k"), "kid", Value::Null)),
            ("with an empty name", ed("")),
            ("with a long name", ed(&"k".repeat(257))),
            ("with a number for a name", with(ed("k"), "kid", json!(7))),
            ("no object", json!("k")),
            ("an object without anything", json!({})),
        ] {
            let set = read(&[key, ed("good")]);
            assert!(set.named("k").is_none() && set.named("good").is_some() && set.len() == 1, "{useless}");
        }
    }

    #[test]
    fn a_key_checks_the_algorithms_of_its_kind_only() {
        let set = read(&[rsa("rsa", 256), ed("ed"), with(rsa("one", 256), "alg", json!("PS256"))]);
        let is_for = |name: &str, algorithm| set.named(name).expect(name).is_for(algorithm);
        assert!(is_for("rsa", Algorithm::RS256) && is_for("rsa", Algorithm::PS512));
        assert!(!is_for("rsa", Algorithm::ES256) && !is_for("rsa", Algorithm::HS256));
        assert!(is_for("ed", Algorithm::EdDSA) && !is_for("ed", Algorithm::RS256));
        assert!(is_for("one", Algorithm::PS256) && !is_for("one", Algorithm::RS256));
    }

    #[test]
    fn the_first_key_of_a_name_counts_and_32_keys_at_most() {
        let set = read(&[rsa("k", 256), ed("k")]);
        assert!(set.named("k").expect("a key").is_for(Algorithm::RS256));
        let many: Vec<_> = (0..40).map(|n| ed(&format!("k{n}"))).collect();
        assert_eq!(read(&many).len(), 32);
    }

    #[test]
    fn what_is_no_set_is_refused() {
        for body in ["", "[]", "{}", "{\"keys\":{}}", "{\"keys\":[", "<html>"] {
            assert!(KeySet::read(body.as_bytes()).is_none(), "{body}");
        }
    }
}
