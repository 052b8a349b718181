//! The parser of cursors: no text is a cursor unless the key signed it, and a signed cursor is parsed completely or
//! refused.

#![no_main]

use std::sync::LazyLock;

use aws_lc_rs::{digest, hmac};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use libfuzzer_sys::fuzz_target;
use verbatim_fuzz::{
    domain::{Epoch, UserId},
    feed::{cursor::Cursors, positions},
};

const SECRET: [u8; 32] = [7; 32];
const EPOCH: &str = "one";
const STREAMS: usize = 4;

static CURSORS: LazyLock<Cursors> = LazyLock::new(|| Cursors::new(&SECRET, &Epoch(EPOCH.into()), STREAMS));
static ANA: LazyLock<UserId> =
    LazyLock::new(|| "01930f3c-5a7b-7c3d-8e4f-0123456789ab".parse().expect("a constant"));

fuzz_target!(|input: &[u8]| {
    if let Ok(text) = str::from_utf8(input) {
        assert_eq!(positions(&CURSORS, *ANA, text), None, "a cursor was forged");
    }
    for signed in [input.to_vec(), [head(), input.to_vec()].concat()] {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &SECRET), &signed);
        let text = URL_SAFE_NO_PAD.encode([&signed, &tag.as_ref()[..16]].concat());
        if let Some(positions) = positions(&CURSORS, *ANA, &text) {
            assert_eq!(positions.len(), STREAMS);
        }
    }
});

/// The part of a cursor of this user before the positions.
fn head() -> Vec<u8> {
    let epoch = digest::digest(&digest::SHA256, EPOCH.as_bytes());
    [&[2], &epoch.as_ref()[..8], ANA.uuid().as_bytes(), &[0; 8]].concat()
}
