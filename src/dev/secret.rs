//! Secrets from the randomness of the operating system.

/// A new password: a letter, then 128 random bits in hex. The letter keeps nats-server from reading the
/// password as a number.
pub(super) fn new_password() -> String {
    let digits: String = random::<16>().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("v{digits}")
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
