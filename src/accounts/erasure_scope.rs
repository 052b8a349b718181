//! How much an erasure erases.

use serde::{Deserialize, Serialize};

/// What is erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ErasureScope {
    /// The messages that a request names.
    Content,
    /// An account; its messages stay, and nothing says any more who has written them.
    Account,
    /// An account, and all of its messages.
    AccountAndContent,
}

impl ErasureScope {
    /// The word of the scope.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Content => "content",
            Self::Account => "account",
            Self::AccountAndContent => "account_and_content",
        }
    }

    pub(super) fn of(word: &str) -> Self {
        [Self::Account, Self::AccountAndContent]
            .into_iter()
            .find(|scope| scope.word() == word)
            .unwrap_or(Self::Content)
    }
}
