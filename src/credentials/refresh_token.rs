//! The text of a refresh token.
//!
//! The text names the login and the generation of the token, and is authenticated with a key of Verbatim and
//! the salt of the login. So an old token can be distinguished from a guessed one, although only the hash of
//! the latest token is stored.

use aws_lc_rs::{constant_time::verify_slices_are_equal, hmac, rand};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    credentials::{Keys, sha256::sha256},
    domain::LoginId,
};

const PREFIX: &str = "vr1_";
const LABEL: &str = "refresh token";

/// 16 random bytes for each login. The keys cannot make a token without the salt.
pub(crate) type Salt = [u8; 16];

/// A presented token, not yet authenticated.
pub(crate) struct Presented {
    pub(crate) login: LoginId,
    pub(crate) generation: i32,
    mac: [u8; 32],
}

/// The text of a new token. It grants access to a login: never print it.
pub(crate) type MadeToken = Zeroizing<String>;

/// The first token of a login.
pub(crate) struct FirstToken {
    pub(crate) text: MadeToken,
    pub(crate) hash: [u8; 32],
    /// The salt of all tokens of the login.
    pub(crate) salt: Salt,
}

impl FirstToken {
    pub(crate) fn draw(keys: &Keys, login: LoginId) -> Self {
        let salt = new_salt();
        let text = make(keys, login, 0, &salt);
        Self { hash: hash_of(&text), text, salt }
    }
}

impl Presented {
    /// Parses a text; `None` for a text that cannot be a token of Verbatim.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix(PREFIX).filter(|rest| rest.len() == 70)?;
        let bytes = Zeroizing::new(BASE64URL.decode(text).ok()?);
        let (login, rest) = bytes.split_first_chunk::<16>()?;
        let (generation, mac) = rest.split_first_chunk::<4>()?;
        Some(Self {
            login: Uuid::from_bytes(*login).to_string().parse().ok()?,
            generation: i32::from_be_bytes(*generation),
            mac: mac.try_into().ok()?,
        })
    }

    /// Whether one of the keys made the token, for the login with this salt.
    pub(crate) fn is_genuine(&self, keys: &Keys, salt: &[u8]) -> bool {
        keys.derive_all(LABEL).any(|key| {
            let expected = mac(&key, self.login, self.generation, salt);
            verify_slices_are_equal(expected.as_ref(), &self.mac).is_ok()
        })
    }
}

/// Makes the token of a generation with the current key.
pub(crate) fn make(keys: &Keys, login: LoginId, generation: i32, salt: &[u8]) -> MadeToken {
    write(&keys.derive(LABEL), login, generation, salt)
}

/// Makes the token with this hash again, with the key that made it first. `None` if none of the keys made it.
pub(crate) fn make_again(
    keys: &Keys,
    login: LoginId,
    generation: i32,
    salt: &[u8],
    hash: &[u8],
) -> Option<MadeToken> {
    keys.derive_all(LABEL)
        .map(|key| write(&key, login, generation, salt))
        .find(|token| verify_slices_are_equal(&hash_of(token), hash).is_ok())
}

/// The SHA-256 hash of a token. It is stored in place of the token, which never is.
pub(crate) fn hash_of(token: &str) -> [u8; 32] {
    sha256(token)
}

#[expect(clippy::disallowed_methods, reason = "a secret is drawn where it is made")]
fn new_salt() -> Salt {
    let mut salt = Salt::default();
    rand::fill(&mut salt).expect("the system has randomness");
    salt
}

fn write(key: &[u8; 32], login: LoginId, generation: i32, salt: &[u8]) -> MadeToken {
    let mut bytes = Zeroizing::new([0; 52]);
    bytes[..16].copy_from_slice(login.uuid().as_bytes());
    bytes[16..20].copy_from_slice(&generation.to_be_bytes());
    bytes[20..].copy_from_slice(mac(key, login, generation, salt).as_ref());
    Zeroizing::new(format!("{PREFIX}{}", *Zeroizing::new(BASE64URL.encode(&bytes[..]))))
}

fn mac(key: &[u8; 32], login: LoginId, generation: i32, salt: &[u8]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    context.update(login.uuid().as_bytes());
    context.update(&generation.to_be_bytes());
    context.update(salt);
    context.sign()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Keys {
        Keys::from_pem(&Keys::generate_pem(), None).expect("keys")
    }

    fn login() -> LoginId {
        "01930f3c-5a7b-7c3d-9e4f-ba9876543210".parse().expect("id")
    }

    #[test]
    fn what_was_made_is_genuine_for_its_login_alone() {
        let (keys, salt) = (keys(), new_salt());
        let token = make(&keys, login(), 7, &salt);
        let presented = Presented::parse(&token).expect("token");
        assert_eq!((presented.login, presented.generation), (login(), 7));
        assert!(presented.is_genuine(&keys, &salt));
        assert!(!presented.is_genuine(&keys, &new_salt()));
        assert!(!presented.is_genuine(&self::keys(), &salt));
    }

    #[test]
    fn a_token_that_was_touched_anywhere_is_not_genuine() {
        let (keys, salt) = (keys(), new_salt());
        let token = make(&keys, login(), 7, &salt);
        for at in 0..token.len() {
            let mut touched = token.to_string().into_bytes();
            touched[at] = if touched[at] == b'A' { b'B' } else { b'A' };
            let touched = String::from_utf8(touched).expect("ascii");
            let genuine = Presented::parse(&touched).is_some_and(|token| token.is_genuine(&keys, &salt));
            assert!(!genuine, "{at}");
        }
    }

    #[test]
    fn other_texts_are_no_tokens() {
        let token = make(&keys(), login(), 0, &new_salt());
        let access = "eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJFZERTQSJ9.e30.AAAA";
        for text in [
            "",
            "vr1_",
            access,
            &token[4..],
            &token[..token.len() - 1],
            &format!("{}=", *token),
            &"A".repeat(1 << 20),
        ] {
            assert!(Presented::parse(text).is_none(), "{text:.80}");
        }
    }

    #[test]
    fn tokens_outlive_a_change_of_keys_but_not_two() {
        let (old, new, salt) = (Keys::generate_pem(), Keys::generate_pem(), new_salt());
        let token = make(&Keys::from_pem(&old, None).expect("keys"), login(), 1, &salt);
        let presented = Presented::parse(&token).expect("token");
        let during = Keys::from_pem(&new, Some(&old)).expect("keys");
        assert!(presented.is_genuine(&during, &salt));
        assert_eq!(make_again(&during, login(), 1, &salt, &hash_of(&token)).as_ref(), Some(&token));
        assert!(!presented.is_genuine(&Keys::from_pem(&new, None).expect("keys"), &salt));
    }
}
