//! The parsers of access and refresh tokens: no text that we did not sign is a token.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use verbatim_fuzz::{
    credentials::{Keys, Tokens, is_read_as_refresh_token},
    domain::Time,
};

const PEM: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g
-----END PRIVATE KEY-----";

static TOKENS: LazyLock<Tokens> =
    LazyLock::new(|| Tokens::new(Keys::from_pem(PEM, None).expect("a key"), "verbatim", "verbatim"));
static NOW: LazyLock<Time> = LazyLock::new(|| "2026-11-24T13:10:00.123Z".parse().expect("a constant"));

fuzz_target!(|text: &str| {
    assert!(TOKENS.verify(text, *NOW).is_err(), "an access token was forged");
    // With the id of our key in its header, the parser gets as far as the signature.
    let key = TOKENS.keys().jwks()["keys"][0]["kid"].as_str().expect("a name").to_owned();
    let header = format!(r#"{{"typ":"at+jwt","alg":"EdDSA","kid":"{key}"}}"#);
    let token = format!("{}.{text}", base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, header));
    assert!(TOKENS.verify(&token, *NOW).is_err(), "an access token was forged");
    // Without the login, only the format of a refresh token is checked, and it has one length.
    assert!(!is_read_as_refresh_token(text) || text.len() < 80);
});
