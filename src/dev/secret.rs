//! Secrets from the random number generator of the operating system.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};

/// A new password: a letter, then 128 random bits in hex. The letter keeps nats-server from reading the
/// password as a number.
pub(super) fn new_password() -> String {
    let digits: String = random::<16>().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("v{digits}")
}

/// A new master key: 32 random bytes in base64, with a final line break like other programs write.
pub(super) fn new_master_key() -> String {
    format!("{}\n", BASE64.encode(random::<32>()))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the passwords of private servers are drawn where they are made"
)]
pub(super) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system gives random bytes");
    bytes
}
