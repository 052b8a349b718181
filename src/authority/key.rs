//! NATS keys: Ed25519 keys, encoded as text whose first letters say what a key is for.

use std::fmt;

use nkeys::KeyPair;

/// A private key of an operator, an account or a user.
pub(crate) struct NKey(KeyPair);

/// The text is not a private key of the wanted kind. The message never repeats the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not the private key of {0}, which begins with {1}")]
pub(crate) struct BadNKey(&'static str, &'static str);

impl fmt::Debug for NKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NKey").field(&self.public()).finish()
    }
}

impl NKey {
    /// A new key of an operator.
    pub(super) fn of_operator() -> Self {
        Self(KeyPair::new_operator())
    }

    /// A new key of an account.
    pub(super) fn of_account() -> Self {
        Self(KeyPair::new_account())
    }

    /// A new key of a user.
    pub(super) fn of_user() -> Self {
        Self(KeyPair::new_user())
    }

    /// Reads the private key of an operator.
    pub(crate) fn operator(text: &str) -> Result<Self, BadNKey> {
        Self::read(text, "SO").ok_or(BadNKey("an operator", "SO"))
    }

    /// Reads the private key of an account.
    pub(crate) fn account(text: &str) -> Result<Self, BadNKey> {
        Self::read(text, "SA").ok_or(BadNKey("an account", "SA"))
    }

    fn read(text: &str, kind: &str) -> Option<Self> {
        let text = text.trim();
        text.starts_with(kind).then(|| KeyPair::from_seed(text).ok()).flatten().map(Self)
    }

    /// The public half, which is the name of the operator, the account or the user.
    pub(crate) fn public(&self) -> String {
        self.0.public_key()
    }

    /// The private half, as text.
    pub(super) fn seed(&self) -> String {
        self.0.seed().expect("it was made with its private half")
    }

    pub(super) fn sign(&self, text: &[u8]) -> Vec<u8> {
        self.0.sign(text).expect("it was made with its private half")
    }
}
