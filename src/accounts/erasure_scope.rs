//! The scope of an erasure.

use serde::{Deserialize, Serialize};

/// The scope of an erasure: content, an account or both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ErasureScope {
    /// The messages that a request names.
    Content,
    /// An account; its messages stay, and no longer show who wrote them.
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
