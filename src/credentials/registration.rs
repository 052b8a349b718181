//! The people who may register.

use std::{fmt, str::FromStr};

/// The people who may register.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Registration {
    /// Everyone.
    #[default]
    Open,
    /// People with an invitation code of an operator.
    Invite,
    /// No one: accounts are provisioned, or come from an external issuer.
    Closed,
}

impl Registration {
    /// The word that the setting and `/v1/info` use.
    pub fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Invite => "invite",
            Self::Closed => "closed",
        }
    }
}

impl fmt::Display for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Registration {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let all = [Self::Open, Self::Invite, Self::Closed];
        all.into_iter().find(|one| one.word() == text).ok_or("expected open, invite or closed")
    }
}
